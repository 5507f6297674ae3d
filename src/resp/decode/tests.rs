//! What the decoder makes of whole, broken, large and forbidden commands. How streams may be cut is
//! checked in `tests/resp_properties.rs`.

use bytes::Bytes;

use super::{DecodeLimits, Decoder, ProtocolError, Step};
use crate::command::{Arg, Args};
use crate::limits;

const LIMITS: DecodeLimits = DecodeLimits::authenticated(1000);

fn words(buffer: &[u8], args: &[Arg]) -> Vec<String> {
    Args::new(buffer, args).iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

/// What a whole buffer says: commands, then why it ended.
fn all(limits: DecodeLimits, buffer: &[u8]) -> (Vec<Vec<String>>, Result<Step, ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let (mut at, mut commands) = (0, Vec::new());
    loop {
        let mut args = Vec::new();
        match decoder.decode(buffer, at, &mut args) {
            Ok(Step::Command { used }) => {
                commands.push(words(buffer, &args));
                at += used;
            }
            Ok(Step::Empty { used }) => at += used,
            end => return (commands, end),
        }
    }
}

#[track_caller]
fn check(input: &str, want: &[&[&str]]) {
    let (commands, end) = all(LIMITS, input.as_bytes());
    assert_eq!(commands, want, "{input:?}");
    assert_eq!(end, Ok(Step::More), "{input:?}");
}

#[track_caller]
fn refused(input: &str, want: ProtocolError) {
    for (limits, buffer) in [(LIMITS, input.to_owned()), (LIMITS, format!("PING\r\n{input}"))] {
        assert_eq!(all(limits, buffer.as_bytes()).1, Err(want), "{input:?}");
    }
}

#[test]
fn commands_are_decoded() {
    check("", &[]);
    check("*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check("*2\r\n$3\r\nGET\r\n$0\r\n\r\nget a\n", &[&["GET", ""], &["get", "a"]]);
    check("*0\r\n*-1\r\n\r\n \nPING\r\n*-100\r\n", &[&["PING"]]);
    check("*1\r\n$4\r\n\r\n\r\n\r\n*1\r\n$4\r\nPI", &[&["\r\n\r\n"]]);
}

#[test]
fn malformed_commands_are_refused() {
    refused("*x", ProtocolError::MultibulkLength);
    refused("*\r\n", ProtocolError::MultibulkLength);
    refused("*1\rx", ProtocolError::MultibulkLength);
    refused("*1048577\r\n", ProtocolError::MultibulkLength);
    refused("*1000000000000\r\n", ProtocolError::MultibulkLength);
    refused("*-92233720368547758070", ProtocolError::MultibulkLengthDigits);
    refused("*1\r\n+", ProtocolError::ExpectedDollar(b'+'));
    refused("*1\r\n\r", ProtocolError::ExpectedDollar(b'\r'));
    refused("*1\r\n$-1\r\n", ProtocolError::BulkLength);
    refused("*1\r\n$1001\r\n", ProtocolError::BulkLength);
    refused("*1\r\n$01\r\n", ProtocolError::BulkLength);
    refused("*1\r\n$-92233720368547758070", ProtocolError::BulkLengthDigits);
    refused("*1\r\n$1\r\nabc", ProtocolError::ExpectedEnd);
    refused("*1\r\n$1\r\na\r\r", ProtocolError::ExpectedEnd);
    refused("set \"a\n", ProtocolError::UnbalancedQuotes);
    refused("POST / HTTP/1.1\r\n", ProtocolError::Http);
    refused(&"x".repeat(limits::INLINE_BYTES_MAX + 1), ProtocolError::InlineLength);
    assert_eq!(all(LIMITS, b"\xcc").1, Err(ProtocolError::Binary));
}

#[test]
fn little_is_allowed_before_authentication() {
    let check = |input: &str, want| {
        assert_eq!(all(DecodeLimits::UNAUTHENTICATED, input.as_bytes()).1, want);
    };
    check("*10\r\n$16384\r\n", Ok(Step::More));
    check("*11\r\n", Err(ProtocolError::MultibulkLengthUnauthenticated));
    check("*1\r\n$16385\r\n", Err(ProtocolError::BulkLengthUnauthenticated));
    check(&"x".repeat(16 * 1024 + 1), Err(ProtocolError::InlineLength));
}

#[test]
fn a_large_value_is_cut_out_of_the_stream() {
    let len = limits::SHARED_VALUE_BYTES_MIN + 1;
    let mut decoder = Decoder::new(DecodeLimits::authenticated(len));
    let head = format!("*4\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n");
    let mut args = vec![Arg::Span { start: 0, end: 1 }];
    let cut = Ok(Step::Shared { used: head.len(), len });
    assert_eq!(decoder.decode(format!("##{head}payl").as_bytes(), 2, &mut args), cut);
    assert_eq!(decoder.decode(head.as_bytes(), 0, &mut args), cut, "asked again");
    assert_eq!(args.len(), 1, "nothing of an unfinished command");

    decoder.shared(Bytes::from(vec![b'v'; len]));
    assert!(decoder.held_bytes() > len);
    assert_eq!(decoder.decode(format!("{head}\r").as_bytes(), 0, &mut args), Ok(Step::More));
    let whole = format!("#{head}\r\n$2\r\nNX\r\n*");
    let used = whole.len() - 2;
    assert_eq!(decoder.decode(whole.as_bytes(), 1, &mut args), Ok(Step::Command { used }));
    assert_eq!(words(whole.as_bytes(), &args[1..]), ["SET", "k", &"v".repeat(len), "NX"]);
    assert_eq!(decoder.decode(whole.as_bytes(), 1 + used, &mut args), Ok(Step::More));
}

#[test]
fn limits_change_in_the_middle() {
    let mut decoder = Decoder::new(DecodeLimits::UNAUTHENTICATED);
    let mut args = Vec::new();
    assert_eq!(decoder.decode(b"*1\r\n$9", 0, &mut args), Ok(Step::More));
    decoder.set_limits(DecodeLimits { bulk_bytes_max: 8, ..decoder.limits() });
    let end = decoder.decode(b"*1\r\n$9\r\n", 0, &mut args);
    assert_eq!(end, Err(ProtocolError::BulkLengthUnauthenticated));
}
