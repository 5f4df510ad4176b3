//! Decisions: what should be, and what happened. Keeps the records. Makes no system call.
