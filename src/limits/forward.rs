//! Bounds of what clients see of other nodes: commands that go to them, waits, who is told of.

use super::{PEER_CALLS_MAX, PEER_DATA_MESSAGE_BYTES_MAX, VALUE_BYTES_MAX_RELAXED};

/// Most nodes of which a topology reply tells.
pub const ANNOUNCED_NODES_MAX: usize = 1024;
/// Longest name or address of a node that clients are told: the longest name that DNS has.
pub const HOST_BYTES_MAX: usize = 253;
/// Longest time that WAIT waits; a client that asks for ever is answered then.
pub const WAIT_MS_MAX: u64 = 3_600_000;
/// Time between two looks of WAIT at how far the copies are.
pub const WAIT_STEP_MS: u64 = 2;
/// Longest time for which another node is asked at once how far copies are; then again.
pub const WAIT_ASK_MS_MAX: u64 = 1000;
/// Time before another node is asked again that could not answer as wanted.
pub const WAIT_REASK_MS: u64 = 20;
/// Longest time that a command waits for somebody who serves its group.
pub const FORWARD_WAIT_MS_MAX: u64 = 2000;
/// Time after such a wait in which a connection's further commands do not wait anew.
pub const FORWARD_REST_MS: u64 = 1000;
/// Shortest and longest time between two looks for who serves a group; news end it earlier.
pub const FORWARD_STEP_MS_MIN: u64 = 1;
/// See [`FORWARD_STEP_MS_MIN`].
pub const FORWARD_STEP_MS_MAX: u64 = 50;
/// Time that a node which is not the owner any more has to answer what it was sent before.
pub const FORWARD_GRACE_MS: u64 = 250;
/// Longest time for the answer to commands that were sent to another node.
pub const FORWARD_CALL_MS_MAX: u64 = 10_000;
/// Calls with forwarded commands to one node at a time. What comes meanwhile goes together.
pub const FORWARD_CALLS_MAX: usize = 8;
/// Bytes of commands at which a call takes no more of them.
pub const FORWARD_CALL_BYTES_MAX: usize = 256 * 1024;
/// Bytes of commands for one node, waiting or sent and unanswered, at which no more are taken.
pub const FORWARD_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of answers at which the rest of a call is sent back undone.
pub const FORWARD_REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Time after which the thread that carries out others' commands does something else first.
pub const FORWARD_TURN_NANOS_MAX: u64 = 500_000;
/// Runs of groups without any key that one SCAN passes over, each of one node.
pub const FORWARD_SCAN_RUNS_MAX: usize = 64;
/// Commands of others on all keys at a time.
pub const FORWARD_SPACES_MAX: usize = 4;

const _: () = assert!(WAIT_ASK_MS_MAX + WAIT_REASK_MS < FORWARD_CALL_MS_MAX);
const _: () = assert!(FORWARD_STEP_MS_MIN < FORWARD_STEP_MS_MAX);
const _: () = assert!(FORWARD_STEP_MS_MAX < FORWARD_GRACE_MS);
const _: () = assert!(FORWARD_GRACE_MS < FORWARD_WAIT_MS_MAX);
const _: () = assert!(FORWARD_CALLS_MAX < PEER_CALLS_MAX as usize);
const _: () = assert!(FORWARD_CALL_BYTES_MAX < FORWARD_QUEUE_BYTES_MAX);
const _: () = assert!(
    FORWARD_REPLY_BYTES_MAX + VALUE_BYTES_MAX_RELAXED < PEER_DATA_MESSAGE_BYTES_MAX,
    "one value of any size may come last"
);
