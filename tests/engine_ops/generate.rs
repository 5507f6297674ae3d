//! Random commands: every command of the engine with every option, on few keys, so that they meet.

use super::Words;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, sample};

/// Where the time of the tests starts: in the year 2100, in milliseconds.
pub const START_MS: u64 = 4_102_444_800_000;

/// Every command of the engine.
pub const COMMANDS: [&str; 47] = [
    "append",
    "copy",
    "dbsize",
    "decr",
    "decrby",
    "del",
    "exists",
    "expire",
    "expireat",
    "expiretime",
    "flushall",
    "flushdb",
    "get",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "incr",
    "incrby",
    "incrbyfloat",
    "keys",
    "lcs",
    "memory",
    "mget",
    "mset",
    "msetnx",
    "object",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "psetex",
    "pttl",
    "randomkey",
    "rename",
    "renamenx",
    "scan",
    "set",
    "setex",
    "setnx",
    "setrange",
    "strlen",
    "substr",
    "touch",
    "ttl",
    "type",
    "unlink",
];

/// One step of a run.
#[derive(Clone)]
pub enum Step {
    /// A command.
    Do(Words),
    /// Time passes.
    Wait(u64),
    /// The store may tidy up.
    Upkeep,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Do(words) => write!(f, "{}", super::show(words)),
            Step::Wait(ms) => write!(f, "wait {ms} ms"),
            Step::Upkeep => write!(f, "upkeep"),
        }
    }
}

/// A run of steps over `keys` keys.
pub fn steps(keys: usize, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => command(keys).prop_map(Step::Do),
        2 => (0u64..3000).prop_map(Step::Wait),
        1 => Just(Step::Upkeep),
    ];
    collection::vec(step, 1..len)
}

type Part = proptest::strategy::BoxedStrategy<Words>;

/// Any command.
pub fn command(keys: usize) -> impl Strategy<Value = Words> {
    prop_oneof![12 => on_one(keys), 5 => on_several(keys), 1 => on_all()]
}

fn on_one(keys: usize) -> impl Strategy<Value = Words> {
    let plain = any_of(&[
        "get",
        "get",
        "get",
        "getdel",
        "strlen",
        "incr",
        "decr",
        "del",
        "unlink",
        "exists",
        "touch",
        "type",
        "ttl",
        "pttl",
        "expiretime",
        "pexpiretime",
        "persist",
    ]);
    let with_value = any_of(&["getset", "setnx", "append", "append"]);
    let range = any_of(&["getrange", "substr"]);
    let when = any_of(&["", "", "nx", "xx", "gt", "lt", "xx gt", "xx lt"]);
    let objects = any_of(&[
        "object encoding",
        "object freq",
        "object idletime",
        "object refcount",
        "memory usage",
    ]);
    prop_oneof![
        6 => (plain, key(keys)).prop_map(join2),
        6 => (line("set"), key(keys), value(), set_options()).prop_map(join4),
        2 => (line("getex"), key(keys), prop_oneof![deadline(), line("persist"), line("")])
            .prop_map(join3),
        2 => (line("setex"), key(keys), number(1..4), value()).prop_map(join4),
        1 => (line("psetex"), key(keys), number(1..4000), value()).prop_map(join4),
        2 => (with_value, key(keys), value()).prop_map(join3),
        1 => (range, key(keys), number(-60..60), number(-60..60)).prop_map(join4),
        1 => (line("setrange"), key(keys), number(0..60), value()).prop_map(join4),
        2 => (any_of(&["incrby", "decrby"]), key(keys), increment()).prop_map(join3),
        2 => (line("incrbyfloat"), key(keys), fraction()).prop_map(join3),
        2 => (expiry(), when).prop_flat_map(move |(e, w)| {
            key(keys).prop_map(move |k| [&e[..1], &k[..], &e[1..], &w[..]].concat())
        }),
        1 => (objects, key(keys)).prop_map(join2),
    ]
}

fn on_several(keys: usize) -> impl Strategy<Value = Words> {
    let readers = any_of(&["mget", "mget", "exists", "touch", "del", "unlink"]);
    let names = collection::vec(key(keys), 1..6).prop_map(|names| names.concat());
    let pairs = collection::vec((key(keys), value()).prop_map(join2), 1..5);
    let copies = any_of(&["", "replace"]);
    let lcs = any_of(&[
        "",
        "len",
        "idx",
        "idx withmatchlen",
        "idx minmatchlen 2",
        "idx minmatchlen 2 withmatchlen",
    ]);
    prop_oneof![
        3 => (readers, names).prop_map(join2),
        2 => (any_of(&["mset", "msetnx"]), pairs.prop_map(|p| p.concat())).prop_map(join2),
        2 => (any_of(&["rename", "renamenx"]), key(keys), key(keys)).prop_map(join3),
        1 => (line("copy"), key(keys), key(keys), copies).prop_map(join4),
        1 => (line("lcs"), key(keys), key(keys), lcs).prop_map(join4),
    ]
}

fn on_all() -> impl Strategy<Value = Words> {
    let count = number(1..40).prop_map(|n| [super::words("count"), n].concat());
    let matching = pattern().prop_map(|p| [super::words("match"), p].concat());
    let kind = any_of(&["", "", "type string", "type hash"]);
    prop_oneof![
        4 => any_of(&["dbsize", "randomkey"]),
        4 => (line("keys"), pattern()).prop_map(join2),
        8 => (line("scan 0"), count, prop_oneof![line(""), matching], kind).prop_map(join4),
        1 => any_of(&["flushall", "flushdb"]),
    ]
}

fn pattern() -> Part {
    prop_oneof![
        any_of(&["*", "key:1*", "*{tag}*", "key:?", "key:[0-4]", "key:[^12]*", "none", "key:1"]),
        collection::vec(sample::select(b"key:12*?[]^-\\".to_vec()), 0..8)
            .prop_map(|bytes| vec![bytes]),
    ]
    .boxed()
}

fn key(keys: usize) -> Part {
    (0..keys)
        .prop_map(|i| match i % 8 {
            0 => vec![format!("{{tag}}{i}").into_bytes()],
            7 if i < 8 => vec![vec![]],
            _ => vec![format!("key:{i}").into_bytes()],
        })
        .boxed()
}

fn value() -> Part {
    prop_oneof![
        4 => (-20i64..200).prop_map(|n| vec![n.to_string().into_bytes()]),
        4 => "[a-d]{0,12}".prop_map(|text| vec![text.into_bytes()]),
        // No exponents: with digits behind them they are numbers for INCRBYFLOAT, but too large
        // for the model's.
        2 => any_of(&["1.25", "-0.5", "+5", "007", "-0", "9223372036854775807", "inf"]),
        2 => collection::vec(any::<u8>(), 0..64).prop_map(|bytes| vec![bytes]),
        1 => (40usize..200).prop_map(|len| vec![vec![b'x'; len]]),
    ]
    .boxed()
}

/// A run of steps that set and read values of up to 64 KiB.
pub fn large_steps(keys: usize, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let sizes = prop_oneof![4 => 0usize..300, 2 => 300usize..20_000, 1 => 16_000usize..65_536];
    // No digits: hundreds of them are a number for INCRBYFLOAT, but too large for the model's.
    let byte = any::<u8>().prop_map(|byte| if byte.is_ascii_digit() { byte | 0x40 } else { byte });
    let large = (sizes, byte).prop_map(|(len, byte)| vec![vec![byte; len]]).boxed();
    let with_value = any_of(&["set", "set", "set", "append", "getset"]);
    let with_ttl = (line("setex"), key(keys), number(1..40), large.clone()).prop_map(join4);
    let readers = any_of(&["get", "get", "strlen", "del", "getdel", "pttl", "persist"]);
    let step = prop_oneof![
        8 => (with_value, key(keys), large).prop_map(join3).prop_map(Step::Do),
        4 => with_ttl.prop_map(Step::Do),
        6 => (readers, key(keys)).prop_map(join2).prop_map(Step::Do),
        2 => command(keys).prop_map(Step::Do),
        1 => (0u64..3000).prop_map(Step::Wait),
        2 => Just(Step::Upkeep),
    ];
    collection::vec(step, 1..len)
}

fn set_options() -> Part {
    let expiry = prop_oneof![3 => line(""), 1 => line("keepttl"), 2 => deadline()];
    let condition = any_of(&["", "", "", "nx", "xx"]);
    (condition, any_of(&["", "", "get"]), expiry).prop_map(join3).boxed()
}

fn deadline() -> Part {
    prop_oneof![
        (line("ex"), number(1..5)).prop_map(join2),
        (line("px"), number(1..5000)).prop_map(join2),
        (line("exat"), absolute(1000)).prop_map(join2),
        (line("pxat"), absolute(1)).prop_map(join2),
    ]
    .boxed()
}

/// EXPIRE and its kin without the key.
fn expiry() -> Part {
    prop_oneof![
        (line("expire"), number(-1..5)).prop_map(join2),
        (line("pexpire"), number(-500..5000)).prop_map(join2),
        (line("expireat"), prop_oneof![4 => absolute(1000), 1 => line("-7")]).prop_map(join2),
        (line("pexpireat"), prop_oneof![4 => absolute(1), 1 => line("0")]).prop_map(join2),
    ]
    .boxed()
}

/// A time from a little before the start on, or one long past.
fn absolute(unit_ms: u64) -> Part {
    let near = (START_MS - 5_000..START_MS + 60_000).prop_map(move |t| t / unit_ms);
    prop_oneof![6 => near, 1 => Just(1)].prop_map(|t| vec![t.to_string().into_bytes()]).boxed()
}

fn increment() -> Part {
    prop_oneof![
        4 => number(-50..50),
        1 => any_of(&["9223372036854775807", "-9223372036854775807"]),
    ]
    .boxed()
}

fn fraction() -> Part {
    any_of(&[
        "0.1",
        "0.25",
        "-1.5",
        "10",
        "1e3",
        "-0.7",
        "1e-3",
        "5.0e2",
        "1e17",
        "123456789.1",
        "9007199254740993",
        "-1e25",
    ])
}

fn number(range: std::ops::Range<i64>) -> Part {
    range.prop_map(|n| vec![n.to_string().into_bytes()]).boxed()
}

fn line(text: &'static str) -> Part {
    Just(super::words(text)).boxed()
}

fn any_of(lines: &'static [&'static str]) -> Part {
    sample::select(lines).prop_map(super::words).boxed()
}

fn join2((a, b): (Words, Words)) -> Words {
    [a, b].concat()
}

fn join3((a, b, c): (Words, Words, Words)) -> Words {
    [a, b, c].concat()
}

fn join4((a, b, c, d): (Words, Words, Words, Words)) -> Words {
    [a, b, c, d].concat()
}
