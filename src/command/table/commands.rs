//! Rows of the command table: COMMAND and its subcommands.

use crate::command::parse::session;
use crate::command::spec::Flag::{Loading, Stale};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("command", -1, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new("Returns detailed information about all commands.", "2.8.13", "server")
                .complexity("O(N) where N is the total number of Redis commands"),
        ),
    Spec::new("command|count", 2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .docs(&Docs::new("Returns a count of commands.", "2.8.13", "server").complexity("O(1)")),
    Spec::new("command|list", -2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new("Returns a list of command names.", "7.0.0", "server")
                .complexity("O(N) where N is the total number of Redis commands")
                .arguments(&[Argument::one_of(
                    "filterby",
                    &[
                        Argument::string("module-name").token("MODULE"),
                        Argument::string("category").token("ACLCAT"),
                        Argument::pattern("pattern").token("PATTERN"),
                    ],
                )
                .token("FILTERBY")
                .optional()]),
        ),
    Spec::new("command|info", -2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new(
                "Returns information about one, multiple or all commands.",
                "2.8.13",
                "server",
            )
            .complexity("O(N) where N is the number of commands to look up")
            .history(&[(
                "7.0.0",
                "Allowed to be called with no argument to get info on all commands.",
            )])
            .arguments(&[Argument::string("command-name").optional().multiple()]),
        ),
    Spec::new("command|docs", -2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new(
                "Returns documentary information about one, multiple or all commands.",
                "7.0.0",
                "server",
            )
            .complexity("O(N) where N is the number of commands to look up")
            .arguments(&[Argument::string("command-name").optional().multiple()]),
        ),
    Spec::new("command|getkeys", -3, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Extracts the key names from an arbitrary command.", "2.8.13", "server")
                .complexity("O(N) where N is the number of arguments to the command")
                .arguments(&[
                    Argument::string("command"),
                    Argument::string("arg").optional().multiple(),
                ]),
        ),
    Spec::new("command|getkeysandflags", -3, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new(
                "Extracts the key names and access flags for an arbitrary command.",
                "7.0.0",
                "server",
            )
            .complexity("O(N) where N is the number of arguments to the command")
            .arguments(&[
                Argument::string("command"),
                Argument::string("arg").optional().multiple(),
            ]),
        ),
    Spec::new("command|help", 2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Connection])
        .docs(
            &Docs::new("Returns helpful text about the different subcommands.", "5.0.0", "server")
                .complexity("O(1)"),
        ),
];
