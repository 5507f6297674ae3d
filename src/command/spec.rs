//! One table row per command: arity, flags, keys, documentation.
