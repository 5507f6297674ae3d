//! Every bound of a queue, buffer, retry and wait, in one place, related by const assertions.
//! Holds numbers only.

/// Values longer than this become reference-counted buffers of their own.
pub const SHARED_VALUE_BYTES_MIN: usize = 16 * 1024;
/// Longest key. Redis allows 512 MiB; nobody means it.
pub const KEY_BYTES_MAX: usize = 64 * 1024 - 1;
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
