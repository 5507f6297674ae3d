//! The composition root: makes a node out of its parts, starts and stops it.
