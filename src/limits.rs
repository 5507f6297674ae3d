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
