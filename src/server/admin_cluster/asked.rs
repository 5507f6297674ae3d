//! What was asked, read from the words of a CRABCACHE command. Pure; knows no cluster.

use crate::limits::operators::{JOIN_TOKEN_MS, JOIN_TOKEN_MS_MAX};
use cluster::control::TokenHash;
use cluster::node::NodeId;
use cluster::slot::Slot;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Status,
    Plan,
    /// Pairs of name and value; none: what holds now.
    Settings(Vec<(String, String)>),
    /// Something with a whole node.
    Node {
        node: NodeId,
        verb: Verb,
        force: bool,
    },
    /// The groups of these slots go to the node, the last included.
    Move {
        first: Slot,
        last: Slot,
        to: NodeId,
    },
    /// The node may join with the token that has this hash.
    Token {
        hash: TokenHash,
        node: NodeId,
        ttl_ms: u64,
    },
    /// Seeds that are not waited for.
    Form {
        without: Vec<String>,
    },
}

/// What is done with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Drain,
    Undrain,
    Remove,
    Forget,
    Failover,
}

impl Asked {
    /// Reads the words behind the subcommand; their number fits its row.
    pub(super) fn read(subcommand: &str, args: &[&[u8]]) -> Result<Asked, String> {
        let verb = match subcommand {
            "status" => return Ok(Asked::Status),
            "plan" => return Ok(Asked::Plan),
            "settings" => return pairs(args).map(Asked::Settings),
            "form" => {
                let without = args.iter().map(|word| text(word)).collect();
                return Ok(Asked::Form { without });
            }
            "move" => {
                let (first, last) = (slot(args[0])?, slot(args[1])?);
                if last < first {
                    return Err("ERR the last slot is before the first".into());
                }
                return Ok(Asked::Move { first, last, to: node(args[2])? });
            }
            "token" => {
                let (hash, node) = (hash(args[0])?, node(args[1])?);
                return Ok(Asked::Token { hash, node, ttl_ms: ttl_ms(args.get(2).copied())? });
            }
            "drain" => Verb::Drain,
            "undrain" => Verb::Undrain,
            "remove" => Verb::Remove,
            "forget" => Verb::Forget,
            "failover" => Verb::Failover,
            _ => return Err("ERR syntax error".into()),
        };
        let force = match args[1..] {
            [] => false,
            [word] if word.eq_ignore_ascii_case(b"force") => true,
            _ => return Err("ERR syntax error".into()),
        };
        Ok(Asked::Node { node: node(args[0])?, verb, force })
    }
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn pairs(args: &[&[u8]]) -> Result<Vec<(String, String)>, String> {
    if !args.len().is_multiple_of(2) {
        return Err("ERR settings come in pairs of name and value".into());
    }
    Ok(args.chunks_exact(2).map(|pair| (text(pair[0]), text(pair[1]))).collect())
}

/// A number as in certificates, or the forty digits that clients see.
fn node(word: &[u8]) -> Result<NodeId, String> {
    let word = text(word);
    let number = match word.len() {
        40 => u64::from_str_radix(word.trim_start_matches('0'), 16).ok(),
        _ => word.parse().ok(),
    };
    let known = number.and_then(NodeId::new);
    known.ok_or_else(|| format!("ERR {word:?} is no node: expected its number, such as 3"))
}

/// SHA-256 of a token, which itself is told to nobody.
fn hash(word: &[u8]) -> Result<TokenHash, String> {
    let digit = |at: usize| char::from(*word.get(at)?).to_digit(16);
    let byte = |at: usize| u8::try_from(digit(2 * at)? << 4 | digit(2 * at + 1)?).ok();
    let mut hash = TokenHash::default();
    for (at, place) in hash.iter_mut().enumerate() {
        let wrong = || "ERR expected SHA-256 of a token, 64 hexadecimal digits".to_owned();
        *place = byte(at).filter(|_| word.len() == 64).ok_or_else(wrong)?;
    }
    Ok(hash)
}

/// Seconds, as many as there may be if none are given.
fn ttl_ms(word: Option<&[u8]>) -> Result<u64, String> {
    let Some(word) = word else { return Ok(JOIN_TOKEN_MS) };
    let seconds = text(word).parse::<u64>().ok().filter(|seconds| *seconds > 0);
    let ms = seconds.and_then(|seconds| seconds.checked_mul(1000));
    ms.filter(|ms| *ms <= JOIN_TOKEN_MS_MAX)
        .ok_or_else(|| format!("ERR a token holds for 1 to {} seconds", JOIN_TOKEN_MS_MAX / 1000))
}

fn slot(word: &[u8]) -> Result<Slot, String> {
    let number = text(word).parse().ok().and_then(Slot::new);
    number.ok_or_else(|| format!("ERR {:?} is no slot: expected 0 to 16383", text(word)))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Verb};
    use cluster::node::NodeId;
    use cluster::slot::Slot;

    fn read(line: &str) -> Result<Asked, String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        Asked::read(std::str::from_utf8(words[0]).unwrap(), &words[1..])
    }

    #[test]
    fn words_are_read() {
        let node = NodeId::new(3).unwrap();
        let drain = Asked::Node { node, verb: Verb::Drain, force: false };
        assert_eq!(read("drain 3"), Ok(drain.clone()));
        assert_eq!(read(&format!("drain {node}")), Ok(drain));
        let forget = Asked::Node { node, verb: Verb::Forget, force: true };
        assert_eq!(read("forget 3 force"), Ok(forget));
        let slot = |n| Slot::new(n).unwrap();
        let moved = Asked::Move { first: slot(0), last: slot(31), to: node };
        assert_eq!(read("move 0 31 3"), Ok(moved));
        let (hash, ttl_ms) = ([0xAB; 32], 60_000);
        let token = Asked::Token { hash, node, ttl_ms };
        assert_eq!(read(&format!("token {} 3 60", "aB".repeat(32))), Ok(token));
        assert_eq!(read("settings a 1"), Ok(Asked::Settings(vec![("a".into(), "1".into())])));
    }

    #[test]
    fn hashes_and_times_have_bounds() {
        for (hash, seconds) in [("ab".repeat(31), "1"), ("ag".repeat(32), "1")]
            .into_iter()
            .chain(["0", "86401", "soon"].map(|seconds| ("ab".repeat(32), seconds)))
        {
            assert!(read(&format!("token {hash} 3 {seconds}")).is_err(), "{hash} {seconds}");
        }
        assert!(read(&format!("token {} 3 86400", "ab".repeat(32))).is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in
            ["drain x", "drain 0", "forget 3 now", "move 5 4 1", "move 0 16384 1", "settings a"]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
