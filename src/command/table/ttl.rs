//! Rows of the command table: deadlines.

use crate::command::parse::ttl;
use crate::command::spec::Flag::{Fast, ReadOnly, Write};
use crate::command::spec::{Argument, Category, Docs, Family, KeyFlag, KeySpec, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("expire", -3, Family::Ttl, ttl::expire)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new("Sets the expiration time of a key in seconds.", "1.0.0", "generic")
                .complexity("O(1)")
                .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
                .arguments(&[
                    Argument::key("key", 0),
                    Argument::integer("seconds"),
                    Argument::one_of(
                        "condition",
                        &[
                            Argument::flag("nx", "NX"),
                            Argument::flag("xx", "XX"),
                            Argument::flag("gt", "GT"),
                            Argument::flag("lt", "LT"),
                        ],
                    )
                    .since("7.0.0")
                    .optional(),
                ]),
        ),
    Spec::new("pexpire", -3, Family::Ttl, ttl::pexpire)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new("Sets the expiration time of a key in milliseconds.", "2.6.0", "generic")
                .complexity("O(1)")
                .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
                .arguments(&[
                    Argument::key("key", 0),
                    Argument::integer("milliseconds"),
                    Argument::one_of(
                        "condition",
                        &[
                            Argument::flag("nx", "NX"),
                            Argument::flag("xx", "XX"),
                            Argument::flag("gt", "GT"),
                            Argument::flag("lt", "LT"),
                        ],
                    )
                    .since("7.0.0")
                    .optional(),
                ]),
        ),
    Spec::new("expireat", -3, Family::Ttl, ttl::expireat)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Sets the expiration time of a key to a Unix timestamp.",
                "1.2.0",
                "generic",
            )
            .complexity("O(1)")
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
            .arguments(&[
                Argument::key("key", 0),
                Argument::unix_time("unix-time-seconds"),
                Argument::one_of(
                    "condition",
                    &[
                        Argument::flag("nx", "NX"),
                        Argument::flag("xx", "XX"),
                        Argument::flag("gt", "GT"),
                        Argument::flag("lt", "LT"),
                    ],
                )
                .since("7.0.0")
                .optional(),
            ]),
        ),
    Spec::new("pexpireat", -3, Family::Ttl, ttl::pexpireat)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Sets the expiration time of a key to a Unix milliseconds timestamp.",
                "2.6.0",
                "generic",
            )
            .complexity("O(1)")
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
            .arguments(&[
                Argument::key("key", 0),
                Argument::unix_time("unix-time-milliseconds"),
                Argument::one_of(
                    "condition",
                    &[
                        Argument::flag("nx", "NX"),
                        Argument::flag("xx", "XX"),
                        Argument::flag("gt", "GT"),
                        Argument::flag("lt", "LT"),
                    ],
                )
                .since("7.0.0")
                .optional(),
            ]),
        ),
    Spec::new("ttl", 2, Family::Ttl, ttl::ttl)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new("Returns the expiration time in seconds of a key.", "1.0.0", "generic")
                .complexity("O(1)")
                .history(&[("2.8.0", "Added the -2 reply.")])
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("pttl", 2, Family::Ttl, ttl::pttl)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new("Returns the expiration time in milliseconds of a key.", "2.6.0", "generic")
                .complexity("O(1)")
                .history(&[("2.8.0", "Added the -2 reply.")])
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("expiretime", 2, Family::Ttl, ttl::expiretime)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new(
                "Returns the expiration time of a key as a Unix timestamp.",
                "7.0.0",
                "generic",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("pexpiretime", 2, Family::Ttl, ttl::pexpiretime)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new(
                "Returns the expiration time of a key as a Unix milliseconds \
                 timestamp.",
                "7.0.0",
                "generic",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("persist", 2, Family::Ttl, ttl::persist)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new("Removes the expiration time of a key.", "2.2.0", "generic")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
];
