//! crabcache bench: a load generator people can trust.
