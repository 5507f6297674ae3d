//! Rows of the command table: CLUSTER, for clients that ask who keeps which slot.

use crate::command::parse::session;
use crate::command::spec::Flag::{Admin, Loading, Stale};
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
            .complexity("O(N) where N is the number of keys in the group of the slot")
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
    Spec::new("cluster|myshardid", 2, Family::Server, session)
        .flags(&[Stale])
        .tips(&["nondeterministic_output"])
        .docs(&Docs::new("Returns the shard ID of a node.", "7.2.0", "cluster").complexity("O(1)")),
    Spec::new("cluster|links", 2, Family::Server, session)
        .flags(&[Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new(
                "Returns a list of all links to and from peers in cluster.",
                "7.0.0",
                "cluster",
            )
            .complexity("O(N) where N is the total number of Cluster nodes"),
        ),
    Spec::new("cluster|replicas", 3, Family::Server, session)
        .flags(&[Admin, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Lists the replica nodes of a master node.", "5.0.0", "cluster")
                .complexity("O(N) where N is the number of replicas.")
                .arguments(&[Argument::string("node-id")]),
        ),
    Spec::new("cluster|slaves", 3, Family::Server, session)
        .flags(&[Admin, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new("Lists the replica nodes of a master node.", "3.0.0", "cluster")
                .deprecated("5.0.0", "`CLUSTER REPLICAS`")
                .complexity("O(N) where N is the number of replicas.")
                .arguments(&[Argument::string("node-id")]),
        ),
    Spec::new("cluster|count-failure-reports", 3, Family::Server, session)
        .flags(&[Admin, Stale])
        .tips(&["nondeterministic_output"])
        .docs(
            &Docs::new(
                "Returns the number of active failure reports active for a node.",
                "3.0.0",
                "cluster",
            )
            .complexity("O(N) where N is the number of failure reports")
            .arguments(&[Argument::string("node-id")]),
        ),
    Spec::new("cluster|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "5.0.0", "cluster")
            .complexity("O(1)"),
    ),
    refused(
        "cluster|meet",
        -4,
        &Docs::new("Refused: use `crabcache cluster add`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|forget",
        3,
        &Docs::new("Refused: use `crabcache cluster remove`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|addslots",
        -3,
        &Docs::new("Refused: use `crabcache cluster rebalance`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|addslotsrange",
        -4,
        &Docs::new("Refused: use `crabcache cluster rebalance`.", "7.0.0", "cluster"),
    ),
    refused(
        "cluster|delslots",
        -3,
        &Docs::new("Refused: use `crabcache cluster rebalance`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|delslotsrange",
        -4,
        &Docs::new("Refused: use `crabcache cluster rebalance`.", "7.0.0", "cluster"),
    ),
    refused(
        "cluster|flushslots",
        2,
        &Docs::new("Refused: use `crabcache cluster rebalance`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|setslot",
        -4,
        &Docs::new("Refused: use `crabcache cluster move`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|replicate",
        3,
        &Docs::new("Refused: use `crabcache cluster config`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|failover",
        -2,
        &Docs::new("Refused: use `crabcache cluster failover`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|reset",
        -2,
        &Docs::new("Refused: use `crabcache cluster remove`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|set-config-epoch",
        3,
        &Docs::new("Refused: use `crabcache cluster status`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|bumpepoch",
        2,
        &Docs::new("Refused: use `crabcache cluster status`.", "3.0.0", "cluster"),
    ),
    refused(
        "cluster|saveconfig",
        2,
        &Docs::new("Refused: use `crabcache cluster status`.", "3.0.0", "cluster"),
    ),
];

/// A form that changes a Redis Cluster and is refused here, with the command to use instead.
const fn refused(name: &'static str, arity: i16, docs: &'static Docs) -> Spec {
    Spec::new(name, arity, Family::Server, session).flags(&[Admin, Stale]).docs(docs)
}
