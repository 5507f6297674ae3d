//! What a change does to a group: compare-and-set by version, then the rules of the in-sync set.
//! Knows neither health nor wishes.

use super::command::{Change, GroupChange, Rejection};
use super::settings::FACTOR_MAX;
use super::state::{ControlState, GroupConfig};
use crate::node::{Member, Node, NodeId};
use std::sync::Arc;

impl ControlState {
    /// Changes one group, or says why not and changes nothing.
    pub(super) fn change(&mut self, one: &GroupChange) -> Result<(), Rejection> {
        let at = usize::from(one.group.number());
        if self.groups[at].version != one.version {
            return Err(Rejection::Version);
        }
        let mut config = self.changed(&self.groups[at], &one.change)?;
        config.version += 1;
        self.groups[at] = Arc::new(config);
        self.groups_lost += u64::from(matches!(one.change, Change::Recreate { .. }));
        Ok(())
    }

    /// A primary that proposes to hand its group over executes nothing until it hears what became
    /// of that. Where it was refused, the group's version says so: it goes on, and the same
    /// proposal cannot come about any more. Whether that was so.
    pub(super) fn refuse_handover(&mut self, one: &GroupChange) -> bool {
        let Change::Handover { by, .. } = one.change else { return false };
        let config = &mut self.groups[usize::from(one.group.number())];
        let refused = config.version == one.version && config.primary == Some(by);
        if refused {
            Arc::make_mut(config).version += 1;
        }
        refused
    }

    fn changed(&self, before: &GroupConfig, change: &Change) -> Result<GroupConfig, Rejection> {
        let mut config = before.clone();
        match change {
            Change::Shrink { by, remove, clear } => {
                self.check_by(before, *by)?;
                config.leave_in_sync(*remove)?;
                config.learners.push(*remove);
                config.released(*clear);
            }
            Change::Expand { by, add, clear } => {
                self.check_by(before, *by)?;
                self.enter_in_sync(&mut config, *add)?;
                config.released(*clear);
            }
            Change::Swap { by, remove, add, clear } => {
                self.check_by(before, *by)?;
                self.enter_in_sync(&mut config, *add)?;
                config.leave_in_sync(*remove)?;
                config.learners.push(*remove);
                config.released(*clear);
            }
            Change::Handover { by, to, clear } => {
                self.check_by(before, *by)?;
                self.check_handover(before, *by, *to)?;
                config.begin_epoch(*to);
                config.released(*clear);
            }
            Change::Failover { from, to } => self.fail_over(&mut config, *from, *to)?,
            Change::Target(target) => config.target = self.check_target(target)?,
            Change::AddLearner(node) => {
                self.check_active(*node)?;
                if before.is_holder(*node) {
                    return Err(Rejection::AlreadyHolder);
                }
                config.learners.push(*node);
            }
            Change::RemoveReplica(node) => {
                if before.learners.contains(node) {
                    config.learners.retain(|learner| learner != node);
                } else {
                    config.leave_in_sync(*node)?;
                }
            }
            Change::Recreate { to } => self.recreate(&mut config, *to)?,
        }
        if config.in_sync.len() < self.settings.floor().min(before.in_sync.len()) {
            return Err(Rejection::Floor);
        }
        Ok(config)
    }

    /// A primary speaks for its group while it is primary, in the incarnation that became so.
    fn check_by(&self, config: &GroupConfig, by: Member) -> Result<(), Rejection> {
        if config.primary != Some(by) {
            return Err(Rejection::NotPrimary);
        }
        self.is_current(by).then_some(()).ok_or(Rejection::Incarnation)
    }

    fn check_active(&self, node: NodeId) -> Result<(), Rejection> {
        let known = self.nodes.get(&node).ok_or(Rejection::UnknownNode)?;
        known.takes_copies().then_some(()).ok_or(Rejection::NotActive)
    }

    /// Another incarnation than the newest may have started with nothing (KIP-903); a node that is
    /// being emptied stays out (KIP-841).
    fn enter_in_sync(&self, config: &mut GroupConfig, add: Member) -> Result<(), Rejection> {
        self.check_active(add.node)?;
        if !self.is_current(add) {
            return Err(Rejection::Incarnation);
        }
        if config.in_sync(add.node).is_some() {
            return Err(Rejection::AlreadyHolder);
        }
        if !config.learners.contains(&add.node) {
            return Err(Rejection::NotHolder);
        }
        config.learners.retain(|node| *node != add.node);
        config.in_sync.push(add);
        Ok(())
    }

    fn check_handover(
        &self,
        config: &GroupConfig,
        by: Member,
        to: Member,
    ) -> Result<(), Rejection> {
        self.check_active(to.node)?;
        if !self.is_current(to) {
            return Err(Rejection::Incarnation);
        }
        if by == to {
            return Err(Rejection::Primary);
        }
        config.in_sync.contains(&to).then_some(()).ok_or(Rejection::NotHolder)
    }

    fn fail_over(
        &self,
        config: &mut GroupConfig,
        from: Option<Member>,
        to: Member,
    ) -> Result<(), Rejection> {
        if config.primary != from {
            return Err(Rejection::NotPrimary);
        }
        if from == Some(to) {
            return Err(Rejection::Primary);
        }
        if !self.is_current(to) {
            return Err(Rejection::Incarnation);
        }
        if config.in_sync.contains(&to) {
            let deposed = from.map(|from| from.node);
            let kept = config.in_sync.len() - usize::from(deposed.is_some());
            if let Some(deposed) = deposed.filter(|_| kept >= self.settings.floor()) {
                config.in_sync.retain(|member| member.node != deposed);
                config.learners.extend(config.target.iter().find(|node| **node == deposed));
            }
        } else if self.is_async() && config.learners.contains(&to.node) {
            self.begin_alone(config, to);
        } else {
            return Err(Rejection::NotHolder);
        }
        // One whose incarnation is over can serve nobody: its promises need not run out.
        if let Some(from) = from.filter(|from| self.is_current(*from))
            && !config.unreleased.contains(&from.node)
        {
            config.unreleased.push(from.node);
        }
        config.begin_epoch(to);
        Ok(())
    }

    fn recreate(&self, config: &mut GroupConfig, to: Member) -> Result<(), Rejection> {
        if !self.is_async() {
            return Err(Rejection::Mode);
        }
        if !self.is_current(to) {
            return Err(Rejection::Incarnation);
        }
        self.check_active(to.node)?;
        self.begin_alone(config, to);
        config.begin_epoch(to);
        Ok(())
    }

    /// Only `to` has a complete copy; whoever else is wanted learns.
    fn begin_alone(&self, config: &mut GroupConfig, to: Member) {
        let wanted = config.target.iter().copied();
        let member = |node: &NodeId| self.nodes.get(node).is_some_and(Node::is_member);
        config.learners = wanted.filter(|node| *node != to.node && member(node)).collect();
        config.in_sync = vec![to];
    }

    fn check_target(&self, target: &[NodeId]) -> Result<Vec<NodeId>, Rejection> {
        let twice = (1..target.len()).any(|i| target[..i].contains(&target[i]));
        if target.is_empty() || twice || target.len() > usize::from(FACTOR_MAX) {
            return Err(Rejection::Target);
        }
        target.iter().try_for_each(|node| self.check_active(*node))?;
        Ok(target.to_vec())
    }
}

impl GroupConfig {
    fn leave_in_sync(&mut self, node: NodeId) -> Result<(), Rejection> {
        if self.primary.is_some_and(|primary| primary.node == node) {
            return Err(Rejection::Primary);
        }
        if self.in_sync(node).is_none() {
            return Err(Rejection::NotHolder);
        }
        self.in_sync.retain(|member| member.node != node);
        Ok(())
    }

    fn begin_epoch(&mut self, primary: Member) {
        self.primary = Some(primary);
        self.epoch.0 += 1;
    }

    fn released(&mut self, clear: bool) {
        if clear {
            self.unreleased.clear();
        }
    }
}
