//! Rows of the command table: CLIENT and its subcommands.

use crate::command::parse::session;
use crate::command::spec::Flag::{Admin, Loading, NoScript, Stale};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("client", -2, Family::Connection, session).docs(
        &Docs::new("A container for client connection commands.", "2.4.0", "connection")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("client|id", 2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Returns the unique client ID of the connection.", "5.0.0", "connection")
                .complexity("O(1)"),
        ),
    Spec::new("client|info", 2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns information about the connection.", "6.2.0", "connection")
                .complexity("O(1)"),
        ),
    Spec::new("client|list", -2, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Lists open connections.", "2.4.0", "connection")
                .complexity("O(N) where N is the number of client connections")
                .history(&[
                    ("2.8.12", "Added unique client `id` field."),
                    ("5.0.0", "Added optional `TYPE` filter."),
                    ("6.0.0", "Added `user` field."),
                    (
                        "6.2.0",
                        "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and \
                     the optional `ID` filter.",
                    ),
                    ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
                    ("7.0.3", "Added `ssub` field."),
                ])
                .arguments(&[
                    Argument::one_of(
                        "client-type",
                        &[
                            Argument::flag("normal", "NORMAL"),
                            Argument::flag("master", "MASTER"),
                            Argument::flag("replica", "REPLICA"),
                            Argument::flag("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .since("5.0.0")
                    .optional(),
                    Argument::integer("client-id").token("ID").since("6.2.0").optional().multiple(),
                ]),
        ),
    Spec::new("client|setname", 3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Sets the connection name.", "2.6.9", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::string("connection-name")]),
        ),
    Spec::new("client|getname", 2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Returns the name of the connection.", "2.6.9", "connection")
                .complexity("O(1)"),
        ),
    Spec::new("client|setinfo", 4, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            &Docs::new(
                "Sets information specific to the client or connection.",
                "7.2.0",
                "connection",
            )
            .complexity("O(1)")
            .arguments(&[Argument::one_of(
                "attr",
                &[
                    Argument::string("libname").token("LIB-NAME"),
                    Argument::string("libver").token("LIB-VER"),
                ],
            )]),
        ),
    Spec::new("client|routing", 3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Redirects or forwards what belongs to another node of the cluster. Not of Redis.",
                "7.2.0",
                "connection",
            )
            .complexity("O(1)")
            .arguments(&[Argument::one_of(
                "routing",
                &[Argument::flag("redirect", "REDIRECT"), Argument::flag("forward", "FORWARD")],
            )]),
        ),
    Spec::new("client|kill", -3, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Terminates open connections.", "2.4.0", "connection")
                .complexity("O(N) where N is the number of client connections")
                .history(&[
                    ("2.8.12", "Added new filter format."),
                    ("2.8.12", "`ID` option."),
                    ("3.2.0", "Added `master` type in for `TYPE` option."),
                    (
                        "5.0.0",
                        "Replaced `slave` `TYPE` with `replica`. `slave` still \
                     supported for backward compatibility.",
                    ),
                    ("6.2.0", "`LADDR` option."),
                ])
                .arguments(&[Argument::one_of(
                    "filter",
                    &[
                        Argument::string("old-format").display("ip:port").deprecated("2.8.12"),
                        Argument::one_of(
                            "new-format",
                            &[
                                Argument::integer("client-id")
                                    .token("ID")
                                    .since("2.8.12")
                                    .optional(),
                                Argument::one_of(
                                    "client-type",
                                    &[
                                        Argument::flag("normal", "NORMAL"),
                                        Argument::flag("master", "MASTER").since("3.2.0"),
                                        Argument::flag("slave", "SLAVE"),
                                        Argument::flag("replica", "REPLICA").since("5.0.0"),
                                        Argument::flag("pubsub", "PUBSUB"),
                                    ],
                                )
                                .token("TYPE")
                                .since("2.8.12")
                                .optional(),
                                Argument::string("username").token("USER").optional(),
                                Argument::string("addr")
                                    .token("ADDR")
                                    .display("ip:port")
                                    .optional(),
                                Argument::string("laddr")
                                    .token("LADDR")
                                    .display("ip:port")
                                    .since("6.2.0")
                                    .optional(),
                                Argument::one_of(
                                    "skipme",
                                    &[Argument::flag("yes", "YES"), Argument::flag("no", "NO")],
                                )
                                .token("SKIPME")
                                .optional(),
                            ],
                        )
                        .multiple(),
                    ],
                )]),
        ),
    Spec::new("client|pause", -3, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Suspends commands processing.", "3.0.0", "connection")
                .complexity("O(1)")
                .history(&[(
                    "6.2.0",
                    "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
                )])
                .arguments(&[
                    Argument::integer("timeout"),
                    Argument::one_of(
                        "mode",
                        &[Argument::flag("write", "WRITE"), Argument::flag("all", "ALL")],
                    )
                    .since("6.2.0")
                    .optional(),
                ]),
        ),
    Spec::new("client|unpause", 2, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Resumes processing commands from paused clients.", "6.2.0", "connection")
                .complexity("O(N) Where N is the number of paused clients"),
        ),
    Spec::new("client|no-evict", 3, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Sets the client eviction mode of the connection.", "7.0.0", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::one_of(
                    "enabled",
                    &[Argument::flag("on", "ON"), Argument::flag("off", "OFF")],
                )]),
        ),
    Spec::new("client|no-touch", 3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Controls whether commands sent by the client affect the \
                 LRU/LFU of accessed keys.",
                "7.2.0",
                "connection",
            )
            .complexity("O(1)")
            .arguments(&[Argument::one_of(
                "enabled",
                &[Argument::flag("on", "ON"), Argument::flag("off", "OFF")],
            )]),
        ),
    Spec::new("client|reply", 3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Instructs the server whether to reply to commands.", "3.2.0", "connection")
                .complexity("O(1)")
                .arguments(&[Argument::one_of(
                    "action",
                    &[
                        Argument::flag("on", "ON"),
                        Argument::flag("off", "OFF"),
                        Argument::flag("skip", "SKIP"),
                    ],
                )]),
        ),
    Spec::new("client|tracking", -3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Controls server-assisted client-side caching for the connection.",
                "6.0.0",
                "connection",
            )
            .complexity("O(1). Some options may introduce additional complexity.")
            .arguments(&[
                Argument::one_of(
                    "status",
                    &[Argument::flag("on", "ON"), Argument::flag("off", "OFF")],
                ),
                Argument::integer("client-id").token("REDIRECT").optional(),
                Argument::string("prefix").token("PREFIX").optional().multiple().multiple_token(),
                Argument::flag("bcast", "BCAST").optional(),
                Argument::flag("optin", "OPTIN").optional(),
                Argument::flag("optout", "OPTOUT").optional(),
                Argument::flag("noloop", "NOLOOP").optional(),
            ]),
        ),
    Spec::new("client|trackinginfo", 2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Returns information about server-assisted client-side caching \
                 for the connection.",
                "6.2.0",
                "connection",
            )
            .complexity("O(1)"),
        ),
    Spec::new("client|caching", 3, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Instructs the server whether to track the keys in the next request.",
                "6.0.0",
                "connection",
            )
            .complexity("O(1)")
            .arguments(&[Argument::one_of(
                "mode",
                &[Argument::flag("yes", "YES"), Argument::flag("no", "NO")],
            )]),
        ),
    Spec::new("client|getredir", 2, Family::Connection, session)
        .flags(&[NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Returns the client ID to which the connection's tracking \
                 notifications are redirected.",
                "6.0.0",
                "connection",
            )
            .complexity("O(1)"),
        ),
    Spec::new("client|unblock", -3, Family::Connection, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Unblocks a client blocked by a blocking command from a \
                 different connection.",
                "5.0.0",
                "connection",
            )
            .complexity("O(log N) where N is the number of client connections")
            .arguments(&[
                Argument::integer("client-id"),
                Argument::one_of(
                    "unblock-type",
                    &[Argument::flag("timeout", "TIMEOUT"), Argument::flag("error", "ERROR")],
                )
                .optional(),
            ]),
        ),
    Spec::new("client|help", 2, Family::Connection, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Returns helpful text about the different subcommands.",
                "5.0.0",
                "connection",
            )
            .complexity("O(1)"),
        ),
];
