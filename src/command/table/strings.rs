//! Rows of the command table on strings: reading, writing, counting.

use crate::command::parse::strings;
use crate::command::spec::Flag::{DenyOom, Fast, ReadOnly, Write};
use crate::command::spec::{Argument, Category, Docs, Family, KeyFlag, KeySpec, Spec};

/// The rows, subcommands behind their command.
pub(super) const ROWS: &[Spec] = &[
    Spec::new("get", 2, Family::Get, strings::get)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new("Returns the string value of a key.", "1.0.0", "string")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("getex", -2, Family::Get, strings::getex)
        .flags(&[Write, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])
            .notes("RW and UPDATE because it changes the TTL")])
        .docs(
            &Docs::new(
                "Returns the string value of a key after setting its expiration time.",
                "6.2.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[
                Argument::key("key", 0),
                Argument::one_of(
                    "expiration",
                    &[
                        Argument::integer("seconds").token("EX"),
                        Argument::integer("milliseconds").token("PX"),
                        Argument::unix_time("unix-time-seconds").token("EXAT"),
                        Argument::unix_time("unix-time-milliseconds").token("PXAT"),
                        Argument::flag("persist", "PERSIST"),
                    ],
                )
                .optional(),
            ]),
        ),
    Spec::new("getdel", 2, Family::Get, strings::getdel)
        .flags(&[Write, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])])
        .docs(
            &Docs::new(
                "Returns the string value of a key after deleting the key.",
                "6.2.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("mget", -2, Family::Get, strings::mget)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::String])
        .tips(&["request_policy:multi_shard"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access]).to(-1, 1)])
        .docs(
            &Docs::new(
                "Atomically returns the string values of one or more keys.",
                "1.0.0",
                "string",
            )
            .complexity("O(N) where N is the number of keys to retrieve.")
            .arguments(&[Argument::key("key", 0).multiple()]),
        ),
    Spec::new("set", -3, Family::Set, strings::set)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(
            1,
            &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags],
        )
        .notes("RW and ACCESS due to the optional `GET` argument")])
        .docs(
            &Docs::new(
                "Sets the string value of a key, ignoring its type. The key is \
                 created if it doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .history(&[
                ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
                ("6.0.0", "Added the `KEEPTTL` option."),
                ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
                ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
            ])
            .arguments(&[
                Argument::key("key", 0),
                Argument::string("value"),
                Argument::one_of(
                    "condition",
                    &[Argument::flag("nx", "NX"), Argument::flag("xx", "XX")],
                )
                .since("2.6.12")
                .optional(),
                Argument::flag("get", "GET").since("6.2.0").optional(),
                Argument::one_of(
                    "expiration",
                    &[
                        Argument::integer("seconds").token("EX").since("2.6.12"),
                        Argument::integer("milliseconds").token("PX").since("2.6.12"),
                        Argument::unix_time("unix-time-seconds").token("EXAT").since("6.2.0"),
                        Argument::unix_time("unix-time-milliseconds").token("PXAT").since("6.2.0"),
                        Argument::flag("keepttl", "KEEPTTL").since("6.0.0"),
                    ],
                )
                .optional(),
            ]),
        ),
    Spec::new("put", -3, Family::Set, strings::put)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Sets the string value of a key, with a time to live in seconds \
                 where one is given.",
                "0.1.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[
                Argument::key("key", 0),
                Argument::string("value"),
                Argument::integer("seconds").optional(),
            ]),
        ),
    Spec::new("setnx", 3, Family::Set, strings::setnx)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Insert])])
        .docs(
            &Docs::new(
                "Set the string value of a key only when the key doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .deprecated("2.6.12", "`SET` with the `NX` argument")
            .arguments(&[Argument::key("key", 0), Argument::string("value")]),
        ),
    Spec::new("setex", 4, Family::Set, strings::setex)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Sets the string value and expiration time of a key. Creates \
                 the key if it doesn't exist.",
                "2.0.0",
                "string",
            )
            .complexity("O(1)")
            .deprecated("2.6.12", "`SET` with the `EX` argument")
            .arguments(&[
                Argument::key("key", 0),
                Argument::integer("seconds"),
                Argument::string("value"),
            ]),
        ),
    Spec::new("psetex", 4, Family::Set, strings::psetex)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Sets both string value and expiration time in milliseconds of \
                 a key. The key is created if it doesn't exist.",
                "2.6.0",
                "string",
            )
            .complexity("O(1)")
            .deprecated("2.6.12", "`SET` with the `PX` argument")
            .arguments(&[
                Argument::key("key", 0),
                Argument::integer("milliseconds"),
                Argument::string("value"),
            ]),
        ),
    Spec::new("getset", 3, Family::Set, strings::getset)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Returns the previous string value of a key after setting it to \
                 a new value.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .deprecated("6.2.0", "`SET` with the `!GET` argument")
            .arguments(&[Argument::key("key", 0), Argument::string("value")]),
        ),
    Spec::new("mset", -3, Family::Set, strings::mset)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update]).to(-1, 2)])
        .docs(
            &Docs::new(
                "Atomically creates or modifies the string values of one or \
                 more keys.",
                "1.0.1",
                "string",
            )
            .complexity("O(N) where N is the number of keys to set.")
            .arguments(&[Argument::block(
                "data",
                &[Argument::key("key", 0), Argument::string("value")],
            )
            .multiple()]),
        ),
    Spec::new("msetnx", -3, Family::Set, strings::msetnx)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Insert]).to(-1, 2)])
        .docs(
            &Docs::new(
                "Atomically modifies the string values of one or more keys only \
                 when all keys don't exist.",
                "1.0.1",
                "string",
            )
            .complexity("O(N) where N is the number of keys to set.")
            .arguments(&[Argument::block(
                "data",
                &[Argument::key("key", 0), Argument::string("value")],
            )
            .multiple()]),
        ),
    Spec::new("incr", 2, Family::Counter, strings::incr)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Increments the integer value of a key by one. Uses 0 as \
                 initial value if the key doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("decr", 2, Family::Counter, strings::decr)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Decrements the integer value of a key by one. Uses 0 as \
                 initial value if the key doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("incrby", 3, Family::Counter, strings::incrby)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Increments the integer value of a key by a number. Uses 0 as \
                 initial value if the key doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0), Argument::integer("increment")]),
        ),
    Spec::new("decrby", 3, Family::Counter, strings::decrby)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Decrements a number from the integer value of a key. Uses 0 as \
                 initial value if the key doesn't exist.",
                "1.0.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0), Argument::integer("decrement")]),
        ),
    Spec::new("incrbyfloat", 3, Family::Counter, strings::incrbyfloat)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Increment the floating point value of a key by a number. Uses \
                 0 as initial value if the key doesn't exist.",
                "2.6.0",
                "string",
            )
            .complexity("O(1)")
            .arguments(&[Argument::key("key", 0), Argument::double("increment")]),
        ),
    Spec::new("append", 3, Family::StringOther, strings::append)
        .flags(&[Write, DenyOom, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Insert])])
        .docs(
            &Docs::new(
                "Appends a string to the value of a key. Creates the key if it \
                 doesn't exist.",
                "2.0.0",
                "string",
            )
            .complexity(
                "O(1). The amortized time complexity is O(1) assuming the \
                 appended value is small and the already present value is of \
                 any size, since the dynamic string library used by Redis will \
                 double the free space available on every reallocation.",
            )
            .arguments(&[Argument::key("key", 0), Argument::string("value")]),
        ),
    Spec::new("strlen", 2, Family::StringOther, strings::strlen)
        .flags(&[ReadOnly, Fast])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro])])
        .docs(
            &Docs::new("Returns the length of a string value.", "2.2.0", "string")
                .complexity("O(1)")
                .arguments(&[Argument::key("key", 0)]),
        ),
    Spec::new("getrange", 4, Family::StringOther, strings::getrange)
        .flags(&[ReadOnly])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new("Returns a substring of the string stored at a key.", "2.4.0", "string")
                .complexity(
                    "O(N) where N is the length of the returned string. The \
                 complexity is ultimately determined by the returned length, \
                 but because creating a substring from an existing string is \
                 very cheap, it can be considered O(1) for small strings.",
                )
                .arguments(&[
                    Argument::key("key", 0),
                    Argument::integer("start"),
                    Argument::integer("end"),
                ]),
        ),
    Spec::new("setrange", 4, Family::StringOther, strings::setrange)
        .flags(&[Write, DenyOom])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])])
        .docs(
            &Docs::new(
                "Overwrites a part of a string value with another by an offset. \
                 Creates the key if it doesn't exist.",
                "2.2.0",
                "string",
            )
            .complexity(
                "O(1), not counting the time taken to copy the new string in \
                 place. Usually, this string is very small so the amortized \
                 complexity is O(1). Otherwise, complexity is O(M) with M being \
                 the length of the value argument.",
            )
            .arguments(&[
                Argument::key("key", 0),
                Argument::integer("offset"),
                Argument::string("value"),
            ]),
        ),
    Spec::new("substr", 4, Family::StringOther, strings::getrange)
        .flags(&[ReadOnly])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])])
        .docs(
            &Docs::new("Returns a substring from a string value.", "1.0.0", "string")
                .complexity(
                    "O(N) where N is the length of the returned string. The \
                 complexity is ultimately determined by the returned length, \
                 but because creating a substring from an existing string is \
                 very cheap, it can be considered O(1) for small strings.",
                )
                .deprecated("2.0.0", "`GETRANGE`")
                .arguments(&[
                    Argument::key("key", 0),
                    Argument::integer("start"),
                    Argument::integer("end"),
                ]),
        ),
    Spec::new("lcs", -3, Family::StringOther, strings::lcs)
        .flags(&[ReadOnly])
        .categories(&[Category::String])
        .keys(&[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access]).to(1, 1)])
        .docs(
            &Docs::new("Finds the longest common substring.", "7.0.0", "string")
                .complexity("O(N*M) where N and M are the lengths of s1 and s2, respectively")
                .arguments(&[
                    Argument::key("key1", 0),
                    Argument::key("key2", 0),
                    Argument::flag("len", "LEN").optional(),
                    Argument::flag("idx", "IDX").optional(),
                    Argument::integer("min-match-len").token("MINMATCHLEN").optional(),
                    Argument::flag("withmatchlen", "WITHMATCHLEN").optional(),
                ]),
        ),
];
