//! Rows of the command table: what the node tells about itself, and what ends it.

use crate::command::parse::session;
use crate::command::spec::Flag::{
    Admin, AllowBusy, Fast, Loading, NoAsyncLoading, NoMulti, NoScript, ReadOnly, Stale,
};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("info", -1, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Dangerous])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(
            &Docs::new("Returns information and statistics about the server.", "1.0.0", "server")
                .complexity("O(1)")
                .history(&[("7.0.0", "Added support for taking multiple section arguments.")])
                .arguments(&[Argument::string("section").optional().multiple()]),
        ),
    Spec::new("stats", 1, Family::Server, session)
        .flags(&[Loading, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new(
                "Returns the node's figures, in all and per shard, as JSON.",
                "0.1.0",
                "server",
            )
            .complexity("O(N) where N is the number of shards"),
        ),
    Spec::new("time", 1, Family::Server, session)
        .flags(&[Loading, Stale, Fast])
        .tips(&["nondeterministic_output"])
        .docs(&Docs::new("Returns the server time.", "2.6.0", "server").complexity("O(1)")),
    Spec::new("role", 1, Family::Server, session)
        .flags(&[NoScript, Loading, Stale, Fast])
        .categories(&[Category::Admin, Category::Dangerous])
        .docs(&Docs::new("Returns the replication role.", "2.8.12", "server").complexity("O(1)")),
    Spec::new("lastsave", 1, Family::Server, session)
        .flags(&[Loading, Stale, Fast])
        .categories(&[Category::Admin, Category::Dangerous])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new(
                "Returns the Unix timestamp of the last successful save to disk.",
                "1.0.0",
                "server",
            )
            .complexity("O(1)"),
        ),
    Spec::new("save", 1, Family::Server, session)
        .flags(&[Admin, NoScript, NoAsyncLoading, NoMulti])
        .docs(
            &Docs::new("Synchronously saves the database(s) to disk.", "1.0.0", "server")
                .complexity("O(N) where N is the total number of keys in all databases"),
        ),
    Spec::new("bgsave", -1, Family::Server, session)
        .flags(&[Admin, NoScript, NoAsyncLoading])
        .docs(
            &Docs::new("Asynchronously saves the database(s) to disk.", "1.0.0", "server")
                .complexity("O(1)")
                .history(&[("3.2.2", "Added the `SCHEDULE` option.")])
                .arguments(&[Argument::flag("schedule", "SCHEDULE").since("3.2.2").optional()]),
        ),
    Spec::new("bgrewriteaof", 1, Family::Server, session)
        .flags(&[Admin, NoScript, NoAsyncLoading])
        .docs(
            &Docs::new("Asynchronously rewrites the append-only file to disk.", "1.0.0", "server")
                .complexity("O(1)"),
        ),
    Spec::new("wait", 3, Family::Server, session)
        .categories(&[Category::Connection])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(
            &Docs::new(
                "Blocks until the asynchronous replication of all preceding \
                 write commands sent by the connection is completed.",
                "3.0.0",
                "generic",
            )
            .complexity("O(1)")
            .arguments(&[Argument::integer("numreplicas"), Argument::integer("timeout")]),
        ),
    Spec::new("lolwut", -1, Family::Server, session).flags(&[ReadOnly, Fast]).docs(
        &Docs::new("Displays computer art and the Redis version", "5.0.0", "server")
            .arguments(&[Argument::integer("version").token("VERSION").optional()]),
    ),
    Spec::new("debug", -2, Family::Server, session).flags(&[Admin, NoScript, Loading, Stale]).docs(
        &Docs::new("A container for debugging commands.", "1.0.0", "server")
            .complexity("Depends on subcommand.")
            .system(),
    ),
    Spec::new("shutdown", -1, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale, NoMulti, AllowBusy])
        .docs(
            &Docs::new(
                "Synchronously saves the database(s) to disk and shuts down the \
                 Redis server.",
                "1.0.0",
                "server",
            )
            .complexity(
                "O(N) when saving, where N is the total number of keys in all \
                 databases when saving data, otherwise O(1)",
            )
            .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")])
            .arguments(&[
                Argument::one_of(
                    "save-selector",
                    &[Argument::flag("nosave", "NOSAVE"), Argument::flag("save", "SAVE")],
                )
                .optional(),
                Argument::flag("now", "NOW").since("7.0.0").optional(),
                Argument::flag("force", "FORCE").since("7.0.0").optional(),
                Argument::flag("abort", "ABORT").since("7.0.0").optional(),
            ]),
        ),
];
