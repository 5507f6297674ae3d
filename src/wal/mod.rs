//! The log on disk: files, segments, the lane that fills them, and what a restart reads from them.
//! Knows what a frame is, not what its records mean; knows neither connections nor commands.
//!
//! The folder holds segments, `00000000000000000042.wal`, and spares, `….spare`. A spare becomes a
//! segment by its header: written, synced, then renamed. So a segment has its header from the
//! moment it has its name, and one whose header is broken was damaged later. A segment begins
//! when all before it is on disk; what was given up after an error is cut off first. Beside it is
//! the folder of the snapshots, `00000000000000000007.snap`, of which the newest counts.

pub mod backup;
pub mod bell;
pub mod collect;
pub mod files;
mod gather;
pub mod lane;
pub mod lock;
pub mod log;
pub mod recovery;
pub mod segment;
pub mod snapshot;
pub mod snapshotter;
