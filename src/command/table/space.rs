//! Rows of the command table: the keyspace as a whole.

use crate::command::parse::space;
use crate::command::spec::Flag::{Fast, ReadOnly, Write};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("scan", -2, Family::Scan, space::scan)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs(
            &Docs::new("Iterates over the key names in the database.", "2.8.0", "generic")
                .complexity(
                    "O(1) for every call. O(N) for a complete iteration, including \
                 enough command calls for the cursor to return back to 0. N is \
                 the number of elements inside the collection.",
                )
                .history(&[("6.0.0", "Added the `TYPE` subcommand.")])
                .arguments(&[
                    Argument::integer("cursor"),
                    Argument::pattern("pattern").token("MATCH").optional(),
                    Argument::integer("count").token("COUNT").optional(),
                    Argument::string("type").token("TYPE").since("6.0.0").optional(),
                ]),
        ),
    Spec::new("keys", 2, Family::Scan, space::keys)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .docs(
            &Docs::new("Returns all key names that match a pattern.", "1.0.0", "generic")
                .complexity(
                    "O(N) with N being the number of keys in the database, under \
                 the assumption that the key names in the database and the \
                 given pattern have limited length.",
                )
                .arguments(&[Argument::pattern("pattern")]),
        ),
    Spec::new("randomkey", 1, Family::Scan, space::randomkey)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
        .docs(
            &Docs::new("Returns a random key name from the database.", "1.0.0", "generic")
                .complexity("O(1)"),
        ),
    Spec::new("dbsize", 1, Family::Scan, space::dbsize)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs(
            &Docs::new("Returns the number of keys in the database.", "1.0.0", "server")
                .complexity("O(1)"),
        ),
    Spec::new("flushall", -1, Family::Server, space::flush)
        .flags(&[Write])
        .categories(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Removes all keys from all databases.", "1.0.0", "server")
                .complexity("O(N) where N is the total number of keys in all databases")
                .history(&[
                    ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
                    ("6.2.0", "Added the `SYNC` flushing mode modifier."),
                ])
                .arguments(&[Argument::one_of(
                    "flush-type",
                    &[
                        Argument::flag("async", "ASYNC").since("4.0.0"),
                        Argument::flag("sync", "SYNC").since("6.2.0"),
                    ],
                )
                .optional()]),
        ),
    Spec::new("flushdb", -1, Family::Server, space::flush)
        .flags(&[Write])
        .categories(&[Category::Keyspace, Category::Dangerous])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Remove all keys from the current database.", "1.0.0", "server")
                .complexity("O(N) where N is the number of keys in the selected database")
                .history(&[
                    ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
                    ("6.2.0", "Added the `SYNC` flushing mode modifier."),
                ])
                .arguments(&[Argument::one_of(
                    "flush-type",
                    &[
                        Argument::flag("async", "ASYNC").since("4.0.0"),
                        Argument::flag("sync", "SYNC").since("6.2.0"),
                    ],
                )
                .optional()]),
        ),
];
