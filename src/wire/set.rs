//! Sets of containers that are changed together, as the API has them and as they lie on disk.

use crate::json::value::{Raw, json_struct};

json_struct! {
    /// POST /tug/sets: what the set is to be from now on.
    #[derive(Clone, Debug, Default)]
    pub struct Request {
        /// Without it that of the set which the first member is in, else that member's own name.
        pub name: Option<String> = "Name",
        pub members: Option<Vec<Wish>> = "Members",
        /// The members that are not named here stay as they are.
        pub partial: Option<bool> = "Partial",
        /// Seconds that all must be well before there is no way back.
        pub commit_after: Option<u64> = "CommitAfter",
        /// `rollback` (as without it), `keep` or `reboot`.
        pub on_fail: Option<String> = "OnFail",
        /// What GET /tug/sets said in `Written` before images were fetched for this.
        pub written: Option<u64> = "Written",
    }

    /// A container that is to be.
    #[derive(Clone, Debug, Default)]
    pub struct Wish {
        pub name: Option<String> = "Name",
        /// The body of POST /containers/create. Without it: as the container of this name is.
        pub create: Option<Raw> = "Create",
        /// Takes the place of the image in `create`.
        pub image: Option<String> = "Image",
        pub after: Option<Vec<After>> = "After",
        /// It is to end, with exit code 0.
        pub completes: Option<bool> = "Completes",
    }

    #[derive(Clone, Debug, Default)]
    pub struct After {
        pub name: Option<String> = "Name",
        /// `started` (as without it), `healthy` or `completed`.
        pub until: Option<String> = "Until",
    }

    /// GET /tug/sets/NAME, and the record of it.
    #[derive(Clone, Debug, Default)]
    pub struct Set {
        pub name: Option<String> = "Name",
        /// Grows with each change that was begun.
        pub generation: Option<u64> = "Generation",
        /// `committed`, `trying`, `failed` or `rolling-back`.
        pub state: Option<String> = "State",
        /// What is wrong.
        pub reason: Option<String> = "Reason",
        pub members: Option<Vec<Member>> = "Members",
        pub commit_after: Option<u64> = "CommitAfter",
        pub on_fail: Option<String> = "OnFail",
        /// The boot in which it is tried, and until when, in that boot's milliseconds. Without the
        /// latter not all of it has been started.
        pub boot_id: Option<String> = "BootId",
        pub deadline: Option<u64> = "Deadline",
        pub written: Option<u64> = "Written",
        /// The last ones, newest first.
        pub history: Option<Vec<Past>> = "History",
        /// What has been done so far, for people, and whether there is more to do. Not on disk.
        pub steps: Option<Vec<String>> = "Steps",
        pub busy: Option<bool> = "Busy",
    }

    #[derive(Clone, Debug, Default)]
    pub struct Member {
        pub name: Option<String> = "Name",
        /// The container that has the name. None: the set has it no more.
        pub id: Option<String> = "Id",
        /// The one that had it before: the same where nothing changes.
        pub previous: Option<String> = "Previous",
        /// That one was up.
        pub was_up: Option<bool> = "WasUp",
        pub image: Option<String> = "Image",
        pub completes: Option<bool> = "Completes",
    }

    /// Of a container that was made for a set: in its record.
    #[derive(Clone, Debug, Default)]
    pub struct Membership {
        pub set: Option<String>,
        /// A hash of what was asked for.
        pub request: Option<String>,
    }

    /// How a change ended.
    #[derive(Clone, Debug, Default)]
    pub struct Past {
        pub generation: Option<u64> = "Generation",
        /// `committed` or `rolled back`.
        pub outcome: Option<String> = "Past",
        pub at: Option<String> = "At",
        pub reason: Option<String> = "Reason",
        /// `web=shop:2`.
        pub images: Option<Vec<String>> = "Images",
        /// Bytes that this engine wrote for it.
        pub written: Option<u64> = "Written",
    }

    /// GET /tug/sets.
    #[derive(Clone, Debug, Default)]
    pub struct List {
        pub sets: Option<Vec<Set>> = "Sets",
        /// Bytes that this engine has written since its start.
        pub written: Option<u64> = "Written",
    }
}

impl Set {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    pub fn members(&self) -> &[Member] {
        self.members.as_deref().unwrap_or_default()
    }
}

impl Member {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its container is another one than before.
    pub fn is_changed(&self) -> bool {
        self.id != self.previous
    }

    pub fn completes(&self) -> bool {
        self.completes == Some(true)
    }
}
