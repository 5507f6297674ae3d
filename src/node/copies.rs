//! How many copies there are of what was written: asked by WAIT on this node and, for groups that
//! others lead, by them over the data plane. Knows no client.
//!
//! ```text
//! call     groups (16 × u64) | copies wanted u32 | longest wait in ms u32
//! answer   copies u32, of the group that has the fewest
//! ```

use crate::clock;
use crate::limits::{WAIT_ASK_MS_MAX, WAIT_REASK_MS, WAIT_STEP_MS};
use crate::peer::{Answer, Endpoint};
use crate::replication::Followers;
use crate::worker::{Copies, Shared};
use bytes::{Buf, Bytes};
use cluster::group_set::GroupSet;
use cluster::node::NodeId;
use cluster::record::Seq;
use cluster::slot::Group;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The kind of the calls.
pub(super) const COPIES_CALL: u8 = 14;

/// What this node knows of copies, and whom it asks.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) shared: Arc<Shared>,
    pub(super) followers: Arc<Followers>,
    pub(super) endpoint: Endpoint,
}

impl Copies for Known {
    fn copies(&self, group: Group, seq: Seq) -> u32 {
        self.followers.copies(group, seq)
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

impl Known {
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
