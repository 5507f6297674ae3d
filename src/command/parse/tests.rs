//! Every command with every option, every error text. The texts were compared with those of a
//! running Redis when they were written.

use super::{Action, Refusal, Request, parse};
use crate::command::reply::errors;
use crate::command::spec;
use crate::command::{
    Arg, Args, Command, ExpireCondition, ExpiryChange, KeyOp, KeysOp, LcsOp, LongDouble, ScanOp,
    SetCondition, SetExpiry, SetOp, SpaceOp, Time, Value,
};
use bytes::Bytes;

const NOW: Time = Time(1_700_000_000_000);
const CHANCE: u64 = 77;
const GETEX_EXPIRE: &str = "ERR invalid expire time in 'getex' command";

/// Parses words, given as bytes, and hands over the result.
fn with_words<T>(
    words: &[&[u8]],
    check: impl FnOnce(Args<'_>, Result<Request<'_>, Refusal>) -> T,
) -> T {
    let (mut buffer, mut list) = (Vec::new(), Vec::new());
    for word in words {
        let start = buffer.len() as u32;
        buffer.extend_from_slice(word);
        list.push(Arg::Span { start, end: buffer.len() as u32 });
    }
    let args = Args::new(&buffer, &list);
    check(args, parse(args, NOW, CHANCE))
}

/// Parses a line, its words apart by blanks.
fn with<T>(line: &str, check: impl FnOnce(Args<'_>, Result<Request<'_>, Refusal>) -> T) -> T {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    with_words(&words, check)
}

/// The line is read as this command.
macro_rules! reads {
    ($line:expr, $pattern:pat $(if $guard:expr)?) => {
        with($line, |_, result| match result {
            Ok(Request { action: Action::Data($pattern), .. }) $(if $guard)? => {}
            other => panic!("{}: {other:?}", $line),
        })
    };
}

/// The line is refused with this text.
fn refuses(line: &str, text: &str) {
    with(line, |_, result| match result {
        Err(refusal) => assert_eq!(refusal.text, text, "{line}"),
        Ok(request) => panic!("{line}: {request:?}"),
    });
}

#[test]
fn strings_are_read() {
    reads!("get k", Command::Key(b"k", KeyOp::Get));
    reads!("GeT k", Command::Key(b"k", KeyOp::Get));
    reads!("getdel k", Command::Key(b"k", KeyOp::GetDel));
    reads!("getset k v", Command::Key(b"k", KeyOp::GetSet(Value::Slice(b"v"))));
    reads!("setnx k v", Command::Key(b"k", KeyOp::SetNx(Value::Slice(b"v"))));
    reads!("append k v", Command::Key(b"k", KeyOp::Append(Value::Slice(b"v"))));
    reads!("strlen k", Command::Key(b"k", KeyOp::StrLen));
    reads!("getrange k -3 7", Command::Key(b"k", KeyOp::GetRange { start: -3, end: 7 }));
    reads!("substr k 0 -1", Command::Key(b"k", KeyOp::GetRange { start: 0, end: -1 }));
    reads!("setrange k 5 v", Command::Key(b"k", KeyOp::SetRange { offset: 5, value: b"v" }));
    reads!("incr k", Command::Key(b"k", KeyOp::IncrBy(1)));
    reads!("decr k", Command::Key(b"k", KeyOp::IncrBy(-1)));
    reads!("incrby k -5", Command::Key(b"k", KeyOp::IncrBy(-5)));
    reads!("decrby k 5", Command::Key(b"k", KeyOp::IncrBy(-5)));
    reads!("decrby k 9223372036854775807", Command::Key(_, KeyOp::IncrBy(by)) if by == -i64::MAX);
    let fifteen = LongDouble::parse(b"15");
    reads!("incrbyfloat k 1.5e1", Command::Key(_, KeyOp::IncrByFloat(by)) if Some(by) == fifteen);
    reads!("mget a b", Command::Keys(KeysOp::MGet(list)) if list.iter().eq([b"a", b"b"]));
    reads!("mset a 1", Command::Keys(KeysOp::MSet(list)) if list.iter().eq([b"a", b"1"]));
    reads!("msetnx a 1", Command::Keys(KeysOp::MSetNx(list)) if list.iter().eq([b"a", b"1"]));
}

/// What a line that sets `k` to `v` says beyond that.
fn set_op(line: &str) -> (SetCondition, bool, SetExpiry) {
    with(line, |_, result| match result {
        Ok(Request { action: Action::Data(Command::Key(b"k", KeyOp::Set(op))), .. }) => {
            let SetOp { value: Value::Slice(b"v"), condition, get, expiry } = op else {
                panic!("{line}: {op:?}");
            };
            (condition, get, expiry)
        }
        other => panic!("{line}: {other:?}"),
    })
}

#[test]
fn set_with_every_option() {
    use SetCondition::{Always, IfAbsent, IfPresent};
    let after = |millis| SetExpiry::At(Time(NOW.0 + millis));
    let cases = [
        ("set k v", (Always, false, SetExpiry::Clear)),
        ("SET k v", (Always, false, SetExpiry::Clear)),
        ("set k v nx", (IfAbsent, false, SetExpiry::Clear)),
        ("set k v XX", (IfPresent, false, SetExpiry::Clear)),
        ("set k v GET", (Always, true, SetExpiry::Clear)),
        ("set k v nx get", (IfAbsent, true, SetExpiry::Clear)),
        ("set k v keepttl", (Always, false, SetExpiry::Keep)),
        ("set k v ex 10", (Always, false, after(10_000))),
        ("set k v px 10", (Always, false, after(10))),
        ("set k v exat 10", (Always, false, SetExpiry::At(Time(10_000)))),
        ("set k v pxat 10", (Always, false, SetExpiry::At(Time(10)))),
        ("set k v ex 10 ex 20", (Always, false, after(20_000))),
        ("set k v xx keepttl get", (IfPresent, true, SetExpiry::Keep)),
        ("set k v get px 7 xx", (IfPresent, true, after(7))),
        ("setex k 10 v", (Always, false, after(10_000))),
        ("psetex k 10 v", (Always, false, after(10))),
        ("put k v", (Always, false, SetExpiry::Clear)),
        ("put k v 10", (Always, false, after(10_000))),
    ];
    for (line, expected) in cases {
        assert_eq!(set_op(line), expected, "{line}");
    }
}

#[test]
fn large_values_stay_by_reference() {
    let value = Bytes::from(vec![b'x'; 100]);
    let span = |start, end| Arg::Span { start, end };
    let lists = [
        ("setk", vec![span(0, 3), span(3, 4), Arg::Shared(value.clone())]),
        ("setknx", vec![span(0, 3), span(3, 4), Arg::Shared(value.clone()), span(4, 6)]),
    ];
    for (buffer, list) in lists {
        let request = parse(Args::new(buffer.as_bytes(), &list), NOW, 0).expect("a SET");
        let Action::Data(Command::Key(b"k", KeyOp::Set(op))) = request.action else {
            panic!("{request:?}");
        };
        assert!(matches!(op.value, Value::Shared(v) if v.as_ptr() == value.as_ptr()));
    }
}

#[test]
fn getex_with_every_option() {
    let cases = [
        ("getex k", ExpiryChange::Keep),
        ("getex k persist", ExpiryChange::Clear),
        ("getex k EX 10", ExpiryChange::At(Time(NOW.0 + 10_000))),
        ("getex k px 10", ExpiryChange::At(Time(NOW.0 + 10))),
        ("getex k exat 10", ExpiryChange::At(Time(10_000))),
        ("getex k pxat 10", ExpiryChange::At(Time(10))),
        ("getex k px x", ExpiryChange::Refused(errors::NOT_AN_INTEGER)),
        ("getex k px 0", ExpiryChange::Refused(GETEX_EXPIRE)),
        ("getex k exat 9223372036854775807", ExpiryChange::Refused(GETEX_EXPIRE)),
    ];
    for (line, expected) in cases {
        reads!(line, Command::Key(b"k", KeyOp::GetEx(change)) if change == expected);
    }
}

#[test]
fn lcs_with_every_option() {
    reads!(
        "lcs a b",
        Command::Keys(KeysOp::Lcs(LcsOp {
            a: b"a",
            b: b"b",
            len: false,
            idx: false,
            min_match_len: 0,
            with_match_len: false,
        }))
    );
    reads!("lcs a b LEN", Command::Keys(KeysOp::Lcs(LcsOp { len: true, idx: false, .. })));
    reads!(
        "lcs a b idx minmatchlen 4 withmatchlen",
        Command::Keys(KeysOp::Lcs(LcsOp {
            len: false,
            idx: true,
            min_match_len: 4,
            with_match_len: true,
            ..
        }))
    );
    reads!("lcs a b minmatchlen -4", Command::Keys(KeysOp::Lcs(LcsOp { min_match_len: 0, .. })));
}

#[test]
fn keys_are_read() {
    reads!("del k", Command::Key(b"k", KeyOp::Delete));
    reads!("unlink k", Command::Key(b"k", KeyOp::Delete));
    reads!("exists k", Command::Key(b"k", KeyOp::Exists));
    reads!("touch k", Command::Key(b"k", KeyOp::Touch));
    reads!("del a b", Command::Keys(KeysOp::Delete(l)) if l.iter().eq([b"a", b"b"]));
    reads!("unlink a b", Command::Keys(KeysOp::Delete(l)) if l.iter().eq([b"a", b"b"]));
    reads!("exists a a", Command::Keys(KeysOp::Exists(l)) if l.iter().eq([b"a", b"a"]));
    reads!("touch a b", Command::Keys(KeysOp::Touch(l)) if l.iter().eq([b"a", b"b"]));
    reads!("type k", Command::Key(b"k", KeyOp::Type));
    reads!("rename a b", Command::Keys(KeysOp::Rename { from: b"a", to: b"b", if_absent: false }));
    reads!("renamenx a b", Command::Keys(KeysOp::Rename { from: b"a", to: b"b", if_absent: true }));
    reads!("copy a b", Command::Keys(KeysOp::Copy { from: b"a", to: b"b", replace: false }));
    reads!("copy a b DB 0 REPLACE", Command::Keys(KeysOp::Copy { replace: true, .. }));
    reads!("object encoding k", Command::Key(b"k", KeyOp::ObjectEncoding));
    reads!("OBJECT FREQ k", Command::Key(b"k", KeyOp::ObjectFreq));
    reads!("object idletime k", Command::Key(b"k", KeyOp::ObjectIdleTime));
    reads!("object refcount k", Command::Key(b"k", KeyOp::ObjectRefCount));
    reads!("memory usage k", Command::Key(b"k", KeyOp::MemoryUsage));
    reads!("memory usage k samples 0", Command::Key(b"k", KeyOp::MemoryUsage));
}

#[test]
fn deadlines_are_read() {
    let now = NOW.0 as i64;
    let cases = [
        ("expire k 10", now + 10_000, ""),
        ("expire k -10", now - 10_000, ""),
        ("pexpire k 10", now + 10, ""),
        ("expireat k 10", 10_000, ""),
        ("pexpireat k -10", -10, ""),
        ("expire k 10 nx", now + 10_000, "nx"),
        ("pexpire k 10 XX", now + 10, "xx"),
        ("expireat k 10 gt", 10_000, "gt"),
        ("pexpireat k 10 lt", 10, "lt"),
        ("expire k 10 gt xx", now + 10_000, "gt xx"),
        ("expire k 10 lt lt xx", now + 10_000, "lt xx"),
    ];
    for (line, expected, words) in cases {
        let expected_condition = ExpireCondition {
            nx: words.contains("nx"),
            xx: words.contains("xx"),
            gt: words.contains("gt"),
            lt: words.contains("lt"),
        };
        reads!(line, Command::Key(b"k", KeyOp::Expire { at, condition })
            if at == expected && condition == expected_condition);
    }
    reads!("ttl k", Command::Key(b"k", KeyOp::Ttl { absolute: false, millis: false }));
    reads!("pttl k", Command::Key(b"k", KeyOp::Ttl { absolute: false, millis: true }));
    reads!("expiretime k", Command::Key(b"k", KeyOp::Ttl { absolute: true, millis: false }));
    reads!("pexpiretime k", Command::Key(b"k", KeyOp::Ttl { absolute: true, millis: true }));
    reads!("persist k", Command::Key(b"k", KeyOp::Persist));
}

#[test]
fn the_keyspace_is_read() {
    reads!("dbsize", Command::Space(SpaceOp::DbSize));
    reads!("keys a*", Command::Space(SpaceOp::Keys { pattern: b"a*" }));
    reads!("randomkey", Command::Space(SpaceOp::RandomKey { chance: CHANCE }));
    for line in ["flushall", "flushdb", "flushall async", "flushall SYNC", "flushdb ASYNC"] {
        reads!(line, Command::Space(SpaceOp::Flush));
    }
    reads!(
        "scan 0",
        Command::Space(SpaceOp::Scan(ScanOp {
            cursor: 0,
            pattern: None,
            count: 10,
            type_name: None,
        }))
    );
    reads!(
        "scan 18446744073709551615 COUNT 5 MATCH a* TYPE STRING",
        Command::Space(SpaceOp::Scan(ScanOp {
            cursor: u64::MAX,
            pattern: Some(b"a*"),
            count: 5,
            type_name: Some(b"string")
        },))
    );
    reads!(
        "scan 0 type Odd",
        Command::Space(SpaceOp::Scan(ScanOp { type_name: Some(b"Odd"), .. }))
    );
}

#[test]
fn what_the_session_does_itself() {
    let lines = [
        ("PING", "ping"),
        ("ping hello", "ping"),
        ("client ID", "client|id"),
        ("CLIENT setinfo lib-name x", "client|setinfo"),
        ("config get *", "config|get"),
        ("command", "command"),
        ("command info get", "command|info"),
        ("memory doctor", "memory|doctor"),
        ("object help", "object|help"),
        ("stats", "stats"),
        ("cluster slots", "cluster|slots"),
        ("debug sleep 0", "debug"),
    ];
    for (line, name) in lines {
        with(line, |args, result| {
            let request = result.expect(line);
            assert_eq!(request.spec.name, name);
            let Action::Session(own) = request.action else { panic!("{line}: {request:?}") };
            assert!(own.iter().eq(args.iter()), "{line}");
        });
    }
}

#[test]
fn refused_whatever_the_command() {
    refuses("foo", "ERR unknown command 'foo', with args beginning with: ");
    refuses("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    refuses("getx a", "ERR unknown command 'getx', with args beginning with: 'a' ");
    refuses("g\0t a", "ERR unknown command 'g', with args beginning with: 'a' ");
    refuses("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP.");
    refuses("config foo a b", "ERR unknown subcommand 'foo'. Try CONFIG HELP.");
    refuses("get", "ERR wrong number of arguments for 'get' command");
    refuses("get a b", "ERR wrong number of arguments for 'get' command");
    refuses("SET a", "ERR wrong number of arguments for 'set' command");
    refuses("config", "ERR wrong number of arguments for 'config' command");
    refuses("client setname", "ERR wrong number of arguments for 'client|setname' command");
    refuses("mset a 1 b", "ERR wrong number of arguments for 'mset' command");
    refuses("msetnx a 1 b", "ERR wrong number of arguments for 'msetnx' command");
    refuses("put k v 1 2", "ERR wrong number of arguments for 'put' command");
    let (name, word) = ("x".repeat(200), "y".repeat(100));
    let preview = format!("'{}' '{}' ", "y".repeat(100), "y".repeat(25));
    refuses(
        &format!("{name} {word} {word} {word}"),
        &format!("ERR unknown command '{}', with args beginning with: {preview}", &name[..128]),
    );
    with_words(&[], |_, result| assert!(result.is_err()));
    with_words(&[b""], |_, result| assert!(result.is_err()));
    with_words(&[b"\xff\xfe"], |_, result| assert!(result.is_err()));
}

#[test]
fn refused_names_are_told_apart() {
    let spec_of = |line: &str| with(line, |_, r| r.err().and_then(|r| r.spec).map(|s| s.name));
    assert_eq!(spec_of("foo"), None);
    assert_eq!(spec_of("client foo"), None);
    assert_eq!(spec_of("get"), Some("get"));
    assert_eq!(spec_of("client setname"), Some("client|setname"));
    assert_eq!(spec_of("set k v ex 0"), Some("set"));
}

#[test]
fn refused_options() {
    let syntax = [
        "set k v nx xx",
        "set k v xx nx",
        "set k v ex",
        "set k v ex 1 px 1",
        "set k v bogus",
        "set k v keepttl ex 1",
        "set k v ex 1 keepttl",
        "set k v persist",
        "getex k ex",
        "getex k nx",
        "getex k get",
        "getex k keepttl",
        "getex k persist ex 1",
        "getex k ex 1 persist",
        "getex k ex 1 exat 1",
        "lcs a b foo",
        "lcs a b minmatchlen",
        "copy a b foo",
        "copy a b db",
        "flushall foo",
        "flushall async sync",
        "flushdb foo",
        "scan 0 count 0",
        "scan 0 count -1",
        "scan 0 count",
        "scan 0 match",
        "scan 0 foo",
        "scan 0 foo bar",
        "memory usage k samples",
        "memory usage k samples -1",
        "memory usage k foo 1",
    ];
    syntax.into_iter().for_each(|line| refuses(line, "ERR syntax error"));
    refuses("copy a b db 1", "ERR DB index is out of range");
    refuses("copy a a", "ERR source and destination objects are the same");
    refuses("scan x", "ERR invalid cursor");
    refuses("scan", "ERR wrong number of arguments for 'scan' command");
    let both = "ERR If you want both the length and indexes, please just use IDX.";
    refuses("lcs a b idx len", both);
    refuses("expire k 1 foo", "ERR Unsupported option foo");
    let not_with_nx = "ERR NX and XX, GT or LT options at the same time are not compatible";
    for line in ["expire k 1 nx xx", "pexpire k 1 nx gt", "expireat k 1 lt nx"] {
        refuses(line, not_with_nx);
    }
    refuses("expire k 1 gt lt", "ERR GT and LT options at the same time are not compatible");
}

#[test]
fn refused_numbers() {
    let not_an_integer = [
        "set k v ex abc",
        "setex k 1.5 v",
        "psetex k x v",
        "put k v x",
        "getrange k a 1",
        "getrange k 1 b",
        "setrange k x v",
        "incrby k 1.5",
        "incrby k 9223372036854775808",
        "decrby k x",
        "lcs a b minmatchlen x",
        "expire k x",
        "pexpireat k 9223372036854775808",
        "scan 0 count x",
        "memory usage k samples x",
        "copy a b db x",
    ];
    for line in not_an_integer {
        refuses(line, "ERR value is not an integer or out of range");
    }
    refuses("decrby k -9223372036854775808", "ERR decrement would overflow");
    refuses("setrange k -1 v", "ERR offset is out of range");
    refuses("incrbyfloat k abc", "ERR value is not a valid float");
    let invalid_expire = [
        "set k v ex 0",
        "set k v px -1",
        "set k v exat 0",
        "set k v pxat -5",
        "set k v ex 9223372036854775807",
        "set k v px 9223372036854775807",
        "setex k 0 v",
        "psetex k -1 v",
        "put k v 0",
        "expire k 9223372036854775807",
        "expire k -9223372036854775807",
        "pexpire k 9223372036854775807",
        "expireat k 9223372036854775807",
    ];
    for line in invalid_expire {
        let name = line.split(' ').next().unwrap_or_default();
        refuses(line, &format!("ERR invalid expire time in '{name}' command"));
    }
}

/// All keys of a command as the engine sees them.
fn keys_of<'a>(command: &Command<'a>) -> Vec<&'a [u8]> {
    match *command {
        Command::Key(key, _) => vec![key],
        Command::Keys(op) => match op {
            KeysOp::MGet(list) | KeysOp::Delete(list) => list.iter().collect(),
            KeysOp::Exists(list) | KeysOp::Touch(list) => list.iter().collect(),
            KeysOp::MSet(list) | KeysOp::MSetNx(list) => list.iter().step_by(2).collect(),
            KeysOp::Rename { from, to, .. } | KeysOp::Copy { from, to, .. } => vec![from, to],
            KeysOp::Lcs(op) => vec![op.a, op.b],
        },
        Command::Space(_) => Vec::new(),
    }
}

/// A line for every row: its arity filled up with words that most parsers take.
fn sample(spec: &spec::Spec) -> String {
    let words: Vec<&str> = spec.name.split('|').collect();
    match spec.name {
        "scan" => "scan 0".to_owned(),
        "setex" | "psetex" => format!("{} key 10 value", spec.name),
        "mset" | "msetnx" => format!("{} key1 value1 key2 value2", spec.name),
        "del" | "unlink" | "exists" | "touch" | "mget" => format!("{} key1 key2", spec.name),
        _ => {
            let wanted = usize::from(spec.arity.unsigned_abs());
            let keys = spec.last_key().max(0) as usize;
            let more = (words.len()..wanted).map(|i| match i {
                i if i <= keys => format!(" key{i}"),
                i => format!(" {i}"),
            });
            words.join(" ") + &more.collect::<String>()
        }
    }
}

#[test]
fn declared_keys_are_the_keys_touched() {
    // A command that only holds subcommands cannot be asked for by itself.
    let alone = |s: &&spec::Spec| s.subcommands().is_empty() || s.takes(1);
    for spec in spec::all().iter().filter(alone) {
        let line = sample(spec);
        with(&line, |args, result| {
            let request = match result {
                Ok(request) => request,
                Err(refusal) => panic!("{line}: {refusal:?}"),
            };
            assert_eq!(request.spec.name, spec.name, "{line}");
            let declared: Vec<_> = spec.key_positions(args.len()).map(|i| args.get(i)).collect();
            match request.action {
                Action::Data(command) => assert_eq!(keys_of(&command), declared, "{line}"),
                Action::Session(_) => assert!(declared.is_empty(), "{line}"),
            }
        });
    }
}
