//! Rows of the command table: settings and measurements.

use crate::command::parse::{keys, session};
use crate::command::spec::Flag::{Admin, Loading, NoScript, ReadOnly, Stale};
use crate::command::spec::{Argument, Docs, Family, KeyFlag, KeySpec, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("config", -2, Family::Server, session).docs(
        &Docs::new("A container for server configuration commands.", "2.0.0", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("config|get", -3, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .docs(
            &Docs::new(
                "Returns the effective values of configuration parameters.",
                "2.0.0",
                "server",
            )
            .complexity("O(N) when N is the number of configuration parameters provided")
            .history(&[(
                "7.0.0",
                "Added the ability to pass multiple pattern parameters in one call",
            )])
            .arguments(&[Argument::string("parameter").multiple()]),
        ),
    Spec::new("config|set", -4, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Sets configuration parameters in-flight.", "2.0.0", "server")
                .complexity("O(N) when N is the number of configuration parameters provided")
                .history(&[("7.0.0", "Added the ability to set multiple parameters in one call.")])
                .arguments(&[Argument::block(
                    "data",
                    &[Argument::string("parameter"), Argument::string("value")],
                )
                .multiple()]),
        ),
    Spec::new("config|resetstat", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(&Docs::new("Resets the server's statistics.", "2.0.0", "server").complexity("O(1)")),
    Spec::new("config|rewrite", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Persists the effective configuration to file.", "2.8.0", "server")
                .complexity("O(1)"),
        ),
    Spec::new("config|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "5.0.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("backup", -2, Family::Server, session).docs(
        &Docs::new("A container for commands about a copy of the node's items.", "7.4.0", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("backup|start", 2, Family::Server, session).flags(&[Admin, NoScript]).docs(
        &Docs::new("Begins a copy of all items and returns its name.", "7.4.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("backup|status", 2, Family::Server, session).flags(&[Admin, NoScript]).docs(
        &Docs::new("Returns how far the copy that is being made is.", "7.4.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("backup|read", 4, Family::Server, session).flags(&[Admin, NoScript]).docs(
        &Docs::new(
            "Returns the next bytes of the copy, in parts; none at its end.",
            "7.4.0",
            "server",
        )
        .complexity("O(N) where N is the number of items in these bytes")
        .arguments(&[Argument::string("id"), Argument::integer("offset")]),
    ),
    Spec::new("backup|end", 3, Family::Server, session).flags(&[Admin, NoScript]).docs(
        &Docs::new("Ends the copy, whether it is finished or not.", "7.4.0", "server")
            .complexity("O(1)")
            .arguments(&[Argument::string("id")]),
    ),
    Spec::new("backup|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "7.4.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("slowlog", -2, Family::Server, session).docs(
        &Docs::new("A container for slow log commands.", "2.2.12", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("slowlog|get", -2, Family::Server, session)
        .flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .docs(
            &Docs::new("Returns the slow log's entries.", "2.2.12", "server")
                .complexity("O(N) where N is the number of entries returned")
                .history(&[("4.0.0", "Added client IP address, port and name to the reply.")])
                .arguments(&[Argument::integer("count").optional()]),
        ),
    Spec::new("slowlog|len", 2, Family::Server, session)
        .flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .docs(
            &Docs::new("Returns the number of entries in the slow log.", "2.2.12", "server")
                .complexity("O(1)"),
        ),
    Spec::new("slowlog|reset", 2, Family::Server, session)
        .flags(&[Admin, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Clears all entries from the slow log.", "2.2.12", "server")
                .complexity("O(N) where N is the number of entries in the slowlog"),
        ),
    Spec::new("slowlog|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Show helpful text about the different subcommands", "6.2.0", "server")
            .complexity("O(1)"),
    ),
    Spec::new("latency", -2, Family::Server, session).docs(
        &Docs::new("A container for latency diagnostics commands.", "2.8.13", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("latency|latest", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs(
            &Docs::new("Returns the latest latency samples for all events.", "2.8.13", "server")
                .complexity("O(1)"),
        ),
    Spec::new("latency|history", 3, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs(
            &Docs::new("Returns timestamp-latency samples for an event.", "2.8.13", "server")
                .complexity("O(1)")
                .arguments(&[Argument::string("event")]),
        ),
    Spec::new("latency|reset", -2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
        .docs(
            &Docs::new("Resets the latency data for one or more events.", "2.8.13", "server")
                .complexity("O(1)")
                .arguments(&[Argument::string("event").optional().multiple()]),
        ),
    Spec::new("latency|histogram", -2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs(
            &Docs::new(
                "Returns the cumulative distribution of latencies of a subset \
                 or all commands.",
                "7.0.0",
                "server",
            )
            .complexity(
                "O(N) where N is the number of commands with latency \
                 information being retrieved.",
            )
            .arguments(&[Argument::string("command").optional().multiple()]),
        ),
    Spec::new("latency|doctor", 2, Family::Server, session)
        .flags(&[Admin, NoScript, Loading, Stale])
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .docs(
            &Docs::new("Returns a human-readable latency analysis report.", "2.8.13", "server")
                .complexity("O(1)"),
        ),
    Spec::new("latency|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "2.8.13", "server")
            .complexity("O(1)"),
    ),
    Spec::new("memory", -2, Family::Server, session).docs(
        &Docs::new("A container for memory diagnostics commands.", "4.0.0", "server")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("memory|usage", -3, Family::Key, keys::memory_usage)
        .flags(&[ReadOnly])
        .keys(&[KeySpec::at(2, &[KeyFlag::Ro])])
        .docs(
            &Docs::new("Estimates the memory usage of a key.", "4.0.0", "server")
                .complexity("O(N) where N is the number of samples.")
                .arguments(&[
                    Argument::key("key", 0),
                    Argument::integer("count").token("SAMPLES").optional(),
                ]),
        ),
    Spec::new("memory|doctor", 2, Family::Server, session)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(
            &Docs::new("Outputs a memory problems report.", "4.0.0", "server").complexity("O(1)"),
        ),
    Spec::new("memory|stats", 2, Family::Server, session)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(
            &Docs::new("Returns details about memory usage.", "4.0.0", "server").complexity("O(1)"),
        ),
    Spec::new("memory|purge", 2, Family::Server, session)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            &Docs::new("Asks the allocator to release memory.", "4.0.0", "server")
                .complexity("Depends on how much memory is allocated, could be slow"),
        ),
    Spec::new("memory|help", 2, Family::Server, session).flags(&[Loading, Stale]).docs(
        &Docs::new("Returns helpful text about the different subcommands.", "4.0.0", "server")
            .complexity("O(1)"),
    ),
];
