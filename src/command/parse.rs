//! Arguments to typed commands, with Redis's errors.
