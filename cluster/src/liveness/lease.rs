//! The grants that make a lease. Knows no heartbeat.

use crate::node::{Member, NodeId};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// What others have promised to this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    of: BTreeMap<NodeId, Grant>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    by: Member,
    until: Millis,
    /// A longer promise by one that had applied more of the control log than this node: it counts
    /// once this node has applied as much, for it may say that this node is primary no more.
    ahead: Option<(Millis, u64)>,
}

impl Grants {
    /// `by`, which has applied `index`, promises until `until`.
    pub(super) fn grant(&mut self, by: Member, until: Millis, index: u64, applied: u64) {
        let fresh = Grant { by, until: Millis(0), ahead: None };
        let grant = self.of.entry(by.node).or_insert(fresh);
        if grant.by.incarnation > by.incarnation {
            return;
        }
        if grant.by != by {
            *grant = fresh;
        }
        if index <= applied {
            grant.until = grant.until.max(until);
        } else if grant.ahead.is_none_or(|(longest, _)| longest < until) {
            grant.ahead = Some((until, index));
        }
    }

    /// This node has applied the control log up to `index`.
    pub(super) fn applied(&mut self, index: u64) {
        for grant in self.of.values_mut() {
            if let Some((until, _)) = grant.ahead.take_if(|(_, ahead)| *ahead <= index) {
                grant.until = grant.until.max(until);
            }
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(Member) -> bool) {
        self.of.retain(|_, grant| keep(grant.by));
    }

    /// Until when a majority of the voters, of which `me` may be one, has promised.
    pub(super) fn until(&self, me: NodeId, voters: &BTreeSet<NodeId>) -> Millis {
        let of = |voter: &NodeId| match self.of.get(voter) {
            _ if *voter == me => Millis(u64::MAX),
            Some(grant) => grant.until,
            None => Millis(0),
        };
        let mut longest_first: Vec<Millis> = voters.iter().map(of).collect();
        longest_first.sort_unstable_by(|a, b| b.cmp(a));
        longest_first.get(voters.len() / 2).copied().unwrap_or(Millis(0))
    }
}
