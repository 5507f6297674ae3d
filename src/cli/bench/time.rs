//! The load generator's clock: the process's own, which only `clock` reads.

pub(super) use crate::clock::monotonic_nanos as nanos;
