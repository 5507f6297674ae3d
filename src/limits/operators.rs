//! Bounds of what operators ask and are told: `server::admin_cluster`, `cli::cluster`, `cli::demo`.
//! Holds numbers only.

/// Most groups that an answer about a cluster names one by one.
pub const ADMIN_MOVES_TOLD_MAX: usize = 64;
/// Longest wait of the command line for a connection, or for an answer.
pub const ADMIN_CALL_MS_MAX: u64 = 8000;
/// Longest answer that the command line takes.
pub const ADMIN_REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most texts in one such answer.
pub const ADMIN_REPLY_TEXTS_MAX: usize = 64;
/// Time between two questions of a command that waits until something is done.
pub const ADMIN_POLL_MS: u64 = 250;

/// How long a one-time token lets a node join, if nobody says otherwise.
pub const JOIN_TOKEN_MS: u64 = 10 * 60 * 1000;
/// Longest such time.
pub const JOIN_TOKEN_MS_MAX: u64 = 24 * 60 * 60 * 1000;

const _: () = assert!(super::CONTROL_PROPOSAL_MS_MAX < ADMIN_CALL_MS_MAX);
/// Longest time in which no node answers before such a command gives up.
pub const ADMIN_SILENT_MS_MAX: u64 = 5000;
/// Time between two lines of progress where they are not overwritten.
pub const ADMIN_LINE_MS: u64 = 1000;

/// Most nodes of a demo.
pub const DEMO_NODES_MAX: u64 = 64;
/// Longest wait until a demo is well.
pub const DEMO_START_MS_MAX: u64 = 30_000;
/// Longest wait until the nodes of a demo end by themselves.
pub const DEMO_STOP_MS_MAX: u64 = 5000;
/// Time between two looks at the nodes of a demo.
pub const DEMO_POLL_MS: u64 = 25;
/// Lines of a node's log that are shown when it ends before its time.
pub const DEMO_LOG_LINES_TOLD: usize = 5;
