//! What a primary proposes about its group: who is in sync, and that another becomes primary. Knows
//! nothing of why somebody should be; targets come from the planner.

use super::led::{Led, LinkState};
use super::{
    FENCE_LAG_MAX, FENCE_MS_MAX, FENCE_RETRY_MS, FENCED_MAX, Output, PROPOSE_RETRY_MS, Piece,
    Replication,
};
use crate::control::{CHANGES_MAX, Change, GroupChange, Position};
use crate::node::{Member, NodeId};
use crate::slot::Group;
use crate::time::Millis;

/// A hand-over under way: nothing is executed on the group.
#[derive(Debug)]
pub(super) struct Fence {
    to: Member,
    since: Millis,
    /// Where the log has ended, once that is known.
    pub(super) stopped: Option<Position>,
    /// Whether it was ever proposed: then only the state may say what became of it.
    proposed: bool,
}

impl<P: Piece> Replication<P> {
    pub(super) fn tick_planned(&mut self, now: Millis) {
        let mut changes = Vec::new();
        let groups = self.restless.clone();
        let is_fenced = |group| self.led.get(group).is_some_and(|led| led.fence.is_some());
        let mut fenced = groups.iter().filter(|group| is_fenced(*group)).count();
        for group in groups.iter() {
            self.abort_fence(group, now);
            let Some(led) = self.led.get(group).filter(|led| !self.rests(group, led)) else {
                self.restless.remove(group);
                continue;
            };
            let may_propose = led.proposed.is_none_or(|at| now.since(at) >= PROPOSE_RETRY_MS);
            if !may_propose {
                continue;
            }
            let change = match &led.fence {
                Some(fence) if fence.proposed => Some(self.handover(fence.to)),
                Some(_) => None,
                None => self.shrink(group, led, now).or_else(|| self.expand(group, led, now)),
            };
            if let Some(change) = change {
                changes.push(self.proposal(group, change, now));
            } else if fenced < FENCED_MAX && self.begin_fence(group, now) {
                fenced += 1;
            }
        }
        self.propose(changes);
    }

    /// Whether everything is as it should be: nobody else is wanted, and the copies are complete.
    fn rests(&self, group: Group, led: &Led) -> bool {
        let is_primary = led.wanted.is_none_or(|node| node == self.me.node);
        let others = || led.in_sync.iter().filter(|member| member.node != self.me.node);
        let is_complete = |member: &Member| {
            let link = self.peers.get(&member.node).and_then(|peer| peer.links.get(index(group)));
            link.is_some_and(|link| link.state.acked() == Some(led.last))
        };
        is_primary && led.learners.is_empty() && led.fence.is_none() && others().all(is_complete)
    }

    fn propose(&mut self, mut changes: Vec<GroupChange>) {
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(CHANGES_MAX));
            self.outputs.push_back(Output::Propose(std::mem::replace(&mut changes, rest)));
        }
    }

    fn proposal(&mut self, group: Group, change: Change, now: Millis) -> GroupChange {
        let led = self.led.get_mut(group);
        let version = led.map_or(0, |led| {
            led.proposed = Some(now);
            led.version
        });
        GroupChange { group, version, change }
    }

    fn handover(&self, to: Member) -> Change {
        Change::Handover { by: self.me, to, clear: true }
    }

    /// A member of the in-sync set that has been silent for too long falls out of it.
    fn shrink(&self, group: Group, led: &Led, now: Millis) -> Option<Change> {
        let mut others = led.in_sync.iter().filter(|member| member.node != self.me.node);
        let remove = others.find(|member| self.is_silent(group, led, member.node, now))?.node;
        Some(Change::Shrink { by: self.me, remove, clear: true })
    }

    /// Whether the node lacks something and has not acknowledged anything for too long.
    fn is_silent(&self, group: Group, led: &Led, node: NodeId, now: Millis) -> bool {
        let link = self.peers.get(&node).and_then(|peer| peer.links.get(index(group)));
        let well = link.map_or(led.since, |link| link.well.max(led.since));
        let has_all = link.is_some_and(|link| link.state.acked() == Some(led.last));
        !has_all && now.since(well) >= self.in_sync_timeout_ms
    }

    /// A learner that has had everything at some moment, lacks little now and goes on taking it is
    /// in sync.
    fn expand(&self, group: Group, led: &Led, now: Millis) -> Option<Change> {
        let complete = |node: &NodeId| {
            let member = self.current(*node)?;
            (self.lag(group, led, *node)? <= FENCE_LAG_MAX).then_some(member)
        };
        let willing = led.learners.iter().filter(|node| {
            !self.refusing.contains(node) && !self.is_silent(group, led, **node, now)
        });
        let add = willing.filter_map(complete).next()?;
        Some(Change::Expand { by: self.me, add, clear: true })
    }

    /// The registered start of a node, when it is the one that is connected.
    fn current(&self, node: NodeId) -> Option<Member> {
        let incarnation = *self.incarnations.get(&node)?;
        let up = self.peers.get(&node)?.up?;
        (up == incarnation).then_some(Member { node, incarnation })
    }

    /// How many records a replica lacks that has had everything at some moment.
    fn lag(&self, group: Group, led: &Led, node: NodeId) -> Option<u64> {
        match self.peers.get(&node)?.links.get(index(group))?.state {
            LinkState::Streaming { acked, goal, .. } if acked >= goal => {
                Some(led.last.0.saturating_sub(acked.0))
            }
            LinkState::Streaming { .. }
            | LinkState::Waiting
            | LinkState::Queued(_)
            | LinkState::Resyncing { .. } => None,
        }
    }

    /// Begins to hand the group over to who should have it, when that one is nearly there.
    fn begin_fence(&mut self, group: Group, now: Millis) -> bool {
        let Some(led) = self.led.get(group) else { return false };
        let wanted = led.wanted.filter(|&node| node != self.me.node);
        let to = wanted.and_then(|node| self.current(node)).filter(|to| led.in_sync.contains(to));
        let to = to.filter(|to| !self.refusing.contains(&to.node));
        let Some(to) = to.filter(|_| led.fence.is_none() && now >= led.fence_not_before) else {
            return false;
        };
        let is_near = self.lag(group, led, to.node).is_some_and(|lag| lag <= FENCE_LAG_MAX);
        if !is_near || self.is_silent(group, led, to.node, now) {
            return false;
        }
        if let Some(led) = self.led.get_mut(group) {
            led.fence = Some(Fence { to, since: now, stopped: None, proposed: false });
        }
        self.outputs.push_back(Output::Stop(group));
        true
    }

    /// One that takes too long is given up, unless it was proposed: then it may still happen.
    fn abort_fence(&mut self, group: Group, now: Millis) {
        let Some(led) = self.led.get_mut(group) else { return };
        let is_late = |fence: &mut Fence| !fence.proposed && now.since(fence.since) >= FENCE_MS_MAX;
        if led.fence.take_if(is_late).is_some() {
            led.fence_not_before = now.after(FENCE_RETRY_MS);
            self.outputs.push_back(Output::Resume(group));
        }
    }

    pub(super) fn stopped(&mut self, group: Group, position: Position, now: Millis) {
        match self.led.get_mut(group) {
            Some(led) => {
                if let Some(fence) = &mut led.fence {
                    fence.stopped = Some(position);
                    self.handover_acked(group, now);
                }
            }
            None => self.log_ended(group, position),
        }
    }

    /// Once the next primary has the last record, it may become it.
    pub(super) fn handover_acked(&mut self, group: Group, now: Millis) {
        let Some(led) = self.led.get_mut(group) else { return };
        let Some(fence) = led.fence.as_mut().filter(|fence| !fence.proposed) else { return };
        let Some(end) = fence.stopped else { return };
        let link = self.peers.get(&fence.to.node).and_then(|peer| peer.links.get(index(group)));
        let has_all = link.and_then(|link| link.state.acked()).is_some_and(|at| at >= end.seq);
        if has_all {
            fence.proposed = true;
            let change = self.handover_of(group);
            let changes = change.map(|change| self.proposal(group, change, now));
            self.propose(changes.into_iter().collect());
        }
    }

    fn handover_of(&self, group: Group) -> Option<Change> {
        let fence = self.led.get(group)?.fence.as_ref()?;
        Some(self.handover(fence.to))
    }
}

fn index(group: Group) -> usize {
    usize::from(group.number())
}
