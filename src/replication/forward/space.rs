//! Commands on all keys of the cluster: each group by its primary, once; SCAN group after group,
//! wherever the next one is.

use super::rounds::{Exchange, Fate, NONSENSE, Patience, Unit, error, words};
use super::{Routed, Sight, decode, parts};
use crate::clock;
use crate::limits::FORWARD_SCAN_RUNS_MAX;
use crate::resp::{number, value_end};
use bytes::Bytes;
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::slot::{GROUPS, Group, Slot};
use std::collections::BTreeMap;

impl Exchange {
    /// Carries out DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL or FLUSHDB.
    pub(super) async fn on_all_keys(&self, command: &Routed) -> Bytes {
        let put_together = match command.spec.name {
            "scan" => return self.scan(command).await,
            "randomkey" => return self.random_key(command).await,
            "dbsize" => parts::sum,
            "keys" => lists,
            _ => |_: &[Bytes]| Some(Bytes::from_static(b"+OK\r\n")),
        };
        match self.everywhere(command).await {
            Ok(replies) => put_together(&replies).unwrap_or_else(|| error(NONSENSE)),
            Err(error) => error,
        }
    }

    /// What the primaries of all groups answer, each for its own. An error if there is one.
    async fn everywhere(&self, command: &Routed) -> Result<Vec<Bytes>, Bytes> {
        let (mut left, mut replies) = (Group::all().collect::<GroupSet>(), Vec::new());
        let mut patience = Patience::new();
        loop {
            let owned = self.look().map(|sight| by_owner(&sight, &left)).unwrap_or_default();
            let units: Vec<Unit> = owned.into_iter().map(|(_, g)| unit(command, g)).collect();
            let fates = self.round(&units.iter().collect::<Vec<_>>()).await;
            let mut why = "CLUSTERDOWN Hash slot not served".into();
            for (unit, fate) in units.iter().zip(fates) {
                match fate {
                    Fate::Reply(reply) if reply.first() == Some(&b'-') => return Err(reply),
                    Fate::Reply(reply) => {
                        replies.push(reply);
                        unit.groups.iter().flat_map(GroupSet::iter).for_each(|g| left.remove(g));
                    }
                    Fate::Again(text) => why = text,
                    Fate::Failed(text) => return Err(error(&text)),
                }
            }
            if left.is_empty() {
                return Ok(replies);
            }
            if !self.pause(&mut patience).await {
                return Err(error(&why));
            }
        }
    }

    /// SCAN: by the primary of the group that the cursor stands in; where it has nothing up to the
    /// last of the groups behind it that are its own, too, by the next one's primary, and so on.
    async fn scan(&self, command: &Routed) -> Bytes {
        let words = words(command);
        let text = words.get(1).and_then(|word| std::str::from_utf8(word).ok());
        let mut cursor: u64 = text.and_then(|text| text.parse().ok()).unwrap_or(0);
        for left in (0..FORWARD_SCAN_RUNS_MAX).rev() {
            let Some(group) = u16::try_from(cursor >> 32).ok().and_then(Group::new) else { break };
            let number = cursor.to_string();
            let (mut these, mut request): (Vec<&[u8]>, _) = (words.clone(), Vec::new());
            if let Some(word) = these.get_mut(1) {
                *word = number.as_bytes();
            }
            decode::write(these.iter().copied(), &mut request);
            let (reply, last) = self.scan_run(command, request, group).await;
            match empty_run(&reply, last).filter(|_| left > 0) {
                Some(next) => cursor = next,
                None => return reply,
            }
        }
        Bytes::from_static(b"*2\r\n$1\r\n0\r\n*0\r\n")
    }

    /// One step of SCAN by the primary of a group, and the last of the groups behind it that have
    /// the same one.
    async fn scan_run(&self, command: &Routed, request: Vec<u8>, group: Group) -> (Bytes, Group) {
        let mut patience = Patience::new();
        loop {
            let groups = self.look().map(|sight| run_from(&sight, group)).unwrap_or_default();
            let last = groups.iter().last().unwrap_or(group);
            let unit = Unit { group, request: request.clone(), ..unit(command, groups) };
            let reply = match self.round(&[&unit]).await.pop() {
                Some(Fate::Reply(reply)) => {
                    moved_on(&reply, last).unwrap_or_else(|| error(NONSENSE))
                }
                Some(Fate::Failed(text)) => error(&text),
                Some(Fate::Again(text)) if !self.pause(&mut patience).await => error(&text),
                Some(Fate::Again(_)) | None => continue,
            };
            return (reply, last);
        }
    }

    /// A key of a node that is chosen by its share of the groups; of another, if that has none.
    async fn random_key(&self, command: &Routed) -> Bytes {
        let all: GroupSet = Group::all().collect();
        let mut owned = self.look().map(|sight| by_owner(&sight, &all)).unwrap_or_default();
        let chosen = Group::new((clock::random_u64() % u64::from(GROUPS)) as u16);
        let first = |(_, groups): &(NodeId, GroupSet)| chosen.is_some_and(|g| groups.contains(g));
        if let Some(at) = owned.iter().position(first) {
            owned.rotate_left(at);
        }
        let mut answer = error("CLUSTERDOWN Hash slot not served");
        for (_, groups) in owned {
            let fate = self.settle(&[unit(command, groups)]).await.pop();
            answer = fate.map_or(answer, Fate::into_answer);
            if number(&answer, 0, b'$').is_some_and(|(len, _)| len >= 0) {
                return answer;
            }
        }
        answer
    }
}

/// A command for the primary of these groups. What empties groups may do so twice.
fn unit(command: &Routed, groups: GroupSet) -> Unit {
    let first = groups.iter().next();
    Unit {
        group: first.unwrap_or(Slot::of(b"").group()),
        groups: Some(groups),
        request: command.request.to_vec(),
        version: command.version,
        readonly: false,
        repeatable: true,
    }
}

/// Those of the groups that have a primary, by primary.
fn by_owner(sight: &Sight, groups: &GroupSet) -> Vec<(NodeId, GroupSet)> {
    let mut owned: BTreeMap<NodeId, GroupSet> = BTreeMap::new();
    for group in groups.iter() {
        if let Some(owner) = sight.topology.owner(group) {
            owned.entry(owner).or_default().insert(group);
        }
    }
    owned.into_iter().collect()
}

/// This group and those behind it, up to the last that has the same primary.
fn run_from(sight: &Sight, first: Group) -> GroupSet {
    let owner = sight.topology.owner(first);
    let behind = (first.number()..).map_while(Group::new);
    behind.take_while(|group| sight.topology.owner(*group) == owner).collect()
}

/// The answer to SCAN: behind the last group of a run comes the next one, not the end.
fn moved_on(reply: &Bytes, last: Group) -> Option<Bytes> {
    if reply.first() == Some(&b'-') {
        return Some(reply.clone());
    }
    let (_, at) = number(reply, 0, b'*')?;
    let (len, from) = number(reply, at, b'$')?;
    let to = from.checked_add(usize::try_from(len).ok()?)?;
    let next = u64::from(last.number()) + 1;
    if reply.get(from..to)? != b"0" || next >= u64::from(GROUPS) {
        return Some(reply.clone());
    }
    let cursor = (next << 32).to_string();
    let head = format!("*2\r\n${}\r\n{cursor}\r\n", cursor.len());
    Some([head.as_bytes(), reply.get(to + 2..)?].concat().into())
}

/// The cursor behind the last group of a run, if the answer to SCAN is that and nothing else.
fn empty_run(reply: &Bytes, last: Group) -> Option<u64> {
    let next = (u64::from(last.number()) + 1) << 32;
    let digits = next.to_string();
    let empty = format!("*2\r\n${}\r\n{digits}\r\n*0\r\n", digits.len());
    (*reply == empty).then_some(next)
}

/// The elements of several arrays as one array.
fn lists(replies: &[Bytes]) -> Option<Bytes> {
    let (mut count, mut elements) = (0, Vec::new());
    for reply in replies {
        let (len, at) = number(reply, 0, b'*')?;
        count += len;
        elements.extend_from_slice(reply.get(at..value_end(reply, 0)?)?);
    }
    Some([format!("*{count}\r\n").as_bytes(), &elements].concat().into())
}

#[cfg(test)]
mod tests {
    use super::{empty_run, lists, moved_on};
    use bytes::Bytes;
    use cluster::slot::{GROUPS, Group};

    #[test]
    fn a_scan_goes_on_behind_the_groups_of_a_node() {
        let of = |cursor: &str| {
            Bytes::from(format!("*2\r\n${}\r\n{cursor}\r\n*1\r\n$1\r\nk\r\n", cursor.len()))
        };
        let group = |number| Group::new(number).unwrap();
        let next = (7u64 << 32).to_string();
        assert_eq!(moved_on(&of("0"), group(6)), Some(of(&next)));
        assert_eq!(moved_on(&of("77"), group(6)), Some(of("77")));
        assert_eq!(moved_on(&of("0"), group(GROUPS - 1)), Some(of("0")));
        assert_eq!(moved_on(&Bytes::from_static(b"+?\r\n"), group(6)), None);
        let nothing = |cursor| Bytes::from(format!("*2\r\n$11\r\n{cursor}\r\n*0\r\n"));
        assert_eq!(empty_run(&nothing(7u64 << 32), group(6)), Some(7 << 32));
        assert_eq!(empty_run(&nothing((7u64 << 32) + 1), group(6)), None);
        assert_eq!(empty_run(&of(&next), group(6)), None);
        let two = [Bytes::from_static(b"*1\r\n:1\r\n"), Bytes::from_static(b"*2\r\n:2\r\n:3\r\n")];
        assert_eq!(lists(&two).unwrap(), "*3\r\n:1\r\n:2\r\n:3\r\n");
    }
}
