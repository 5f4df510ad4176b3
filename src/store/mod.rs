//! Files that survive a power cut.
//!
//! A record is one small file, replaced whole. A directory appears by a rename and leaves by a
//! rename: what is half-made or half-removed has a name that says so (`staging`), and the next
//! start sweeps it away. Knows nothing of what the files mean.

pub mod ext4;
pub mod limit;
pub mod record;
pub mod staging;
pub mod tree;
pub mod usage;
