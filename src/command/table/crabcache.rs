//! Rows of the command table: CRABCACHE, by which operators ask about a cluster and change it.

use crate::command::parse::session;
use crate::command::spec::Flag::{Admin, Loading, NoScript, Stale};
use crate::command::spec::{Argument, Docs, Family, Spec};

const NODE: Argument = Argument::integer("node");

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("crabcache", -2, Family::Server, session).docs(
        &Docs::new("A container for commands about a cluster of CrabCache.", SINCE, "server")
            .complexity("Depends on subcommand."),
    ),
    row(
        "crabcache|status",
        2,
        &Docs::new("Tells of nodes, groups and what moves, as JSON.", SINCE, "server"),
    ),
    row(
        "crabcache|plan",
        2,
        &Docs::new("Tells what the cluster would move to be even, as JSON.", SINCE, "server"),
    ),
    row(
        "crabcache|settings",
        -2,
        &Docs::new("Tells what holds for the whole cluster, or changes it.", SINCE, "server")
            .arguments(&[Argument::block(
                "data",
                &[Argument::string("setting"), Argument::string("value")],
            )
            .multiple()
            .optional()]),
    ),
    row(
        "crabcache|drain",
        3,
        &Docs::new("Empties a node until that is taken back.", SINCE, "server").arguments(&[NODE]),
    ),
    row(
        "crabcache|undrain",
        3,
        &Docs::new("Gives a node its share again.", SINCE, "server").arguments(&[NODE]),
    ),
    row(
        "crabcache|remove",
        -3,
        &Docs::new("Empties a node for good.", SINCE, "server").arguments(&[NODE, FORCE]),
    ),
    row(
        "crabcache|forget",
        -3,
        &Docs::new("Takes an empty or lost node off the list.", SINCE, "server")
            .arguments(&[NODE, FORCE]),
    ),
    row(
        "crabcache|failover",
        -3,
        &Docs::new("Takes a node's groups from it.", SINCE, "server").arguments(&[NODE, FORCE]),
    ),
    row(
        "crabcache|move",
        5,
        &Docs::new("Moves slots to a node, in groups of 16.", SINCE, "server").arguments(&[
            Argument::integer("first-slot"),
            Argument::integer("last-slot"),
            NODE,
        ]),
    ),
    row(
        "crabcache|token",
        -4,
        &Docs::new("Lets a node join once, by a token's SHA-256.", SINCE, "server").arguments(&[
            Argument::string("sha256"),
            NODE,
            Argument::integer("seconds").optional(),
        ]),
    ),
    row(
        "crabcache|form",
        -3,
        &Docs::new("Forms the cluster without these seeds.", SINCE, "server")
            .arguments(&[Argument::string("seed").multiple()]),
    ),
    Spec::new("crabcache|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", SINCE, "server")
            .complexity("O(1)"),
    ),
];

/// The first version of Redis that does not have it, as all versions.
const SINCE: &str = "7.4.0";
const FORCE: Argument = Argument::flag("force", "FORCE").optional();

const fn row(name: &'static str, arity: i16, docs: &'static Docs) -> Spec {
    Spec::new(name, arity, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["nondeterministic_output"])
        .docs(docs)
}
