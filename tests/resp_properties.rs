//! What holds for every stream of commands and for every answer: the codec against itself cut in
//! pieces, against what was put in, and against small models.

mod resp_stream;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use crabcache::command::reply::{Reply, ReplyBuilder, ReplyWriter};
use crabcache::limits::SHARED_VALUE_BYTES_MIN;
use crabcache::resp::{DecodeLimits, Encoder, Output, ProtocolError, Version};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use resp_stream::Stream;

type Words = Vec<Vec<u8>>;

const BULK_BYTES_MAX: usize = 3 * SHARED_VALUE_BYTES_MIN;
const LIMITS: DecodeLimits = DecodeLimits::authenticated(BULK_BYTES_MAX);

/// A command in RESP.
fn resp(words: &Words) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A command as a line of text, every word in the quotation marks that `style` says.
fn inline(words: &Words, style: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let plain = !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric);
        match (i as u8).wrapping_add(style) % 3 {
            0 if plain && i > 0 => bytes.extend_from_slice(word),
            1 if !word.iter().any(|b| matches!(b, b'\n' | b'\\')) => {
                let quoted = String::from_utf8_lossy(word).replace('\'', "\\'");
                bytes.extend_from_slice(format!("'{quoted}'").as_bytes());
            }
            _ => {
                bytes.push(b'"');
                bytes.extend(word.iter().flat_map(|b| format!("\\x{b:02X}").into_bytes()));
                bytes.push(b'"');
            }
        }
        bytes.extend_from_slice(if style.is_multiple_of(2) { b" " } else { b"\t " });
    }
    bytes.extend_from_slice(if style.is_multiple_of(5) { b"\n" } else { b"\r\n" });
    bytes
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9]{1,12}".prop_map(String::into_bytes),
        3 => vec(any::<u8>(), 0..40),
        1 => "[\r\n$* 0-9]{0,12}".prop_map(String::into_bytes),
        1 => (SHARED_VALUE_BYTES_MIN - 3..SHARED_VALUE_BYTES_MIN + 40, any::<u8>())
            .prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn text_word() -> impl Strategy<Value = Vec<u8>> {
    "[a-z0-9'\" \\\\\r\n]{0,9}".prop_map(String::into_bytes)
}

/// Bytes of a stream and the commands they mean.
fn piece() -> impl Strategy<Value = (Vec<u8>, Option<Words>)> {
    prop_oneof![
        6 => vec(word(), 1..6).prop_map(|words| (resp(&words), Some(words))),
        3 => (vec(text_word(), 1..5), any::<u8>())
            .prop_map(|(words, style)| (inline(&words, style), Some(words))),
        1 => Just((b"*0\r\n".to_vec(), None)),
        1 => Just((b"*-1\r\n".to_vec(), None)),
        1 => Just((b" \r\n".to_vec(), None)),
    ]
}

fn script() -> impl Strategy<Value = (Vec<u8>, Vec<Words>)> {
    vec(piece(), 0..12).prop_map(|pieces| {
        let (bytes, commands): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        (bytes.concat(), commands.into_iter().flatten().collect())
    })
}

/// Sizes of reads: often tiny, sometimes large.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1..8usize, 1 => 8..200usize, 1 => 200..40_000usize], 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_sent_is_decoded_however_it_is_cut((bytes, commands) in script(), sizes in sizes()) {
        for sizes in [&[0][..], &[1], &sizes] {
            let stream = Stream::of(LIMITS, &bytes, sizes);
            prop_assert_eq!(stream.error, None);
            prop_assert!(stream.commands == commands, "{:?} differ, cut by {:?}", bytes, sizes);
        }
    }

    #[test]
    fn damaged_streams_mean_the_same_however_they_are_cut(
        (mut bytes, _) in script(),
        damage in vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..4),
        sizes in sizes(),
        authenticated in any::<bool>(),
    ) {
        for (at, byte, insert) in damage {
            let at = at.index(bytes.len() + 1);
            if insert || at == bytes.len() { bytes.insert(at, byte) } else { bytes[at] = byte }
        }
        let limits = if authenticated { LIMITS } else { DecodeLimits::UNAUTHENTICATED };
        let whole = Stream::of(limits, &bytes, &[0]);
        for sizes in [&[1][..], &sizes] {
            let cut = Stream::of(limits, &bytes, sizes);
            prop_assert_eq!(cut.error, whole.error);
            prop_assert!(cut.commands == whole.commands, "{:?} differ, cut by {:?}", bytes, sizes);
        }
    }

    #[test]
    fn answers_are_read_back_as_they_were(replies in vec(reply(), 1..5)) {
        let mut out = Output::new();
        replies.iter().for_each(|r| r.write(&mut Encoder::new(&mut out, Version::Resp3)));
        let bytes = collect(&out);
        prop_assert_eq!(bytes.len(), out.len());
        let mut builder = ReplyBuilder::default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            read_value(&mut rest, &mut builder);
        }
        prop_assert_eq!(builder.finish(), replies);
    }

    #[test]
    fn outputs_send_what_was_written(actions in vec(action(), 0..60)) {
        let mut out = Output::new();
        let mut model = VecDeque::new();
        for action in actions {
            act(&action, &mut out, &mut model)?;
        }
    }
}

#[test]
fn single_bytes_of_a_long_command_take_linear_time() {
    // Were each call to start over, this would look at 10^11 bytes and hardly end.
    let words = vec![b"x".to_vec(); 60_000];
    let stream = Stream::of(LIMITS, &resp(&words), &[1]);
    assert_eq!(stream.commands, [words]);
    let line = vec![b'y'; 60_000];
    let stream = Stream::of(LIMITS, &[&line[..], b"\n"].concat(), &[1]);
    assert_eq!(stream.commands, [[line]]);
}

#[test]
fn announced_sizes_reserve_nothing() {
    let stream =
        Stream::of(DecodeLimits::authenticated(1 << 29), b"*1048576\r\n$536870912\r\n", &[0]);
    assert_eq!((stream.commands.len(), stream.error), (0, None));
    let stream = Stream::of(LIMITS, b"*1000000000\r\n", &[1]);
    assert_eq!(stream.error, Some(ProtocolError::MultibulkLength));
}

/// Answers that RESP3 can tell apart.
fn reply() -> impl Strategy<Value = Reply> {
    let text = || "[ -~]{0,20}".prop_map(String::from);
    let leaf = prop_oneof![
        text().prop_map(Reply::Simple),
        text().prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        (-1000..2000i64).prop_map(Reply::Integer),
        vec(any::<u8>(), 0..1200).prop_map(Reply::bulk),
        (SHARED_VALUE_BYTES_MIN..SHARED_VALUE_BYTES_MIN + 3)
            .prop_map(|len| Reply::Bulk(Bytes::from(vec![b'v'; len]))),
        Just(Reply::Null),
        any::<f64>().prop_filter("equal to itself", |d| !d.is_nan()).prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        text().prop_map(Reply::Verbatim),
    ];
    leaf.prop_recursive(3, 30, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Reply::Array),
            vec(inner.clone(), 0..5).prop_map(Reply::Set),
            vec((inner.clone(), inner), 0..4).prop_map(Reply::Map),
        ]
    })
}

/// Reads one line of RESP3, and the text behind it where there is any.
fn read_value(rest: &mut &[u8], builder: &mut ReplyBuilder) {
    let end = rest.windows(2).position(|w| w == b"\r\n").expect("a whole line");
    let line = std::str::from_utf8(&rest[1..end]).expect("text");
    let kind = rest[0];
    *rest = &rest[end + 2..];
    let number = || line.parse::<usize>().expect("a length");
    match kind {
        b'+' => builder.simple(line),
        b'-' => builder.error(line),
        b':' => builder.integer(line.parse().expect("an integer")),
        b'_' => builder.null(),
        b',' => builder.double(line.parse().expect("a double")),
        b'#' => builder.boolean(line == "t"),
        b'*' => builder.array(number()),
        b'%' => builder.map(number()),
        b'~' => builder.set(number()),
        b'$' | b'=' => {
            let (text, behind) = rest.split_at(number());
            *rest = behind.strip_prefix(b"\r\n").expect("an end");
            match text.strip_prefix(b"txt:") {
                Some(text) if kind == b'=' => {
                    builder.verbatim(std::str::from_utf8(text).expect("text"));
                }
                _ => builder.bulk(text),
            }
        }
        other => panic!("no such type: {other}"),
    }
}

/// What one can do with an output.
#[derive(Clone, Debug)]
enum Action {
    Raw(usize),
    Splice(usize),
    /// Sends this share of what there is, by at most so many slices.
    Send(Index, usize),
    /// Writes this much of both and takes it back.
    Rollback(usize, usize),
    Clear,
    Release,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => prop_oneof![0..100usize, 0..100_000usize].prop_map(Action::Raw),
        3 => prop_oneof![0..100usize, 0..100_000usize].prop_map(Action::Splice),
        5 => (any::<Index>(), 1..6usize).prop_map(|(share, slices)| Action::Send(share, slices)),
        2 => (0..50usize, 0..50usize).prop_map(|(raw, large)| Action::Rollback(raw, large)),
        1 => Just(Action::Clear),
        1 => Just(Action::Release),
    ]
}

fn act(action: &Action, out: &mut Output, model: &mut VecDeque<u8>) -> Result<(), TestCaseError> {
    let bytes = |n: usize| (0..n).map(|i| (i % 251) as u8).collect::<Vec<u8>>();
    match action {
        Action::Raw(n) => {
            out.raw(&bytes(*n));
            model.extend(bytes(*n));
        }
        Action::Splice(n) => {
            out.splice(Bytes::from(bytes(*n)));
            model.extend(bytes(*n));
        }
        Action::Send(share, count) => {
            let mut slices = vec![IoSlice::new(&[]); *count];
            let count = out.slices(&mut slices);
            let offered = join(&slices[..count]);
            prop_assert!(!offered.is_empty() || model.is_empty());
            let n = share.index(offered.len() + 1);
            let expected: Vec<u8> = model.drain(..n).collect();
            prop_assert!(offered[..n] == expected);
            out.advance(n);
        }
        Action::Rollback(raw, large) => {
            let mark = out.mark();
            out.raw(&bytes(*raw));
            out.splice(Bytes::from(bytes(*large)));
            out.raw(&bytes(1));
            out.rollback(mark);
            prop_assert_eq!(out.mark(), mark);
        }
        Action::Clear => {
            out.clear();
            model.clear();
        }
        Action::Release => out.release(),
    }
    prop_assert_eq!(out.len(), model.len());
    prop_assert_eq!(out.is_empty(), model.is_empty());
    prop_assert!(model.iter().copied().eq(collect(out)));
    Ok(())
}

/// All bytes to be sent.
fn collect(out: &Output) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); 1000];
    let count = out.slices(&mut slices);
    let bytes = join(&slices[..count]);
    if let Some(one) = out.as_one() {
        assert_eq!(one, bytes);
    }
    bytes
}

fn join(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}
