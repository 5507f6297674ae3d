//! Rows of the command table: what clients ask of servers with users, modules and functions.
//! There is one user here, and none of the others.

use crate::command::parse::session;
use crate::command::spec::Flag::{Admin, Loading, NoScript, Stale};
use crate::command::spec::{Argument, Category, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("acl", -2, Family::Server, session).docs(
        &Docs::new("A container for Access List Control commands.", "6.0.0", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("acl|whoami", 2, Family::Server, session).flags(&[NoScript, Loading, Stale]).docs(
        &Docs::new(
            "Returns the authenticated username of the current connection.",
            "6.0.0",
            "server",
        )
        .complexity("O(1)"),
    ),
    Spec::new("acl|cat", -2, Family::Server, session).flags(&[NoScript, Loading, Stale]).docs(
        &Docs::new(
            "Lists the ACL categories, or the commands inside a category.",
            "6.0.0",
            "server",
        )
        .complexity("O(1) since the categories and commands are a fixed set.")
        .arguments(&[Argument::string("category").optional()]),
    ),
    Spec::new("acl|list", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .docs(
            &Docs::new("Dumps the effective rules in ACL file format.", "6.0.0", "server")
                .complexity("O(N). Where N is the number of configured users."),
        ),
    Spec::new("acl|users", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .docs(
            &Docs::new("Lists all ACL users.", "6.0.0", "server")
                .complexity("O(N). Where N is the number of configured users."),
        ),
    Spec::new("acl|getuser", 3, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .docs(
            &Docs::new("Lists the ACL rules of a user.", "6.0.0", "server")
                .complexity(
                    "O(N). Where N is the number of password, command and pattern \
                 rules that the user has.",
                )
                .history(&[
                    ("6.2.0", "Added Pub/Sub channel patterns."),
                    (
                        "7.0.0",
                        "Added selectors and changed the format of key and channel \
                     patterns from a list to their rule representation.",
                    ),
                ])
                .arguments(&[Argument::string("username")]),
        ),
    Spec::new("acl|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "6.0.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("module", -2, Family::Server, session).docs(
        &Docs::new("A container for module commands.", "4.0.0", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("module|list", 2, Family::Server, session)
        .flags(&[Admin, NoScript])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new("Returns all loaded modules.", "4.0.0", "server")
                .complexity("O(N) where N is the number of loaded modules."),
        ),
    Spec::new("module|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "5.0.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("function", -2, Family::Server, session).docs(
        &Docs::new("A container for function commands.", "7.0.0", "scripting")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("function|list", -2, Family::Server, session)
        .flags(&[NoScript])
        .categories(&[Category::Scripting])
        .tips(&["nondeterministic_output_order"])
        .docs(
            &Docs::new("Returns information about all libraries.", "7.0.0", "scripting")
                .complexity("O(N) where N is the number of functions")
                .arguments(&[
                    Argument::string("library-name-pattern").token("LIBRARYNAME").optional(),
                    Argument::flag("withcode", "WITHCODE").optional(),
                ]),
        ),
    Spec::new("function|help", 2, Family::Server, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Scripting])
        .docs(
            &Docs::new(
                "Returns helpful text about the different subcommands.",
                "7.0.0",
                "scripting",
            )
            .complexity("O(1)"),
        ),
];
