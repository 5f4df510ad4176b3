//! Docker's JSON, as client and engine both speak it. Data only.
//!
//! Names and shapes: Docker Engine API v1.51. Every member is an `Option`: clients leave members
//! out or send `null`, and `json::to_string` leaves out what is `None`.

use crate::json::value::json_struct;
pub mod container;
pub mod event;
pub mod exec;
pub mod image;
pub mod network;
pub mod set;
pub mod stdcopy;
pub mod system;
pub mod volume;

json_struct! {
    /// The body of every answer of 400 and above.
    #[derive(Clone, Debug, Default)]
    pub struct Message {
        pub message: Option<String>,
    }
}
