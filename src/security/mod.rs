//! Who may do what: tokens compared in constant time, rules for binding.
