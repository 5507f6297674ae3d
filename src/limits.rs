//! Every bound of a queue, buffer, retry and wait, in one place, related by const assertions.
//! Holds numbers only.

mod control;
mod forward;
pub mod log;
pub mod operators;
mod replication;
mod room;
pub mod sync;

pub use control::{
    CONTROL_CALL_MS_MAX, CONTROL_CALLS_MAX, CONTROL_DISK_BATCH_MAX, CONTROL_DISK_CACHE_BYTES,
    CONTROL_DISK_JOBS_MAX, CONTROL_FORM_MS_MAX, CONTROL_LOOK_MS, CONTROL_LOOK_MS_MIN,
    CONTROL_LOST_MS, CONTROL_MESSAGE_BYTES_MAX, CONTROL_POSITIONS_MS_MAX, CONTROL_PROPOSAL_MS_MAX,
    CONTROL_PROPOSALS_MAX, CONTROL_PULSE_MS_MAX, CONTROL_PULSE_MS_MIN, CONTROL_REOPEN_MS,
    CONTROL_SEEK_MS, CONTROL_WRITE_MS_MAX, RAFT_ELECTION_MS_MAX, RAFT_ELECTION_MS_MIN,
    RAFT_HEARTBEAT_MS, RAFT_KEPT_ENTRIES, RAFT_PAYLOAD_ENTRIES_MAX, RAFT_RETRY_MS,
    RAFT_SNAPSHOT_CHUNK_BYTES, RAFT_SNAPSHOT_CHUNK_MS_MAX, RAFT_SNAPSHOT_ENTRIES,
    VOTER_LAG_ENTRIES_MAX,
};
pub use forward::{
    ANNOUNCED_NODES_MAX, FORWARD_CALL_BYTES_MAX, FORWARD_CALL_MS_MAX, FORWARD_CALLS_MAX,
    FORWARD_GRACE_MS, FORWARD_QUEUE_BYTES_MAX, FORWARD_REPLY_BYTES_MAX, FORWARD_REST_MS,
    FORWARD_SCAN_RUNS_MAX, FORWARD_SPACES_MAX, FORWARD_STEP_MS_MAX, FORWARD_STEP_MS_MIN,
    FORWARD_TURN_NANOS_MAX, FORWARD_WAIT_MS_MAX, HOST_BYTES_MAX, WAIT_ASK_MS_MAX, WAIT_MS_MAX,
    WAIT_REASK_MS, WAIT_STEP_MS,
};
pub use log::{LOG_FRAMES_MAX, RECOVERY_MISSING_FILES_MAX, RECOVERY_WAITING_FRAMES_MAX};
pub use replication::{
    BACKLOG_BYTES_MIN, BACKLOG_PART, CLUSTER_PROPOSALS_MAX, HANDOVER_LOOK_MS, HANDOVER_LOOKS_MAX,
    LAG_HEARD_MS_MAX, LAG_LOOK_MS, LAG_TELL_MS, LEASE_LOOK_MS, REPLICATION_AHEAD_BYTES,
    REPLICATION_EVENTS_MAX, REPLICATION_FLUSH_MS, REPLICATION_FLUSH_TRIES, REPLICATION_OPEN_MS_MAX,
    REPLICATION_PAUSE_US, REPLICATION_REOPEN_MS, RESYNC_CHUNK_BYTES, RESYNC_SNAPSHOT_MS,
    ROOM_SHORT_PART, WRITE_HOLD_MS_MAX,
};
pub use room::{
    CEILING_LOOSE_PART, CHANGE_AHEAD_BYTES_MIN, GIANT_PART, GIANTS_LEAVE_PART, INCOMING_STEP_BYTES,
    LOOSE_AHEAD_BYTES_MAX, LOOSE_AHEAD_PART, LOOSE_PART, PINNED_PASSES_MAX, ROOM_STEPS_MAX,
    SECOND_CHANCES_MAX, UPKEEP_REST_BATCHES, UPKEEP_REST_MS, WIDEN_AGAIN_BYTES,
};

/// Values longer than this become reference-counted buffers of their own.
pub const SHARED_VALUE_BYTES_MIN: usize = 16 * 1024;
/// Longest key: with the longest value kept in a segment it fits the smallest segment. Redis
/// allows 512 MiB; nobody means it.
pub const KEY_BYTES_MAX: usize = 32 * 1024;
/// Longest value under `validation = "normal"` and `"strict"` (Redis: `proto-max-bulk-len`).
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest value under `validation = "relaxed"`.
pub const VALUE_BYTES_MAX_RELAXED: usize = 512 * 1024 * 1024;
/// Most arguments of a command.
pub const ARGS_MAX: usize = 1024 * 1024;
/// Most arguments of a command before authentication.
pub const ARGS_MAX_UNAUTHENTICATED: usize = 10;
/// Longest bulk string before authentication.
pub const BULK_BYTES_MAX_UNAUTHENTICATED: usize = 16 * 1024;
/// Longest inline command.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(VALUE_BYTES_MAX <= VALUE_BYTES_MAX_RELAXED);
const _: () = assert!(SHARED_VALUE_BYTES_MIN < VALUE_BYTES_MAX);
const _: () = assert!(BULK_BYTES_MAX_UNAUTHENTICATED <= SHARED_VALUE_BYTES_MIN);

// The load generator (`crabcache bench`).

/// Most keys: their numbers are scattered by 64-bit products.
pub const BENCH_KEYS_MAX: u64 = u32::MAX as u64;
/// Most connections of a run, all threads together.
pub const BENCH_CONNECTIONS_MAX: usize = 50_000;
/// Most threads of a run.
pub const BENCH_THREADS_MAX: usize = 256;
/// Most requests on their way on one connection.
pub const BENCH_PIPELINE_MAX: usize = 100_000;
/// A connection with this much unsent output gets no further request.
pub const BENCH_OUT_BYTES_MAX: usize = 1024 * 1024;
/// What is read from a socket at once.
pub const BENCH_READ_BYTES: usize = 256 * 1024;
/// Longest line of a reply, values apart.
pub const BENCH_REPLY_LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest whole reply to a command of the set-up (AUTH, FLUSHALL, INFO).
pub const BENCH_CONTROL_REPLY_BYTES_MAX: usize = 1024 * 1024;
/// Most requests of a window of a trace replay.
pub const BENCH_WINDOW_MAX: usize = 10_000;
/// Longest line of a trace.
pub const BENCH_TRACE_LINE_BYTES_MAX: usize = 64 * 1024;
/// A connection must be made within this time, and answer to the set-up.
pub const BENCH_CONNECT_MS_MAX: u64 = 10_000;
/// A server that answers nothing at all for this long ends the run.
pub const BENCH_STALL_MS_MAX: u64 = 30_000;
/// How many different error texts a report quotes.
pub const BENCH_ERROR_TEXTS_MAX: usize = 5;

const _: () = assert!(BENCH_OUT_BYTES_MAX <= VALUE_BYTES_MAX);
// What one command may cost the engine.

/// Largest table of LCS in cells, one bit each (Redis: four bytes each, `proto-max-bulk-len`).
/// It bounds the time as well: a cell takes a few nanoseconds of one worker, no lock held.
pub const LCS_CELLS_MAX: usize = VALUE_BYTES_MAX / 4;
/// Most steps of matching one name against a pattern; beyond it counts as no match.
pub const GLOB_STEPS_MAX: usize = 1024 * 1024;
/// Items visited by SCAN or KEYS under one taking of a lock.
pub const WALK_ITEMS_PER_LOCK: usize = 256;
/// Memory a thread keeps for putting small values together; larger ones get their own buffer.
pub const SCRATCH_BYTES_MAX: usize = 2 * SHARED_VALUE_BYTES_MIN;

const _: () = assert!(SHARED_VALUE_BYTES_MIN <= SCRATCH_BYTES_MAX);
// Steps of the engine: counted, so that none takes long whatever a shard holds.

/// Memory that is made resident ahead of its use, beyond the huge page in use, at most …
pub const ARENA_AHEAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// … and this part of the bound on memory.
pub const ARENA_AHEAD_PART: u64 = 256;
/// Free blocks whose pages go back to the system after one use of a shard.
pub const ARENA_TRIM_BLOCKS_MAX: usize = 8;
/// Items that a step of expiry, and one of cleaning, looks at.
pub const UPKEEP_ITEMS_MAX: usize = 256;
/// Items that a step looks at after the node's role in a group has changed.
pub const ROLE_ITEMS_MAX: usize = 128;
/// How long a segment of copies rests in which items are past their deadline and their primary has
/// not said so, in milliseconds.
pub const REPLICA_EXPIRY_MS: u64 = 1000;
/// Blocks that a step of upkeep gives up.
pub const UPKEEP_BLOCKS_MAX: usize = 4;
/// Leaves of the index that a step looks at in all.
pub const STEP_LEAVES_MAX: usize = 2 * COMPACT_LEAVES_MAX;
/// Segments weighed by a step in search of one to clean.
pub const WEIGH_SEGMENTS_MAX: usize = 1024;
/// A step of the engine ends when it has looked at so many live items (what it has begun then, it
/// finishes: at most as much again) …
pub const STEP_ITEMS_MAX: usize = 1024;
/// … or moved so many bytes …
pub const STEP_BYTES_MAX: usize = 512 * 1024;
/// … or passed over so many bytes of dead items, a cache line of each at most.
pub const STEP_DEAD_BYTES_MAX: usize = 1024 * 1024;
/// A write that finds no room after such a step is lent this part of the bound at most.
pub const CREDIT_PART: u64 = 128;
/// Leaves looked at by a step that empties a block of the index.
pub const COMPACT_LEAVES_MAX: usize = 1024;
/// Blocks of the index looked at in search of the sparsest.
pub const COMPACT_BLOCKS_MAX: usize = 1024;

// What a step does before it looks how much that was: expiry, cleaning, and an eviction in which
// both regions are searched.
const _: () = assert!(
    2 * UPKEEP_ITEMS_MAX + ROLE_ITEMS_MAX + 3 * SECOND_CHANCES_MAX as usize <= STEP_ITEMS_MAX
);
const _: () = assert!(KEY_BYTES_MAX + SHARED_VALUE_BYTES_MIN <= STEP_BYTES_MAX / 8);
// Workers and sessions.

/// Words of a slow command that are kept.
pub const SLOWLOG_ARGS_MAX: usize = 32;
/// Bytes of such a word that are kept.
pub const SLOWLOG_ARG_BYTES_MAX: usize = 128;
/// Size of a worker's read buffer: the most that one read brings.
pub const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection before others have a turn.
pub const TURN_READS_MAX: usize = 4;
/// Time that one connection's commands take before others have a turn.
pub const TURN_NANOS_MAX: u64 = 1_000_000;
/// Events of connections that a worker takes from the system at once.
pub const ROUND_EVENTS_MAX: usize = 256;
/// Connections with at least so many bytes to execute have their turn as soon as these are read.
pub const AHEAD_BYTES_MAX: usize = 512;
/// Rounds of turns before the rest of a worker's runtime has a turn.
pub const ROUNDS_MAX: usize = 4;
/// Turns of tasks before the runtime looks at its sockets and timers.
pub const EVENT_INTERVAL: u32 = 2;
/// Commands that are decoded, hashed and executed in one go.
pub const BATCH_COMMANDS_MAX: usize = 64;
/// Empty lines between two commands before others have a turn.
pub const EMPTY_COMMANDS_MAX: usize = 1024;
/// Unsent answers at which no further command is read from who is not authenticated.
pub const OUTPUT_BYTES_MAX_UNAUTHENTICATED: usize = 1024;
/// Unexecuted input of who is not authenticated.
pub const QUERY_BYTES_MAX_UNAUTHENTICATED: usize =
    (ARGS_MAX_UNAUTHENTICATED + 1) * (BULK_BYTES_MAX_UNAUTHENTICATED + 32) + READ_BYTES;
/// Log lines a second about connections of a worker.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 10;
/// Time between two looks for connections that take too long.
pub const SWEEP_MS: u64 = 1000;
/// Time until the next try when no connection can be accepted.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Time between two rounds of upkeep of a busy worker.
pub const UPKEEP_MS_MIN: u64 = 10;
/// The same of an idle one.
pub const UPKEEP_MS_MAX: u64 = 100;
/// Steps of upkeep in a row before the timer is asked again.
pub const UPKEEP_ROUNDS_MAX: u32 = 64;
/// Longest wait for answers on their way when the node ends.
pub const DRAIN_MS_MAX: u64 = 2000;
/// Time between two looks at them.
pub const DRAIN_STEP_MS: u64 = 5;
/// Shards for each worker when their number is not set: few enough to keep, many enough that
/// workers seldom meet on one.
pub const SHARDS_PER_WORKER: usize = 8;
/// Time between two divisions of the memory bound between shards.
pub const REBALANCE_MS: u64 = 250;
/// Open files beside connections.
pub const DESCRIPTORS_RESERVED: usize = 64;
/// Wrong passwords from one address in a second.
pub const AUTH_FAILURES_PER_SECOND_MAX: u32 = 10;
/// Addresses whose wrong passwords are counted.
pub const AUTH_ADDRESSES_MAX: usize = 4096;
/// Longest name of a client or of its library.
pub const CLIENT_NAME_BYTES_MAX: usize = 1024;
/// Longest DEBUG SLEEP.
pub const DEBUG_SLEEP_SECONDS_MAX: f64 = 3600.0;
/// Bytes read on without looking when a connection is closed.
pub const GOODBYE_BYTES_MAX: usize = 1024 * 1024;
/// How long that may take.
pub const GOODBYE_MS_MAX: u64 = 1000;

const _: () = assert!(UPKEEP_MS_MAX < WORKER_STALL_MS_MAX);
const _: () = assert!(BULK_BYTES_MAX_UNAUTHENTICATED < READ_BYTES / 2);
// Codec (`resp`).

/// Longest inline command before authentication.
pub const INLINE_BYTES_MAX_UNAUTHENTICATED: usize = 16 * 1024;
/// Arguments of an unfinished command that a decoder keeps room for once the command is done.
pub const DECODER_ARGS_KEPT_MAX: usize = 64;
/// Room that an output keeps when it is empty and its recent use was small.
pub const OUTPUT_KEPT_BYTES_MAX: usize = 64 * 1024;
/// Uses of a grown output in a row that needed less than a quarter of it, before it shrinks.
pub const OUTPUT_SMALL_USES_MAX: u32 = 64;
/// Pieces of an output given to one writev(2).
pub const OUTPUT_SLICES_MAX: usize = 64;

const _: () = assert!(INLINE_BYTES_MAX_UNAUTHENTICATED <= INLINE_BYTES_MAX);
const _: () = assert!(OUTPUT_SLICES_MAX <= 1024, "IOV_MAX of Linux");
// Room `config`: what settings may be.

/// Longest key under `validation = "strict"`.
pub const KEY_BYTES_MAX_STRICT: usize = 1024;
/// Most workers that can be asked for.
pub const WORKERS_MAX: usize = 256;
/// Most shards that can be asked for.
pub const SHARDS_MAX: usize = 256;
/// Most connections that can be asked for.
pub const CLIENTS_MAX: usize = 1_000_000;
/// Most slow commands that can be kept.
pub const SLOWLOG_LEN_MAX: usize = 100_000;
/// Least memory bound that makes sense: below it the index alone would not fit.
pub const MAX_MEMORY_BYTES_MIN: u64 = 1024 * 1024;

const _: () = assert!(KEY_BYTES_MAX_STRICT <= KEY_BYTES_MAX);

// Room `cli`.

/// How long `crabcache healthcheck` waits for each step.
pub const HEALTHCHECK_MS_MAX: u64 = 3000;
/// How much of an answer it reads.
pub const HEALTHCHECK_BYTES_MAX: u64 = 64 * 1024;
// Metrics and HTTP.

/// Latencies are told apart up to 2^36 ns, about 69 s.
pub const HISTOGRAM_NANOS_BITS: u32 = 36;
/// Parts of a power of two in the latencies of a command: each is known to 1/32.
pub const COMMAND_LATENCY_GROUPING: u32 = 5;
/// Parts of a power of two in the latencies of a shard, of which there are many: known to 1/8.
pub const SHARD_LATENCY_GROUPING: u32 = 3;
/// Parts of a power of two in the latencies of syncs: known to 1/8.
pub const LOG_LATENCY_GROUPING: u32 = 3;
/// Most error codes counted apart by a worker.
pub const ERROR_CODES_MAX: usize = 128;
/// Longest error code counted under its own name.
pub const ERROR_CODE_BYTES_MAX: usize = 32;
/// Samples that rates are taken from.
pub const RATE_SAMPLES: usize = 16;
/// Time between two of these samples.
pub const RATE_SAMPLE_MS: u64 = 100;
/// Without a beat for so long a worker counts as stalled and the node as unhealthy.
pub const WORKER_STALL_MS_MAX: u64 = 10_000;
/// Most HTTP connections at once; for another one the idlest makes way.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Longest wait for the head of an HTTP request, and for the next one on an open connection.
pub const HTTP_HEAD_MS_MAX: u64 = 5_000;
/// Longest life of an HTTP connection; a client that never reads ends here.
pub const HTTP_CONNECTION_MS_MAX: u64 = 300_000;
/// Longest head of an HTTP request, and most bytes of it read at once.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for HTTP answers under way when the node stops.
pub const HTTP_STOP_MS_MAX: u64 = 2_000;
/// Wait before accepting again after that failed.
pub const HTTP_ACCEPT_RETRY_MS: u64 = 100;

const _: () = assert!(COMMAND_LATENCY_GROUPING < HISTOGRAM_NANOS_BITS);
const _: () = assert!(SHARD_LATENCY_GROUPING < HISTOGRAM_NANOS_BITS);
const _: () = assert!(HTTP_HEAD_MS_MAX < HTTP_CONNECTION_MS_MAX);
// What hyper asks for at least.
const _: () = assert!(HTTP_HEAD_BYTES_MAX >= 8 * 1024);
// How many workers serve (`worker::load`).

/// How often it is looked at, in milliseconds.
pub const LOAD_TICK_MS: u64 = 100;
/// Workers that use this share of a core each are saturated.
pub const LOAD_SATURATED: f64 = 0.85;
/// Idle cores without which no further worker is taken.
pub const LOAD_IDLE_MIN: f64 = 0.75;
/// One worker less must not be busier than this share of a core each.
pub const LOAD_SPARE: f64 = 0.55;
/// The machine is crowded with fewer idle cores than this …
pub const LOAD_CROWDED_IDLE: f64 = 0.15;
/// … and workers that wait this share of the time for a core.
pub const LOAD_CROWDED_DELAY: f64 = 0.20;
/// Looks in a row that take another worker.
pub const LOAD_GROW_TICKS: u32 = 3;
/// Looks in a row that give one up because the rest would do.
pub const LOAD_SHRINK_TICKS: u32 = 20;
/// Looks in a row that give one up because the machine is crowded.
pub const LOAD_CROWDED_TICKS: u32 = 5;
/// Looks to wait before growing again after that, at first and at most.
pub const LOAD_HOLD_MIN: u32 = 50;
/// See [`LOAD_HOLD_MIN`].
pub const LOAD_HOLD_MAX: u32 = 600;
/// Connections on their way to another worker.
pub const NEWCOMERS_MAX: usize = 1024;

const _: () = assert!(LOAD_SPARE < LOAD_SATURATED && LOAD_CROWDED_IDLE < LOAD_IDLE_MIN);
// The log as it grows in the engine.

/// A frame of the log ends with the command that makes it this long.
pub const LOG_FRAME_BYTES: usize = 64 * 1024;
/// Time between two records of what has expired in a group.
pub const LOG_EXPIRED_MS: u64 = 1000;
/// Memory that a shard keeps for what it will record next.
pub const LOG_PIECE_KEPT_BYTES_MAX: usize = 256 * 1024;
/// Changes behind a walk that wait for its next step; with more it begins again.
pub const WALK_FORWARD_BYTES_MAX: usize = 16 * 1024 * 1024;

// Any record fits a frame of its own.
const _: () =
    assert!(VALUE_BYTES_MAX_RELAXED + 2 * KEY_BYTES_MAX <= cluster::record::frame::BODY_BYTES_MAX);
const _: () = assert!(LOG_FRAME_BYTES <= LOG_PIECE_KEPT_BYTES_MAX);
// Room `wal`.

/// Unit of writing: what a disk writes whole, and what direct writes are aligned to.
pub const WAL_BLOCK_BYTES: usize = 4096;
/// Bytes a lane gathers before it writes them out unasked.
pub const WAL_LANE_BUFFER_BYTES: usize = 1024 * 1024;
/// Smallest and largest `wal.segment_bytes`.
pub const WAL_SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// See [`WAL_SEGMENT_BYTES_MIN`].
pub const WAL_SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Smallest `wal.buffer_bytes`.
pub const WAL_BUFFER_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes of the items in a frame of a snapshot, but for a single large one.
pub const SNAPSHOT_FRAME_BYTES: usize = 256 * 1024;
/// How often the walk of a group may begin again in one snapshot before that is given up.
pub const SNAPSHOT_RESTARTS_MAX: u32 = 16;
/// Effects in a snapshot are applied at the time when the walk of their group began, less this:
/// a command that is under way then may read its time from a clock that was asked earlier.
pub const SNAPSHOT_TIME_MARGIN_MS: u64 = 1000;
/// Longest time that a snapshot that writes too fast waits at once.
pub const SNAPSHOT_PAUSE_MS_MAX: u64 = 100;
/// Shortest time that it waits.
pub const SNAPSHOT_PAUSE_US_MIN: u64 = 250;
/// The log may grow to this many bytes, or those of the data, before it is worth a snapshot.
pub const SNAPSHOT_LOG_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// Bytes of a backup that a node gives at once, but for a single large item.
pub const BACKUP_CHUNK_BYTES: usize = 256 * 1024;
/// Steps of walks it takes for that at most.
pub const BACKUP_STEPS_MAX: usize = 256;
/// Values of a backup from this length on are handed over without a copy.
pub const BACKUP_SHARED_BYTES_MIN: usize = 64 * 1024;
/// A backup of which nothing was read for so long is given up.
pub const BACKUP_IDLE_MS_MAX: u64 = 30_000;
/// Longest wait of `crabcache backup` for the node.
pub const BACKUP_ANSWER_MS_MAX: u64 = 30_000;
/// Longest line of an answer that it reads.
pub const BACKUP_LINE_BYTES_MAX: usize = 64 * 1024;
/// Most parts of an answer that it reads.
pub const BACKUP_PARTS_MAX: usize = 64 * 1024;
/// Time between two lines about how far it is.
pub const BACKUP_TOLD_MS: u64 = 1000;
/// Retired segments kept to be used again; further ones are removed.
pub const WAL_SPARE_SEGMENTS_MAX: usize = 2;

const _: () = assert!(WAL_LANE_BUFFER_BYTES.is_multiple_of(WAL_BLOCK_BYTES));
const _: () = assert!(WAL_LANE_BUFFER_BYTES > 2 * WAL_BLOCK_BYTES);
const _: () = assert!(WAL_SEGMENT_BYTES_MIN > 2 * WAL_BLOCK_BYTES as u64);
// The log's thread.

/// How far the time of a command may be behind that of its record, which others had moved on.
pub const REPLAY_LATE_MS: u64 = 1000;
/// Payloads from this length on are shared with the log instead of copied into it.
pub const LOG_SPLICE_BYTES_MIN: usize = 64 * 1024;
/// Items of a group that are given up while a lock is held.
pub const CLEAR_ITEMS_PER_LOCK: usize = 256;
/// Items of a group that a digest looks at while it holds a lock.
pub const DIGEST_ITEMS_PER_LOCK: usize = 512;
/// This part of the bound on memory more may be used while data is loaded that may not be evicted:
/// what fitted once need not lie as densely when it is read back.
pub const RECOVERY_SPARE_PART: u64 = 8;
/// What an item takes beside its name and its value, about: for telling how much memory is needed.
pub const RECOVERY_ITEM_BYTES: u64 = 24;
/// Time between two lines about a recovery that goes on.
pub const RECOVERY_TOLD_MS: u64 = 1000;
/// Damaged places that are named when a node refuses to start.
pub const RECOVERY_DAMAGES_TOLD_MAX: usize = 4;

/// Time between two rounds while there is something to write.
pub const WAL_TICK_MS: u64 = 5;
/// The same while there is nothing.
pub const WAL_IDLE_MS: u64 = 50;
/// What is written and not synced under `async`; with more it is synced before its time.
pub const WAL_UNSYNCED_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Time between two looks whether the log is long or old enough for a snapshot.
pub const WAL_WEIGH_MS: u64 = 1000;
/// Time between two tries to write to a disk that failed.
pub const WAL_RETRY_MS: u64 = 1000;
/// A sync that takes longer is counted as slow, as Redis does.
pub const WAL_SYNC_SLOW_MS: u64 = 2000;
/// Empty pieces of the log that are kept for use.
pub const WAL_PIECES_KEPT_MAX: usize = 512;
/// Places in the list of those who wait for the disk, above which it is not kept.
pub const GATE_WAITS_KEPT_MAX: usize = 1024;

const _: () = assert!(WAL_TICK_MS < WAL_IDLE_MS && WAL_IDLE_MS < WAL_RETRY_MS);
// Reading the log back (`wal::recovery`).

/// What is read of a log file at once; the buffer grows beyond only for a longer frame.
pub const RECOVERY_READ_BYTES: usize = 1024 * 1024;
/// Most threads that read the log back.
pub const RECOVERY_THREADS_MAX: usize = 256;
/// Bytes that are read between two reports of progress.
pub const RECOVERY_PROGRESS_BYTES: u64 = 16 * 1024 * 1024;
// What clients see of a cluster.

/// Most listeners beside those of `server.port` and `server.forward_port`.
pub const LISTENERS_MAX: usize = 16;
/// Longest name of a listener.
pub const LISTENER_NAME_BYTES_MAX: usize = 32;

const _: () = assert!(LISTENERS_MAX + 2 <= u8::MAX as usize);

/// Most copies of an item, the primary's included.
pub const REPLICATION_FACTOR_MAX: u64 = 5;

// Between nodes (`peer`).

/// Handshakes under way above which an address must prove that it can hear us before it costs
/// more than a packet …
pub const PEER_HANDSHAKES_RETRY: usize = 16;
/// … and above which nobody is heard at all.
pub const PEER_HANDSHAKES_MAX: usize = 256;
/// What is kept of a connection that nobody has looked at yet, and of all such together.
pub const PEER_INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// See [`PEER_INCOMING_BYTES_MAX`].
pub const PEER_INCOMING_TOTAL_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A connection is made within this time, or given up.
pub const PEER_DIAL_MS_MAX: u64 = 2000;
/// A connection on which nothing comes for this long is dead.
pub const PEER_IDLE_MS_MAX: u64 = 5000;
/// Something is sent at least this often.
pub const PEER_KEEP_ALIVE_MS: u64 = 250;
/// The round trip that is assumed before the first was measured.
pub const PEER_INITIAL_RTT_MS: u64 = 5;
/// The first pause between two tries to connect; it doubles up to …
pub const PEER_REDIAL_MS_MIN: u64 = 50;
/// … this.
pub const PEER_REDIAL_MS_MAX: u64 = 1000;
/// Closing waits this long for the peers to hear of it.
pub const PEER_CLOSE_MS_MAX: u64 = 1000;
/// What a stream may hold that its reader has not taken.
pub const PEER_STREAM_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// The same for all streams of a connection: seven readers that stand still leave room for others.
pub const PEER_CONNECTION_WINDOW_BYTES: u32 = 8 * PEER_STREAM_WINDOW_BYTES;
/// What may be on its way on a connection.
pub const PEER_SEND_WINDOW_BYTES: u64 = 64 * 1024 * 1024;
/// Calls under way to a peer, those that wait for the connection included.
pub const PEER_CALLS_MAX: u32 = 1024;
/// Streams from a peer.
pub const PEER_STREAMS_MAX: u32 = 64;
/// Connections for single calls of nodes that know only an address.
pub const PEER_VISITS_MAX: usize = 64;
/// Datagrams that wait to be sent, and to be handled; the oldest go when there are more.
pub const PEER_DATAGRAM_BYTES_MAX: usize = 256 * 1024;
/// What the system is asked to hold for a socket, each way.
pub const PEER_SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// What a stream holds that is not sent yet, at which its writers wait. One message may be larger.
pub const PEER_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages up to this long are copied together; of longer ones the parts are referred to.
pub const PEER_COPY_BYTES_MAX: usize = 4 * 1024;
/// Room for messages that are copied together is taken in pieces of this size.
pub const PEER_PIECE_BYTES: usize = 64 * 1024;
/// Pieces of a stream that are taken from the transport at once.
pub const PEER_CHUNKS_PER_READ: usize = 32;
/// Longest message of the control plane.
pub const PEER_CONTROL_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest message of the data plane: a command with the longest value, and something around it.
pub const PEER_DATA_MESSAGE_BYTES_MAX: usize = VALUE_BYTES_MAX_RELAXED + 64 * 1024 * 1024;

const _: () = assert!(PEER_HANDSHAKES_RETRY < PEER_HANDSHAKES_MAX);
const _: () = assert!(4 * PEER_KEEP_ALIVE_MS < PEER_IDLE_MS_MAX);
const _: () = assert!(PEER_DIAL_MS_MAX < PEER_IDLE_MS_MAX);
const _: () = assert!(PEER_REDIAL_MS_MIN < PEER_REDIAL_MS_MAX);
const _: () = assert!(PEER_COPY_BYTES_MAX < PEER_PIECE_BYTES);
const _: () = assert!(PEER_DATA_MESSAGE_BYTES_MAX < u32::MAX as usize);
