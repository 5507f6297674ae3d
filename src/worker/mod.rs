//! One thread each: a runtime, a listener, upkeep of its home shards.
