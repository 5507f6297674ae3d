//! Every bound of a queue, buffer, retry and wait, in one place, related by const assertions.
//! Holds numbers only.

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
// Workers and sessions.

/// Words of a slow command that are kept.
pub const SLOWLOG_ARGS_MAX: usize = 32;
/// Bytes of such a word that are kept.
pub const SLOWLOG_ARG_BYTES_MAX: usize = 128;
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
/// Most HTTP connections at once; further ones wait in the kernel's queue.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Longest wait for the head of an HTTP request, and for the next one on an open connection.
pub const HTTP_HEAD_MS_MAX: u64 = 30_000;
/// Longest life of an HTTP connection; a client that never reads ends here.
pub const HTTP_CONNECTION_MS_MAX: u64 = 300_000;

const _: () = assert!(COMMAND_LATENCY_GROUPING < HISTOGRAM_NANOS_BITS);
const _: () = assert!(SHARD_LATENCY_GROUPING < HISTOGRAM_NANOS_BITS);
const _: () = assert!(HTTP_HEAD_MS_MAX < HTTP_CONNECTION_MS_MAX);
