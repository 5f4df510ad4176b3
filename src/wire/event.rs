//! Events (API, SystemEvents).

use crate::json::map::Map;
use crate::json::value::json_struct;

json_struct! {
    /// One line of GET /events.
    #[derive(Clone, Debug, Default)]
    pub struct Event {
        /// As `Action`, for clients before API 1.22.
        pub status: Option<String>,
        /// As `Actor.ID`, likewise.
        pub id: Option<String>,
        /// The image, likewise.
        pub from: Option<String>,
        /// `container`, `image`, `daemon`.
        pub kind: Option<String> = "Type",
        /// `create`, `start`, `die`…
        pub action: Option<String> = "Action",
        pub actor: Option<Actor> = "Actor",
        /// `local`.
        pub scope: Option<String>,
        /// Seconds since 1970.
        pub time: Option<i64>,
        pub time_nano: Option<i64> = "timeNano",
    }

    /// Whom it happened to.
    #[derive(Clone, Debug, Default)]
    pub struct Actor {
        pub id: Option<String> = "ID",
        pub attributes: Option<Map<String>> = "Attributes",
    }
}
