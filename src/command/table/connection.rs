//! Rows of the command table: the connection itself.

use crate::command::parse::session;
use crate::command::spec::Flag::{AllowBusy, Fast, Loading, NoAuth, NoScript, Stale};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("ping", -1, Family::Connection, session)
        .flags(&[Fast])
        .categories(&[Category::Connection])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Returns the server's liveliness response.", "1.0.0", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::string("message").optional()]),
        ),
    Spec::new("echo", 2, Family::Connection, session)
        .flags(&[Loading, Stale, Fast])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Returns the given string.", "1.0.0", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::string("message")]),
        ),
    Spec::new("hello", -1, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Handshakes with the Redis server.", "6.0.0", "connection")
                .complexity("O(1)")
                .history(&[(
                    "6.2.0",
                    "`protover` made optional; when called without arguments the \
                     command reports the current connection's context.",
                )])
                .arguments(&[Argument::block(
                    "arguments",
                    &[
                        Argument::integer("protover"),
                        Argument::block(
                            "auth",
                            &[Argument::string("username"), Argument::string("password")],
                        )
                        .token("AUTH")
                        .optional(),
                        Argument::string("clientname").token("SETNAME").optional(),
                    ],
                )
                .optional()]),
        ),
    Spec::new("auth", -2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Authenticates the connection.", "1.0.0", "connection")
                .complexity("O(N) where N is the number of passwords defined for the user")
                .history(&[("6.0.0", "Added ACL style (username and password).")])
                .arguments(&[
                    Argument::string("username").since("6.0.0").optional(),
                    Argument::string("password"),
                ]),
        ),
    Spec::new("quit", -1, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Closes the connection.", "1.0.0", "connection")
                .complexity("O(1)")
                .deprecated("7.2.0", "just closing the connection"),
        ),
    Spec::new("reset", 1, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .categories(&[Category::Connection])
        .docs(&Docs::new("Resets the connection.", "6.2.0", "connection").complexity("O(1)")),
    Spec::new("select", 2, Family::Connection, session)
        .flags(&[Loading, Stale, Fast])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Changes the selected database.", "1.0.0", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::integer("index")]),
        ),
    Spec::new("readonly", 1, Family::Connection, session)
        .flags(&[Loading, Stale, Fast])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Enables read-only queries for a connection to a Redis Cluster \
                 replica node.",
                "3.0.0",
                "cluster",
            )
            .complexity("O(1)"),
        ),
    Spec::new("readwrite", 1, Family::Connection, session)
        .flags(&[Loading, Stale, Fast])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Enables read-write queries for a connection to a Reids Cluster \
                 replica node.",
                "3.0.0",
                "cluster",
            )
            .complexity("O(1)"),
        ),
    Spec::new("asking", 1, Family::Connection, session)
        .flags(&[Fast])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Signals that a cluster client is following an -ASK redirect.",
                "3.0.0",
                "cluster",
            )
            .complexity("O(1)"),
        ),
];
