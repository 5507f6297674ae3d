//! Every command with every option, every error text.
