//! The bounds of the control plane (`control`). Holds numbers only.

/// Longest message between control planes, entry of the Raft log, snapshot.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Jobs that wait for the thread that writes the control store; who asks then waits.
pub const CONTROL_DISK_JOBS_MAX: usize = 256;
/// Jobs that share one sync.
pub const CONTROL_DISK_BATCH_MAX: usize = 64;
/// Memory that the control store keeps of its file.
pub const CONTROL_DISK_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Time between two heartbeats of the Raft leader.
pub const RAFT_HEARTBEAT_MS: u64 = 75;
/// Shortest time without a leader after which a voter stands for election.
pub const RAFT_ELECTION_MS_MIN: u64 = 200;
/// Longest such time; also how long voters stand by a leader that they have heard.
pub const RAFT_ELECTION_MS_MAX: u64 = 400;
/// Entries of the Raft log after which a snapshot is made.
pub const RAFT_SNAPSHOT_ENTRIES: u64 = 512;
/// Entries that are kept although a snapshot has them, for followers that are a little behind.
pub const RAFT_KEPT_ENTRIES: u64 = 256;
/// Entries in one message to a follower.
pub const RAFT_PAYLOAD_ENTRIES_MAX: u64 = 32;
/// Bytes of a snapshot in one message.
pub const RAFT_SNAPSHOT_CHUNK_BYTES: u64 = 256 * 1024;
/// Longest wait for one piece of a snapshot to be taken.
pub const RAFT_SNAPSHOT_CHUNK_MS_MAX: u64 = 1000;
/// Wait before a node is tried again that could not be reached.
pub const RAFT_RETRY_MS: u64 = 100;
/// Longest wait for the answer of another control plane.
pub const CONTROL_CALL_MS_MAX: u64 = 500;
/// Calls of other control planes that are under way at a time; further ones are refused.
pub const CONTROL_CALLS_MAX: usize = 1024;
/// Proposals of this node that wait; further ones are refused.
pub const CONTROL_PROPOSALS_MAX: usize = 64;
/// Longest wait until a proposal is decided.
pub const CONTROL_PROPOSAL_MS_MAX: u64 = 3000;
/// Longest wait of the leader until a command is applied.
pub const CONTROL_WRITE_MS_MAX: u64 = 1500;
/// Shortest and longest pause between two looks at the heartbeats.
pub const CONTROL_PULSE_MS_MIN: u64 = 5;
/// See [`CONTROL_PULSE_MS_MIN`].
pub const CONTROL_PULSE_MS_MAX: u64 = 25;
/// Shortest pause between two looks of the leader at the cluster, whatever happens.
pub const CONTROL_LOOK_MS_MIN: u64 = 10;
/// Time between two looks of the leader at the cluster when nothing happens.
pub const CONTROL_LOOK_MS: u64 = 50;
/// Longest wait for the positions of a node before a failover is decided without them.
pub const CONTROL_POSITIONS_MS_MAX: u64 = 150;
/// Time between two rounds of asking the seeds while this node is not of a cluster.
pub const CONTROL_SEEK_MS: u64 = 200;
/// Time without a leader after which a node asks around where the others are.
pub const CONTROL_LOST_MS: u64 = 1000;
/// How long the first leader waits for all seeds to say who they are before it begins without.
pub const CONTROL_FORM_MS_MAX: u64 = 5000;
/// Entries that a learner may be behind when it becomes a voter.
pub const VOTER_LAG_ENTRIES_MAX: u64 = 64;
/// Wait before the control store is opened again after it failed.
pub const CONTROL_REOPEN_MS: u64 = 1000;

const _: () = assert!(2 * RAFT_HEARTBEAT_MS < RAFT_ELECTION_MS_MIN);
const _: () = assert!(RAFT_ELECTION_MS_MIN < RAFT_ELECTION_MS_MAX);
const _: () = assert!(RAFT_SNAPSHOT_CHUNK_BYTES < CONTROL_MESSAGE_BYTES_MAX as u64);
const _: () = assert!(CONTROL_WRITE_MS_MAX + CONTROL_CALL_MS_MAX < CONTROL_PROPOSAL_MS_MAX);
const _: () = assert!(CONTROL_LOOK_MS_MIN < CONTROL_LOOK_MS);
