//! The only room that reads the time.
