//! Rows of the command table: CLUSTER, for clients that ask who keeps which slot.

use crate::command::parse::session;
use crate::command::spec::Flag::{Loading, Stale};
use crate::command::spec::{Argument, Docs, Family, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("cluster", -2, Family::Server, session).docs(
        &Docs::new("A container for Redis Cluster commands.", "3.0.0", "cluster")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("cluster|info", 2, Family::Server, session)
        .flags(&[Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns information about the state of a node.", "3.0.0", "cluster")
                .complexity("O(1)"),
        ),
    Spec::new("cluster|myid", 2, Family::Server, session)
        .flags(&[Stale])
        .docs(&Docs::new("Returns the ID of a node.", "3.0.0", "cluster").complexity("O(1)")),
    Spec::new("cluster|keyslot", 3, Family::Server, session).flags(&[Stale]).docs(
        &Docs::new("Returns the hash slot for a key.", "3.0.0", "cluster")
            .complexity("O(N) where N is the number of bytes in the key")
            .arguments(&[Argument::string("key")]),
    ),
    Spec::new("cluster|slots", 2, Family::Server, session)
        .flags(&[Loading, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns the mapping of cluster slots to nodes.", "3.0.0", "cluster")
                .complexity("O(N) where N is the total number of Cluster nodes")
                .deprecated("7.0.0", "`CLUSTER SHARDS`")
                .history(&[
                    ("4.0.0", "Added node IDs."),
                    ("7.0.0", "Added additional networking metadata field."),
                ]),
        ),
    Spec::new("cluster|shards", 2, Family::Server, session)
        .flags(&[Loading, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns the mapping of cluster slots to shards.", "7.0.0", "cluster")
                .complexity("O(N) where N is the total number of cluster nodes"),
        ),
    Spec::new("cluster|nodes", 2, Family::Server, session)
        .flags(&[Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns the cluster configuration for a node.", "3.0.0", "cluster")
                .complexity("O(N) where N is the total number of Cluster nodes"),
        ),
    Spec::new("cluster|countkeysinslot", 3, Family::Server, session).flags(&[Stale]).docs(
        &Docs::new("Returns the number of keys in a hash slot.", "3.0.0", "cluster")
            .complexity("O(1)")
            .arguments(&[Argument::integer("slot")]),
    ),
    Spec::new("cluster|getkeysinslot", 4, Family::Server, session)
        .flags(&[Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Returns the key names in a hash slot.", "3.0.0", "cluster")
                .complexity("O(N) where N is the number of requested keys")
                .arguments(&[Argument::integer("slot"), Argument::integer("count")]),
        ),
    Spec::new("cluster|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "5.0.0", "cluster")
            .complexity("O(1)"),
    ),
];
