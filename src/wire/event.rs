//! Events (API, SystemEvents).

use crate::json::map::Map;
use miniserde::{Deserialize, Serialize};

/// One line of GET /events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Event {
    /// As `Action`, for clients before API 1.22.
    pub status: Option<String>,
    /// As `Actor.ID`, likewise.
    pub id: Option<String>,
    /// The image, likewise.
    pub from: Option<String>,
    /// `container`, `image`, `daemon`.
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    /// `create`, `start`, `die`…
    #[serde(rename = "Action")]
    pub action: Option<String>,
    #[serde(rename = "Actor")]
    pub actor: Option<Actor>,
    /// `local`.
    pub scope: Option<String>,
    /// Seconds since 1970.
    pub time: Option<i64>,
    #[serde(rename = "timeNano")]
    pub time_nano: Option<i64>,
}

/// Whom it happened to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    #[serde(rename = "Attributes")]
    pub attributes: Option<Map<String>>,
}
