//! Room for big values on their way in, and for what only unsent answers still refer to.

/// A value on its way in is counted in steps of at most this, before so much of it is read.
pub const INCOMING_STEP_BYTES: usize = 256 * 1024;
/// Values that no shard keeps (yet, or any more) may take this part of the bound on memory; a
/// single one that is alone may take all.
pub const LOOSE_PART: u64 = 2;
/// Room for such values is made ahead, this part of the bound at a time …
pub const LOOSE_AHEAD_PART: u64 = 128;
/// … and at most this much.
pub const LOOSE_AHEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What APPEND or SETRANGE makes of a value is put together before its shard is locked from this
/// length on.
pub const CHANGE_AHEAD_BYTES_MIN: usize = 256 * 1024;
/// Values larger than this part of what each shard would have are set aside when a bound is
/// divided, …
pub const GIANT_PART: u64 = 2;
/// … as long as at least this part of the bound is left to divide.
pub const GIANTS_LEAVE_PART: u64 = 8;
/// Where others have less room than this node, what it leads counts with at most this part more for
/// memory that is in use and holds nothing.
pub const CEILING_LOOSE_PART: u64 = 8;
/// Most steps in which one shard makes room for such values; each takes the lock anew.
pub const ROOM_STEPS_MAX: u32 = 64 * 1024;

const _: () = assert!(CHANGE_AHEAD_BYTES_MIN >= super::SHARED_VALUE_BYTES_MIN);
const _: () = assert!(INCOMING_STEP_BYTES > super::SHARED_VALUE_BYTES_MIN);
// Together with the spare blocks of shards less than 3 %.
const _: () = assert!(LOOSE_AHEAD_PART >= 100);
/// Where bounds were divided anew and a copy of another node's group still found no room, so many
/// bytes of copies come before that is tried again.
pub const WIDEN_AGAIN_BYTES: u64 = 4 * 1024 * 1024;
/// How often eviction passes over an item that a command is at work on.
pub const PINNED_PASSES_MAX: u32 = 64;
/// Items passed over in search of a victim for one candidate.
pub const SECOND_CHANCES_MAX: u32 = 128;
/// How long a worker has next to nothing to do before it gives memory back.
pub const UPKEEP_REST_MS: u64 = 1000;
/// Batches in a round of upkeep that still count as nothing.
pub const UPKEEP_REST_BATCHES: u64 = 2;
