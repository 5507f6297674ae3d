//! Questions to a node about its cluster, one at a time, blocking.

use crate::Failure;
use crate::limits::ASK_MS_MAX;
use crate::reply::{Reply, parse, request};
use cluster::slot::{GROUPS, SLOTS, SLOTS_PER_GROUP};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection for one thing after another.
#[derive(Debug)]
pub struct Asker {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// How many of them were taken already.
    taken: usize,
}

impl Asker {
    /// Connects.
    pub fn connect(address: SocketAddr, ms_max: u64) -> Result<Asker, Failure> {
        let limit = Duration::from_millis(ms_max);
        let failed = |error| format!("{address}: {error}");
        let stream = TcpStream::connect_timeout(&address, limit).map_err(failed)?;
        stream.set_read_timeout(Some(limit)).map_err(failed)?;
        stream.set_write_timeout(Some(limit)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Asker { stream, bytes: Vec::new(), taken: 0 })
    }

    /// Sends requests that are bytes already.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).map_err(|error| error.to_string())
    }

    /// The next answer.
    pub fn receive(&mut self) -> Result<Reply, Failure> {
        let mut piece = vec![0; 64 << 10];
        loop {
            let parsed = parse(&self.bytes[self.taken..])
                .map_err(|_| "an answer that is none".to_owned())?;
            if let Some((reply, used)) = parsed {
                self.taken += used;
                return Ok(reply);
            }
            self.bytes.drain(..std::mem::take(&mut self.taken));
            let read = self.stream.read(&mut piece).map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            self.bytes.extend_from_slice(&piece[..read]);
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<Reply, Failure> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.send(&request(&words))?;
        self.receive()
    }
}

/// How a cluster stands, as one node tells.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// Asks a node.
    pub fn of(address: SocketAddr) -> Result<Status, Failure> {
        let reply = Asker::connect(address, ASK_MS_MAX)?.ask(&["CRABCACHE", "STATUS"])?;
        let text = reply.text().ok_or_else(|| format!("{reply:?}"))?;
        serde_json::from_str(text).map(Status).map_err(|error| error.to_string())
    }

    /// A number that it tells of groups, such as `without_primary`.
    pub fn groups(&self, name: &str) -> u64 {
        self.0["groups"][name].as_u64().unwrap_or(u64::MAX)
    }

    /// Whether every group is served and kept as often as it should be, by so many nodes.
    pub fn is_well(&self, nodes: usize) -> bool {
        let up = self.nodes().filter(|node| node["up"] == true).count();
        self.0["cluster"].is_string()
            && self.0["lease"] == true
            && ["without_primary", "under_replicated"].iter().all(|name| self.groups(name) == 0)
            && up == nodes
    }

    /// Whether nothing moves, and nothing has to.
    pub fn is_settled(&self) -> bool {
        self.groups("moving") == 0
            && self.nodes().all(|node| node["copies"] == node["wanted"] && node["learners"] == 0)
    }

    /// The node that leads the Raft group.
    pub fn leader(&self) -> Option<u64> {
        self.0["leader"].as_u64()
    }

    /// Nodes that are not thought to be up.
    pub fn down(&self) -> Vec<u64> {
        self.nodes().filter(|node| node["up"] != true).filter_map(|n| n["id"].as_u64()).collect()
    }

    /// The version of the topology.
    pub fn version(&self) -> u64 {
        self.0["version"].as_u64().unwrap_or(0)
    }

    /// Groups of which a node is primary, and all that it keeps; `None` when it is not known.
    pub fn keeps(&self, id: u64) -> Option<(u64, u64)> {
        let node = self.nodes().find(|node| node["id"] == id)?;
        Some((node["primaries"].as_u64()?, node["copies"].as_u64()? + node["learners"].as_u64()?))
    }

    fn nodes(&self) -> impl Iterator<Item = &Value> {
        self.0["nodes"].as_array().into_iter().flatten()
    }
}

/// Who serves each group, as a node tells clients: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    owners: Vec<Option<SocketAddr>>,
}

impl Map {
    /// Of a node that tells nothing.
    pub fn empty() -> Map {
        Map { owners: vec![None; usize::from(SLOTS)] }
    }

    /// From the answer to CLUSTER SLOTS.
    pub fn of_reply(reply: &Reply) -> Option<Map> {
        let mut map = Map::empty();
        if matches!(reply, Reply::Error(_)) {
            return None;
        }
        for range in reply.list() {
            let [first, last, node, ..] = range.list() else { return None };
            let [host, port, ..] = node.list() else { return None };
            let address = format!("{}:{}", host.text()?, port.number()?).parse().ok()?;
            let (first, last) = (first.number()?, last.number()?);
            for slot in first..=last.min(u64::from(SLOTS) - 1) {
                map.owners[usize::try_from(slot).ok()?] = Some(address);
            }
        }
        Some(map)
    }

    /// Asks a node.
    pub fn of(address: SocketAddr) -> Result<Map, Failure> {
        let reply = Asker::connect(address, ASK_MS_MAX)?.ask(&["CLUSTER", "SLOTS"])?;
        Map::of_reply(&reply).ok_or_else(|| format!("{address} told no slots: {reply:?}"))
    }

    /// Who serves a slot.
    pub fn owner(&self, slot: u16) -> Option<SocketAddr> {
        self.owners.get(usize::from(slot)).copied().flatten()
    }

    /// Corrects one slot.
    pub fn set(&mut self, slot: u16, owner: SocketAddr) {
        if let Some(place) = self.owners.get_mut(usize::from(slot)) {
            *place = Some(owner);
        }
    }

    /// Whether somebody serves anything at this address.
    pub fn names(&self, address: SocketAddr) -> bool {
        self.owners.contains(&Some(address))
    }

    /// All who serve something.
    pub fn nodes(&self) -> BTreeSet<SocketAddr> {
        self.owners.iter().flatten().copied().collect()
    }

    /// Which groups a node serves.
    pub fn groups_of(&self, address: SocketAddr) -> Vec<bool> {
        (0..GROUPS).map(|group| self.owner(group * SLOTS_PER_GROUP) == Some(address)).collect()
    }

    /// Whether all slots are served.
    pub fn is_whole(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::Map;
    use crate::reply::parse;

    #[test]
    fn the_map_is_what_cluster_slots_says() {
        let text = b"*1\r\n*3\r\n:16\r\n:40\r\n*3\r\n$9\r\n127.0.0.1\r\n:7001\r\n$2\r\nid\r\n";
        let (reply, _) = parse(text).unwrap().unwrap();
        let mut map = Map::of_reply(&reply).unwrap();
        let one = "127.0.0.1:7001".parse().unwrap();
        let two = "127.0.0.1:7002".parse().unwrap();
        assert_eq!(
            [15, 16, 40, 41].map(|slot| map.owner(slot)),
            [None, Some(one), Some(one), None]
        );
        map.set(16, two);
        assert!(map.names(two) && !map.is_whole());
        assert_eq!(map.groups_of(one).iter().position(|is| *is), Some(2));
        let (refused, _) = parse(b"-ERR no\r\n").unwrap().unwrap();
        assert_eq!(Map::of_reply(&refused), None);
    }
}
