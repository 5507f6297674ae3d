//! Commands on keys of several groups, taken apart by group and put together again in order: each
//! part is carried out at once, all together are not.

use super::Routed;
use super::decode;
use super::rounds::{Exchange, Fate, NONSENSE, Unit, error, words};
use crate::resp::{number, value_end};
use bytes::Bytes;
use cluster::slot::{Group, Slot};
use std::collections::BTreeMap;

/// How answers of parts make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    /// The values of the keys, in the order of the keys.
    List,
    /// A number of keys.
    Sum,
    /// OK.
    Ok,
}

impl Exchange {
    /// Carries out MGET, MSET, DEL, UNLINK, EXISTS or TOUCH.
    pub(super) async fn on_keys(&self, command: &Routed) -> Bytes {
        let words = words(command);
        let (together, step) = match command.spec.name {
            "mget" => (Together::List, 1),
            "mset" => (Together::Ok, 2),
            _ => (Together::Sum, 1),
        };
        let Some((name, keys)) = words.split_first() else { return error(NONSENSE) };
        let parts = parts(keys, step);
        let unit = |(group, places): (&Group, &Vec<usize>)| {
            let of_key = |place: &usize| &keys[place * step..(place + 1) * step];
            let part: Vec<&[u8]> =
                std::iter::once(name).chain(places.iter().flat_map(of_key)).copied().collect();
            let mut request = Vec::new();
            decode::write(part.into_iter(), &mut request);
            Unit {
                group: *group,
                groups: None,
                request,
                version: command.version,
                readonly: command.readonly,
                repeatable: !command.spec.is_write(),
            }
        };
        let units: Vec<Unit> = parts.iter().map(unit).collect();
        let fates = self.settle(&units).await;
        let places: Vec<&Vec<usize>> = parts.values().collect();
        put_together(together, keys.len() / step, &places, fates)
    }
}

/// Which keys belong to which group: their places in the command, counted in keys.
fn parts(keys: &[&[u8]], step: usize) -> BTreeMap<Group, Vec<usize>> {
    let mut parts: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for (place, key) in keys.iter().step_by(step).enumerate() {
        parts.entry(Slot::of(key).group()).or_default().push(place);
    }
    parts
}

/// One answer of those of the parts; an error if there is one among them.
fn put_together(
    together: Together,
    keys: usize,
    places: &[&Vec<usize>],
    fates: Vec<Fate>,
) -> Bytes {
    let replies: Vec<Bytes> = fates.into_iter().map(Fate::into_answer).collect();
    if let Some(error) = replies.iter().find(|reply| reply.first() == Some(&b'-')) {
        return error.clone();
    }
    let whole = match together {
        Together::Ok => Some(Bytes::from_static(b"+OK\r\n")),
        Together::Sum => sum(&replies),
        Together::List => list(keys, places, &replies),
    };
    whole.unwrap_or_else(|| error(NONSENSE))
}

/// The sum of answers that are numbers.
pub(super) fn sum(replies: &[Bytes]) -> Option<Bytes> {
    let numbers = replies.iter().map(|reply| Some(number(reply, 0, b':')?.0));
    let sum: i64 = numbers.sum::<Option<i64>>()?;
    Some(format!(":{sum}\r\n").into())
}

fn list(keys: usize, places: &[&Vec<usize>], replies: &[Bytes]) -> Option<Bytes> {
    let mut values = vec![&b""[..]; keys];
    for (places, reply) in places.iter().zip(replies) {
        let (_, mut at) = number(reply, 0, b'*')?;
        for place in *places {
            let end = value_end(reply, at)?;
            values[*place] = &reply[at..end];
            at = end;
        }
    }
    let head = format!("*{keys}\r\n");
    Some([head.as_bytes(), &values.concat()].concat().into())
}

#[cfg(test)]
mod tests {
    use super::{Fate, Together, parts, put_together};
    use bytes::Bytes;

    #[test]
    fn answers_come_in_the_order_of_the_keys() {
        let keys: [&[u8]; 4] = [b"foo", b"bar", b"{foo}2", b"nobody"];
        let parts = parts(&keys, 1);
        assert_eq!(parts.len(), 3);
        let places: Vec<&Vec<usize>> = parts.values().collect();
        let answer = |places: &&Vec<usize>| {
            let values: String = places.iter().map(|place| format!(":{place}\r\n")).collect();
            Fate::Reply(Bytes::from(format!("*{}\r\n{values}", places.len())))
        };
        let fates: Vec<Fate> = places.iter().map(answer).collect();
        let whole = put_together(Together::List, 4, &places, fates.clone());
        assert_eq!(whole, "*4\r\n:0\r\n:1\r\n:2\r\n:3\r\n");
        let failed = [&fates[..2], &[Fate::Failed("NO".into())]].concat();
        assert_eq!(put_together(Together::List, 4, &places, failed), "-NO\r\n");
        let counts = vec![Fate::Reply(":2\r\n".into()), Fate::Reply(":1\r\n".into())];
        assert_eq!(put_together(Together::Sum, 3, &places[..2], counts), ":3\r\n");
        let odd = vec![Fate::Reply("+OK\r\n".into())];
        assert!(put_together(Together::Sum, 1, &places[..1], odd).starts_with(b"-ERR "));
    }
}
