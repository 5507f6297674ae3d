//! What the engine must answer, by the simplest means: a sorted map and the words of the command.
//! Shares nothing with the engine but the type of a reply.

use super::Words;
use crabcache::command::reply::{Reply, errors};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// A value and the time it dies.
pub type Item = (Vec<u8>, Option<u64>);

/// A keyspace.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Live items.
    pub items: BTreeMap<Vec<u8>, Item>,
    /// Of the live items, those that APPEND or SETRANGE has changed since they were set.
    edited: BTreeSet<Vec<u8>>,
    /// Names of items that died and may not have been reclaimed yet.
    dead: BTreeSet<Vec<u8>>,
}

/// What a reply must be.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Exactly this.
    Reply(Reply),
    /// A number as a string, near this one: sums of fractions may be rounded.
    Near(f64),
    /// An array of these in any order.
    Names(BTreeSet<Vec<u8>>),
    /// One of these, or null if there are none.
    OneOf(BTreeSet<Vec<u8>>),
    /// An integer in a range.
    Within(RangeInclusive<i64>),
}

use Expect::{Names, Near, OneOf, Within};

fn int(n: impl TryInto<i64>) -> Expect {
    Expect::Reply(Reply::Integer(n.try_into().unwrap_or(i64::MAX)))
}

fn bulk(bytes: Option<&Vec<u8>>) -> Expect {
    Expect::Reply(bytes.map_or(Reply::Null, Reply::bulk))
}

fn error(text: &str) -> Expect {
    Expect::Reply(Reply::error(text))
}

fn ok() -> Expect {
    Expect::Reply(Reply::ok())
}

fn parse<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

impl Model {
    /// Executes a command and says what must be answered.
    pub fn run(&mut self, words: &[Vec<u8>], now: u64) -> Expect {
        self.bury(now);
        let expect = self.dispatch(words, now);
        self.bury(now);
        expect
    }

    /// Takes what has died out of the live items.
    pub fn bury(&mut self, now: u64) {
        let died = |item: &Item| item.1.is_some_and(|deadline| deadline <= now);
        let names = self.items.iter().filter(|(_, i)| died(i)).map(|(name, _)| name.clone());
        let names: Vec<_> = names.collect();
        for name in names {
            self.items.remove(&name);
            self.dead.insert(name);
        }
    }

    fn dispatch(&mut self, words: &[Vec<u8>], now: u64) -> Expect {
        let key = || words[1].clone();
        match std::str::from_utf8(&words[0]).expect("a name") {
            "get" => bulk(self.value(&words[1])),
            "getex" => self.get_ex(words, now),
            "getdel" => bulk(self.items.remove(&words[1]).map(|i| i.0).as_ref()),
            "getset" => bulk(self.put(key(), (words[2].clone(), None)).map(|i| i.0).as_ref()),
            "set" => self.set(words, now),
            "setex" => self.put_until(words, now + 1000 * parse::<u64>(&words[2]).expect("ttl")),
            "psetex" => self.put_until(words, now + parse::<u64>(&words[2]).expect("ttl")),
            "setnx" => self.set_nx(words),
            "append" | "setrange" => self.patch(words),
            "strlen" => int(self.value(&words[1]).map_or(0, Vec::len)),
            "getrange" | "substr" => self.get_range(words),
            "incr" => self.incr(key(), Some(1)),
            "decr" => self.incr(key(), Some(-1)),
            "incrby" => self.incr(key(), parse(&words[2])),
            "decrby" => self.incr(key(), parse(&words[2]).map(|n: i64| -n)),
            "incrbyfloat" => self.incr_float(words),
            "type" => {
                let name = if self.items.contains_key(&words[1]) { "string" } else { "none" };
                Expect::Reply(Reply::Simple(name.into()))
            }
            "expire" | "pexpire" | "expireat" | "pexpireat" => self.expire(words, now),
            "ttl" | "pttl" | "expiretime" | "pexpiretime" => self.ttl(words, now),
            "persist" => {
                int(self.items.get_mut(&words[1]).and_then(|i| i.1.take()).is_some() as i64)
            }
            "object" | "memory" => self.question(words),
            "lcs" => self.lcs(words),
            _ => self.several(words),
        }
    }

    fn several(&mut self, words: &[Vec<u8>]) -> Expect {
        let rest = &words[1..];
        let present = |n: &&Vec<u8>| self.items.contains_key(*n);
        match std::str::from_utf8(&words[0]).expect("a name") {
            "mget" => {
                let one = |n: &Vec<u8>| self.value(n).map_or(Reply::Null, Reply::bulk);
                Expect::Reply(Reply::Array(rest.iter().map(one).collect()))
            }
            "msetnx" if rest.iter().step_by(2).any(|n| present(&n)) => int(0),
            name @ ("mset" | "msetnx") => {
                for pair in rest.chunks(2) {
                    self.put(pair[0].clone(), (pair[1].clone(), None));
                }
                if name == "mset" { ok() } else { int(1) }
            }
            "del" | "unlink" => {
                int(rest.iter().filter(|n| self.items.remove(*n).is_some()).count())
            }
            "exists" | "touch" => int(rest.iter().filter(present).count()),
            "rename" | "renamenx" => self.rename(words),
            "copy" => self.copy(words),
            "dbsize" => {
                let live = self.items.len() as i64;
                let dead = self.dead.iter().filter(|n| !present(n)).count() as i64;
                Within(live..=live + dead)
            }
            "keys" => Names(self.names(|n| glob(&words[1], n))),
            "randomkey" => OneOf(self.names(|_| true)),
            "flushall" | "flushdb" => {
                *self = Model::default();
                ok()
            }
            other => panic!("no command {other}"),
        }
    }

    /// Names of live items that a test lets through.
    pub fn names(&self, test: impl Fn(&[u8]) -> bool) -> BTreeSet<Vec<u8>> {
        self.items.keys().filter(|n| test(n)).cloned().collect()
    }

    /// Sets an item to a whole value.
    fn put(&mut self, name: Vec<u8>, item: Item) -> Option<Item> {
        self.edited.remove(&name);
        self.items.insert(name, item)
    }

    /// The same with the value of another name, as what it was.
    fn put_same(&mut self, from: &[u8], to: &[u8], item: Item) {
        let edited = self.edited.contains(from);
        self.put(to.to_vec(), item);
        if edited {
            self.edited.insert(to.to_vec());
        }
    }

    fn value(&self, name: &[u8]) -> Option<&Vec<u8>> {
        self.items.get(name).map(|item| &item.0)
    }

    fn set(&mut self, words: &[Vec<u8>], now: u64) -> Expect {
        let has = |name: &str| words[3..].iter().any(|w| w == name.as_bytes());
        let old = self.items.get(&words[1]).cloned();
        let old_value = bulk(old.as_ref().map(|item| &item.0));
        if (has("nx") && old.is_some()) || (has("xx") && old.is_none()) {
            return if has("get") { old_value } else { bulk(None) };
        }
        let kept = old.and_then(|item| item.1).filter(|_| has("keepttl"));
        let deadline = deadline(&words[3..], now).or(kept);
        self.put(words[1].clone(), (words[2].clone(), deadline));
        if has("get") { old_value } else { ok() }
    }

    fn put_until(&mut self, words: &[Vec<u8>], deadline: u64) -> Expect {
        self.put(words[1].clone(), (words[3].clone(), Some(deadline)));
        ok()
    }

    fn set_nx(&mut self, words: &[Vec<u8>]) -> Expect {
        if self.items.contains_key(&words[1]) {
            return int(0);
        }
        self.put(words[1].clone(), (words[2].clone(), None));
        int(1)
    }

    fn get_ex(&mut self, words: &[Vec<u8>], now: u64) -> Expect {
        let Some(item) = self.items.get_mut(&words[1]) else { return bulk(None) };
        if words[2..].iter().any(|w| w == b"persist") {
            item.1 = None;
        }
        item.1 = deadline(&words[2..], now).or(item.1);
        bulk(Some(&item.0))
    }

    /// APPEND, SETRANGE.
    fn patch(&mut self, words: &[Vec<u8>]) -> Expect {
        let append = words[0] == b"append";
        let new = words.last().expect("a value");
        let old_len = self.value(&words[1]).map_or(0, Vec::len);
        if !append && new.is_empty() {
            return int(old_len);
        }
        let start = if append { old_len } else { parse(&words[2]).expect("an offset") };
        if append && !self.items.contains_key(&words[1]) {
            self.edited.remove(&words[1]);
        } else if !new.is_empty() {
            self.edited.insert(words[1].clone());
        }
        let value = &mut self.items.entry(words[1].clone()).or_default().0;
        value.resize(old_len.max(start + new.len()), 0);
        value[start..start + new.len()].copy_from_slice(new);
        int(value.len())
    }

    fn get_range(&self, words: &[Vec<u8>]) -> Expect {
        let empty = Vec::new();
        let value = self.value(&words[1]).unwrap_or(&empty);
        let (len, bound) = (value.len() as i64, |i: usize| parse::<i64>(&words[i]).expect("bound"));
        let (mut start, mut end) = (bound(2), bound(3));
        if start < 0 && end < 0 && start > end {
            return bulk(Some(&empty));
        }
        start = if start < 0 { (start + len).max(0) } else { start };
        end = if end < 0 { (end + len).max(0) } else { end };
        let inside = |i: &usize| (start..=end).contains(&(*i as i64));
        bulk(Some(&(0..value.len()).filter(inside).map(|i| value[i]).collect()))
    }

    fn incr(&mut self, name: Vec<u8>, by: Option<i64>) -> Expect {
        let by = by.expect("an increment");
        let item = self.items.get(&name).cloned().unwrap_or((b"0".to_vec(), None));
        // An integer is what looks the same when written again.
        let old = parse::<i64>(&item.0).filter(|n| n.to_string().as_bytes() == item.0);
        let Some(old) = old else { return error(errors::NOT_AN_INTEGER) };
        let Some(new) = old.checked_add(by) else { return error(errors::OVERFLOW) };
        self.put(name, (new.to_string().into_bytes(), item.1));
        int(new)
    }

    fn incr_float(&mut self, words: &[Vec<u8>]) -> Expect {
        let item = self.items.get(&words[1]).cloned().unwrap_or((b"0".to_vec(), None));
        let by: f64 = parse(&words[2]).expect("an increment");
        let finite = item.0.iter().any(u8::is_ascii_digit);
        let number = |n: &f64| !n.is_nan() && n.is_finite() == finite && item.0.len() < 5 * 1024;
        let Some(old) = parse::<f64>(&item.0).filter(number) else {
            return error(errors::NOT_A_FLOAT);
        };
        if !(old + by).is_finite() {
            return error(errors::NAN);
        }
        let text = (old + by).to_string().into_bytes();
        self.put(words[1].clone(), (text, item.1));
        Near(old + by)
    }

    fn expire(&mut self, words: &[Vec<u8>], now: u64) -> Expect {
        let Some(item) = self.items.get_mut(&words[1]) else { return int(0) };
        let has = |name: &str| words[3..].iter().any(|w| w == name.as_bytes());
        let unit = if words[0][0] == b'p' { 1 } else { 1000 };
        let start = if words[0].ends_with(b"at") { 0 } else { now as i64 };
        let new = start + unit * parse::<i64>(&words[2]).expect("a time");
        let infinite = i64::MAX;
        let old = item.1.map_or(infinite, |d| d as i64);
        if (has("nx") && old != infinite)
            || (has("xx") && old == infinite)
            || (has("gt") && new <= old)
            || (has("lt") && new >= old)
        {
            return int(0);
        }
        item.1 = Some(new.max(0) as u64);
        int(1)
    }

    fn ttl(&self, words: &[Vec<u8>], now: u64) -> Expect {
        let Some(item) = self.items.get(&words[1]) else { return int(-2) };
        let Some(deadline) = item.1 else { return int(-1) };
        let time = if words[0].ends_with(b"time") { deadline } else { deadline - now };
        int(if words[0][0] == b'p' { time } else { (time + 500) / 1000 })
    }

    fn question(&self, words: &[Vec<u8>]) -> Expect {
        let Some(value) = self.value(&words[2]) else { return bulk(None) };
        let integer = parse::<i64>(value).is_some_and(|n| n.to_string().as_bytes() == value);
        match words[1].as_slice() {
            b"encoding" if self.edited.contains(&words[2]) => Expect::Reply(Reply::bulk("raw")),
            b"encoding" if integer => Expect::Reply(Reply::bulk("int")),
            b"encoding" if value.len() <= 44 => Expect::Reply(Reply::bulk("embstr")),
            b"encoding" => Expect::Reply(Reply::bulk("raw")),
            b"refcount" => int(1),
            b"freq" => Within(0..=255),
            b"idletime" => Within(0..=1_000_000),
            _ => Within((words[2].len() + value.len()) as i64..=i64::MAX),
        }
    }

    fn rename(&mut self, words: &[Vec<u8>]) -> Expect {
        let nx = words[0] == b"renamenx";
        let Some(item) = self.items.get(&words[1]).cloned() else {
            return error(errors::NO_SUCH_KEY);
        };
        if nx && self.items.contains_key(&words[2]) {
            return int(0);
        }
        self.items.remove(&words[1]);
        self.put_same(&words[1], &words[2], item);
        if nx { int(1) } else { ok() }
    }

    fn copy(&mut self, words: &[Vec<u8>]) -> Expect {
        if words[1] == words[2] {
            return error("ERR source and destination objects are the same");
        }
        let Some(item) = self.items.get(&words[1]).cloned() else { return int(0) };
        if words.len() == 3 && self.items.contains_key(&words[2]) {
            return int(0);
        }
        self.put_same(&words[1], &words[2], item);
        int(1)
    }

    /// The whole table of lengths, walked back as Redis walks it.
    fn lcs(&self, words: &[Vec<u8>]) -> Expect {
        let value = |i: usize| self.value(&words[i]).cloned().unwrap_or_default();
        let (a, b) = (value(1), value(2));
        let mut table = vec![vec![0i64; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let (mut common, mut pairs) = (Vec::new(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.insert(0, a[i]);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        let has = |name: &str| words[3..].iter().position(|w| w == name.as_bytes());
        if has("len").is_some() {
            return int(table[a.len()][b.len()]);
        }
        if has("idx").is_none() {
            return bulk(Some(&common));
        }
        let least = has("minmatchlen").map_or(0, |at| parse(&words[4 + at]).expect("a number"));
        let matches = runs(&pairs, least, has("withmatchlen").is_some());
        Expect::Reply(Reply::Map(vec![
            (Reply::bulk("matches"), Reply::Array(matches)),
            (Reply::bulk("len"), Reply::Integer(common.len() as i64)),
        ]))
    }
}

/// Pairs of matching places, last first, as runs.
fn runs(pairs: &[(usize, usize)], least: i64, with_len: bool) -> Vec<Reply> {
    let ends =
        |a: usize, b: usize| Reply::Array(vec![Reply::Integer(a as i64), Reply::Integer(b as i64)]);
    pairs
        .chunk_by(|x, y| (x.0, x.1) == (y.0 + 1, y.1 + 1))
        .filter(|run| run.len() as i64 >= least)
        .map(|run| {
            let (last, first) = (run[0], run[run.len() - 1]);
            let mut parts = vec![ends(first.0, last.0), ends(first.1, last.1)];
            parts.extend(with_len.then_some(Reply::Integer(run.len() as i64)));
            Reply::Array(parts)
        })
        .collect()
}

/// The deadline among the options of SET and GETEX.
fn deadline(options: &[Vec<u8>], now: u64) -> Option<u64> {
    let at = |name: &str| options.iter().position(|w| w == name.as_bytes());
    let time = |i: usize| parse::<u64>(&options[i + 1]).expect("a time");
    at("ex")
        .map(|i| now + 1000 * time(i))
        .or_else(|| at("px").map(|i| now + time(i)))
        .or_else(|| at("exat").map(|i| 1000 * time(i)).or_else(|| at("pxat").map(time)))
}

/// Which keys a command names.
pub fn keys_of(words: &Words) -> Vec<&Vec<u8>> {
    match words[0].as_slice() {
        b"mget" | b"del" | b"unlink" | b"exists" | b"touch" => words[1..].iter().collect(),
        b"mset" | b"msetnx" => words[1..].iter().step_by(2).collect(),
        b"rename" | b"renamenx" | b"copy" | b"lcs" => words[1..3].iter().collect(),
        b"object" | b"memory" => vec![&words[2]],
        b"dbsize" | b"keys" | b"scan" | b"randomkey" | b"flushall" | b"flushdb" => vec![],
        _ => vec![&words[1]],
    }
}

/// Glob patterns as the C code of Redis reads them, byte by byte and by recursion.
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // The empty name meets no loop there.
    if text.is_empty() { pattern.is_empty() || pattern == b"*" } else { rest(pattern, text) }
}

fn rest(pattern: &[u8], text: &[u8]) -> bool {
    let Some((&first, more)) = pattern.split_first() else { return text.is_empty() };
    if first == b'*' {
        return (0..=text.len()).any(|i| rest(more, &text[i..]));
    }
    let Some((&byte, behind)) = text.split_first() else { return false };
    match first {
        b'?' => rest(more, behind),
        b'[' => {
            let (found, more) = class(more, byte);
            found && rest(more, behind)
        }
        b'\\' if !more.is_empty() => more[0] == byte && rest(&more[1..], behind),
        _ => first == byte && rest(more, behind),
    }
}

fn class(mut p: &[u8], byte: u8) -> (bool, &[u8]) {
    let not = p.first() == Some(&b'^');
    p = &p[usize::from(not)..];
    let mut found = false;
    while !p.is_empty() {
        if p.len() >= 2 && p[0] == b'\\' {
            found |= p[1] == byte;
            p = &p[2..];
        } else if p[0] == b']' {
            return (found != not, &p[1..]);
        } else if p.len() >= 3 && p[1] == b'-' {
            found |= p[0].min(p[2]) <= byte && byte <= p[0].max(p[2]);
            p = &p[3..];
        } else {
            found |= p[0] == byte;
            p = &p[1..];
        }
    }
    (found != not, p)
}
