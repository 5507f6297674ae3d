//! How many copies there are of what was written: asked by WAIT on this node and, for groups that
//! others lead, by them over the data plane. Knows no client.
//!
//! ```text
//! call     groups (16 × u64) | copies wanted u32 | longest wait in ms u32
//! answer   copies u32, of the group that has the fewest
//! ```

use crate::clock;
use crate::limits::{
    ANNOUNCED_NODES_MAX, LAG_HEARD_MS_MAX, LAG_TELL_MS, ROOM_SHORT_PART, WAIT_ASK_MS_MAX,
    WAIT_REASK_MS, WAIT_STEP_MS,
};
use crate::peer::{Answer, Endpoint};
use crate::replication::Followers;
use crate::worker::{Copies, Shared};
use bytes::{Buf, Bytes};
use cluster::control::GroupConfig;
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::record::Seq;
use cluster::replication::Lag;
use cluster::slot::Group;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The kind of the calls.
pub(super) const COPIES_CALL: u8 = 14;
/// The kind of calls that tell what a node has room for and how far others are behind: room u64 |
/// (node u64 | groups u32 | records u64 | ms u64)*, with an empty answer.
pub(super) const LAGS_CALL: u8 = 15;

/// What this node knows of copies, and whom it asks.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) shared: Arc<Shared>,
    pub(super) followers: Arc<Followers>,
    pub(super) heard: Arc<Heard>,
    pub(super) endpoint: Endpoint,
}

/// What other nodes have told of the copies of what they lead, and when.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<BTreeMap<NodeId, Told>>);

/// What another node told.
#[derive(Debug)]
struct Told {
    at_nanos: u64,
    /// Bytes that it has room for, for each group that it keeps.
    room: u64,
    lags: Vec<(NodeId, Lag)>,
}

impl Heard {
    /// A node says how far the others are behind.
    pub(super) fn take(&self, from: NodeId, mut body: Bytes) -> Answer {
        let Ok(room) = body.try_get_u64_le() else { return Box::pin(async { None }) };
        let mut lags = Vec::new();
        while let Some(one) = read(&mut body).filter(|_| lags.len() < ANNOUNCED_NODES_MAX) {
            lags.push(one);
        }
        let at_nanos = clock::monotonic_nanos();
        self.0.lock().insert(from, Told { at_nanos, room, lags });
        Box::pin(async { Some(Bytes::new()) })
    }

    /// The room for each group of the nodes that told of it of late.
    fn rooms(&self) -> BTreeMap<NodeId, u64> {
        let now = clock::monotonic_nanos();
        let heard = self.0.lock();
        let fresh = heard.iter().filter(|(_, told)| told.is_fresh(now));
        fresh.map(|(node, told)| (*node, told.room)).collect()
    }
}

impl Told {
    fn is_fresh(&self, now_nanos: u64) -> bool {
        now_nanos.saturating_sub(self.at_nanos) < LAG_HEARD_MS_MAX * 1_000_000
    }
}

fn read(body: &mut Bytes) -> Option<(NodeId, Lag)> {
    let node = NodeId::new(body.try_get_u64_le().ok()?)?;
    let groups = body.try_get_u32_le().ok()?;
    let (records, ms) = (body.try_get_u64_le().ok()?, body.try_get_u64_le().ok()?);
    Some((node, Lag { groups, records, ms }))
}

impl Copies for Known {
    fn copies(&self, group: Group, seq: Seq) -> u32 {
        self.followers.copies(group, seq)
    }

    fn behind(&self) -> (u64, Vec<(NodeId, Lag)>) {
        let lags = self.followers.lags();
        (lags.records, lags.nodes)
    }

    fn all_behind(&self) -> BTreeMap<NodeId, Lag> {
        let now = clock::monotonic_nanos();
        let heard = self.heard.0.lock();
        let fresh = heard.values().filter(|told| told.is_fresh(now));
        let mut all: BTreeMap<NodeId, Lag> = BTreeMap::new();
        let own = self.followers.lags().nodes;
        for (node, lag) in fresh.flat_map(|told| &told.lags).chain(&own) {
            let sum = all.entry(*node).or_default();
            sum.groups += lag.groups;
            sum.records = sum.records.saturating_add(lag.records);
            sum.ms = sum.ms.max(lag.ms);
        }
        all
    }

    fn elsewhere(
        &self,
        groups: GroupSet,
        wanted: u32,
        time: Duration,
    ) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        let known = self.clone();
        Box::pin(async move { known.ask(&groups, wanted, time).await })
    }
}

/// What a node with `room` for each group tells others to keep to. While there is room it is no
/// bound for anybody, since one group may be larger than the others together; from there on it
/// comes down to that room as the rest fills, without a step: who leads more than its share gives
/// up no more than others lack.
fn told(room: u64, max: u64, used: u64) -> u64 {
    let part = max / ROOM_SHORT_PART;
    let over = used.saturating_sub(max - part);
    let told = (u128::from(room) * u128::from(part)).checked_div(u128::from(over));
    told.map_or(u64::MAX, |told| u64::try_from(told).unwrap_or(u64::MAX).max(room))
}

impl Known {
    /// Bytes that this node has room for, for each group that it keeps or is given; all there are
    /// where nothing bounds them.
    fn room(&self) -> u64 {
        let Some(view) = self.shared.views.get() else { return u64::MAX };
        let keeps = |config: &GroupConfig| config.nodes().any(|node| node == view.me());
        let count = view.state().groups().filter(|(_, config)| keeps(config)).count() as u64;
        self.shared.engine.max_memory().map_or(u64::MAX, |bytes| bytes / count.max(1))
    }

    /// The same for others to keep to.
    fn told_room(&self) -> u64 {
        let engine = &self.shared.engine;
        engine.max_memory().map_or(u64::MAX, |max| told(self.room(), max, engine.used_bytes()))
    }

    /// Keeps what this node leads to what those have room for who keep copies of it.
    fn keep_to_room(&self) {
        let (Some(view), rooms) = (self.shared.views.get(), self.heard.rooms()) else { return };
        let own = self.room();
        let (mut most, mut led, mut lacks) = (0_u64, 0_u64, false);
        for group in view.primary_of().iter() {
            let others = view.topology().holders(group).nodes().filter_map(|n| rooms.get(&n));
            let room = others.copied().min().unwrap_or(own).min(own);
            lacks |= room < own;
            most = most.saturating_add(room);
            led += 1;
        }
        // Where everybody has as much room, this node's own bound will do.
        self.shared.engine.set_ceiling(lacks.then(|| most / led.max(1)));
    }

    /// Tells the others how far they are behind with what this node leads, and what it has room
    /// for.
    pub(super) fn tell(&self) {
        self.keep_to_room();
        let lags = self.followers.lags().nodes;
        let mut body = self.told_room().to_le_bytes().to_vec();
        for (node, lag) in &lags {
            body.extend_from_slice(&node.number().to_le_bytes());
            body.extend_from_slice(&lag.groups.to_le_bytes());
            body.extend_from_slice(&lag.records.to_le_bytes());
            body.extend_from_slice(&lag.ms.to_le_bytes());
        }
        let (body, longest) = (Bytes::from(body), Duration::from_millis(LAG_TELL_MS));
        for (node, _) in lags {
            let (endpoint, body) = (self.endpoint.clone(), body.clone());
            tokio::spawn(async move {
                // Who does not hear it hears the next.
                let _ = endpoint.call(node, LAGS_CALL, body, longest).await;
            });
        }
    }

    /// Asks the primaries, whoever they are by then, until the copies are enough.
    async fn ask(&self, groups: &GroupSet, wanted: u32, time: Duration) -> u32 {
        let until = clock::monotonic_nanos().saturating_add(nanos(time));
        loop {
            let mut fewest = u32::MAX;
            for (node, groups) in self.by_owner(groups) {
                let left = until.saturating_sub(clock::monotonic_nanos()) / 1_000_000;
                let ms = left.min(WAIT_ASK_MS_MAX);
                fewest = fewest.min(self.ask_one(node, &groups, wanted, ms).await);
            }
            if fewest >= wanted || clock::monotonic_nanos() >= until {
                return fewest;
            }
            sleep(Duration::from_millis(WAIT_REASK_MS)).await;
        }
    }

    fn by_owner(&self, groups: &GroupSet) -> BTreeMap<Option<NodeId>, GroupSet> {
        let view = self.shared.views.get();
        let mut owners: BTreeMap<Option<NodeId>, GroupSet> = BTreeMap::new();
        for group in groups.iter() {
            let owner = view.as_ref().and_then(|view| view.topology().owner(group));
            owners.entry(owner).or_default().insert(group);
        }
        owners
    }

    async fn ask_one(&self, node: Option<NodeId>, groups: &GroupSet, wanted: u32, ms: u64) -> u32 {
        let Some(node) = node else { return 0 };
        if self.shared.views.get().is_some_and(|view| view.me() == node) {
            return wait(&self.shared, &self.followers, groups, wanted, ms).await;
        }
        let mut body: Vec<u8> = groups.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        body.extend_from_slice(&wanted.to_le_bytes());
        body.extend_from_slice(&u32::try_from(ms).unwrap_or(u32::MAX).to_le_bytes());
        let longest = Duration::from_millis(ms + WAIT_ASK_MS_MAX);
        match self.endpoint.call(node, COPIES_CALL, body.into(), longest).await {
            Ok(mut answer) => answer.try_get_u32_le().unwrap_or(0),
            Err(_) => 0,
        }
    }
}

/// Answers a call.
pub(super) fn answer(shared: Arc<Shared>, followers: Arc<Followers>, mut body: Bytes) -> Answer {
    Box::pin(async move {
        let mut words = [0; GroupSet::WORDS];
        for word in &mut words {
            *word = body.try_get_u64_le().ok()?;
        }
        let (wanted, ms) = (body.try_get_u32_le().ok()?, body.try_get_u32_le().ok()?);
        let ms = u64::from(ms).min(WAIT_ASK_MS_MAX);
        let groups = GroupSet::from_words(words);
        let copies = wait(&shared, &followers, &groups, wanted, ms).await;
        Some(Bytes::copy_from_slice(&copies.to_le_bytes()))
    })
}

/// Waits until so many nodes have what this one has done so far to groups that it leads, for a
/// limited time; none have what it does not lead.
async fn wait(
    shared: &Shared,
    followers: &Followers,
    groups: &GroupSet,
    wanted: u32,
    ms: u64,
) -> u32 {
    let until = clock::monotonic_nanos().saturating_add(nanos(Duration::from_millis(ms)));
    let Some(view) = shared.views.get().filter(|view| view.is_leased()) else { return 0 };
    if groups.iter().any(|group| !view.primary_of().contains(group)) {
        return 0;
    }
    let record = |group: Group| (group, shared.engine.log_position(group).1);
    let records: Vec<(Group, Seq)> = groups.iter().map(record).collect();
    loop {
        let of_each = records.iter().map(|(group, seq)| followers.copies(*group, *seq));
        let copies = of_each.min().unwrap_or(0);
        if copies >= wanted || clock::monotonic_nanos() >= until {
            return copies;
        }
        sleep(Duration::from_millis(WAIT_STEP_MS)).await;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn what_is_told_comes_down_to_the_room_without_a_step() {
        assert_eq!(told(100, 8000, 0), u64::MAX);
        assert_eq!(told(100, 8000, 7000), u64::MAX);
        assert_eq!(told(100, 8000, 7001), 100_000);
        assert_eq!(told(100, 8000, 7500), 200);
        assert_eq!(told(100, 8000, 8000), 100);
        assert_eq!(told(100, 8000, 9000), 100, "no less than its share");
        assert_eq!(told(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
    }
}
