//! Rows of the command table: keys whatever they hold.

use crate::command::parse::{keys, session};
use crate::command::spec::Flag::{DenyOom, Fast, Loading, ReadOnly, Stale, Write};
use crate::command::spec::{Argument, Category, Docs, Family, KeyFlag, KeySpec, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("del", -2, Family::Key, keys::del)
        .flags(&[Write])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rm, KeyFlag::Delete]).to(-1, 1)])
        .docs(
            &Docs::new("Deletes one or more keys.", "1.0.0", "generic")
                .complexity(
                    "O(N) where N is the number of keys that will be removed. When \
                 a key to remove holds a value other than a string, the \
                 individual complexity for this key is O(M) where M is the \
                 number of elements in the list, set, sorted set or hash. \
                 Removing a single key that holds a string value is O(1).",
                )
                .arguments(&[Argument::key("key", 0).multiple()]),
        ),
    Spec::new("unlink", -2, Family::Key, keys::del)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rm, KeyFlag::Delete]).to(-1, 1)])
        .docs(
            &Docs::new("Asynchronously deletes one or more keys.", "4.0.0", "generic")
                .complexity(
                    "O(1) for each key removed regardless of its size. Then the \
                 command does O(N) work in a different thread in order to \
                 reclaim memory, where N is the number of allocations the \
                 deleted objects where composed of.",
                )
                .arguments(&[Argument::key("key", 0).multiple()]),
        ),
    Spec::new("exists", -2, Family::Key, keys::exists)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro]).to(-1, 1)])
        .docs(
            &Docs::new("Determines whether one or more keys exist.", "1.0.0", "generic")
                .complexity("O(N) where N is the number of keys to check.")
                .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
                .arguments(&[Argument::key("key", 0).multiple()]),
        ),
    Spec::new("touch", -2, Family::Key, keys::touch)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro]).to(-1, 1)])
        .docs(
            &Docs::new(
                "Returns the number of existing keys out of those specified \
                 after updating the time they were last accessed.",
                "3.2.1",
                "generic",
            )
            .complexity("O(N) where N is the number of keys that will be touched.")
            .arguments(&[Argument::key("key", 0).multiple()]),
        ),
    Spec::new("type", 2, Family::Key, keys::kind)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro])])
        .docs(
            &Docs::new("Determines the type of value stored at a key.", "1.0.0", "generic")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("rename", 3, Family::Key, keys::rename)
        .flags(&[Write])
        .categories(&[Category::Keyspace])
        .keys(&[
            KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
            KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Update]),
        ])
        .docs(
            &Docs::new("Renames a key and overwrites the destination.", "1.0.0", "generic")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0), Argument::key("newkey", 1)]),
        ),
    Spec::new("renamenx", 3, Family::Key, keys::renamenx)
        .flags(&[Write, Fast])
        .categories(&[Category::Keyspace])
        .keys(&[
            KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
            KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Insert]),
        ])
        .docs(
            &Docs::new(
                "Renames a key only when the target key name doesn't exist.",
                "1.0.0",
                "generic",
            )
            .complexity("O(1)")
            .history(&[(
                "3.2.0",
                "The command no longer returns an error when source and \
                     destination names are the same.",
            )])
            .arguments(&[Argument::key("key", 0), Argument::key("newkey", 1)]),
        ),
    Spec::new("copy", -3, Family::Key, keys::copy)
        .flags(&[Write, DenyOom])
        .categories(&[Category::Keyspace])
        .keys(&[
            KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access]),
            KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Update]),
        ])
        .docs(
            &Docs::new("Copies the value of a key to a new key.", "6.2.0", "generic")
                .complexity(
                    "O(N) worst case for collections, where N is the number of \
                 nested items. O(1) for string values.",
                )
                .arguments(&[
                    Argument::key("source", 0),
                    Argument::key("destination", 1),
                    Argument::integer("destination-db").token("DB").optional(),
                    Argument::flag("replace", "REPLACE").optional(),
                ]),
        ),
    Spec::new("object", -2, Family::Key, session).docs(
        &Docs::new("A container for object introspection commands.", "2.2.3", "generic")
            .complexity("Depends on subcommand."),
    ),
    Spec::new("object|encoding", 3, Family::Key, keys::object_encoding)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(2, &[KeyFlag::Ro])])
        .docs(
            &Docs::new("Returns the internal encoding of a Redis object.", "2.2.3", "generic")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("object|freq", 3, Family::Key, keys::object_freq)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(2, &[KeyFlag::Ro])])
        .docs(
            &Docs::new(
                "Returns the logarithmic access frequency counter of a Redis object.",
                "4.0.0",
                "generic",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("object|idletime", 3, Family::Key, keys::object_idletime)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(2, &[KeyFlag::Ro])])
        .docs(
            &Docs::new(
                "Returns the time since the last access to a Redis object.",
                "2.2.3",
                "generic",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("object|refcount", 3, Family::Key, keys::object_refcount)
        .flags(&[ReadOnly])
        .categories(&[Category::Keyspace])
        .tips(&["nondeterministic_output"])
        .keys(&[KeySpec::at(2, &[KeyFlag::Ro])])
        .docs(
            &Docs::new("Returns the reference count of a value of a key.", "2.2.3", "generic")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("object|help", 2, Family::Key, session)
        .flags(&[Loading, Stale])
        .categories(&[Category::Keyspace])
        .docs(
            &Docs::new("Returns helpful text about the different subcommands.", "6.2.0", "generic")
                .complexity("O(1)"),
        ),
];
