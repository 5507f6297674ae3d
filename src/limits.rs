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
