//! What recovery starts from: for each group its newest whole snapshot, and which records of the
//! log a later one took back. Decided from the surveys before anything is applied.

use super::order::Standing;
use super::survey::FileSurvey;
use cluster::record::{Header, Kind};
use cluster::slot::{GROUPS, Group};

/// The surveys, and what follows from them.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) log: Vec<FileSurvey>,
    pub(super) snapshots: Vec<FileSurvey>,
    starts: Vec<Option<Start>>,
    /// Of each group: where a `Truncate` or `Drop` stands, and what it says.
    controls: Vec<Vec<((usize, u64), Header)>>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    file: usize,
    base: Header,
}

impl Plan {
    pub(super) fn new(log: Vec<FileSurvey>, snapshots: Vec<FileSurvey>) -> Plan {
        let none = usize::from(GROUPS);
        let mut plan =
            Plan { log, snapshots, starts: vec![None; none], controls: vec![Vec::new(); none] };
        for (i, file) in plan.log.iter().enumerate() {
            for (at, header) in &file.controls {
                if matches!(header.kind, Kind::Truncate | Kind::Drop) {
                    plan.controls[number(header.group)].push(((i, *at), *header));
                }
            }
        }
        for (file, survey) in plan.snapshots.iter().enumerate().filter(|(_, s)| s.is_whole()) {
            for (_, base) in survey.controls.iter().filter(|(_, h)| h.kind == Kind::Base) {
                let start = &mut plan.starts[number(base.group)];
                let newer = |old: Start| (base.epoch, base.seq) >= (old.base.epoch, old.base.seq);
                let taken_back = plan.controls[number(base.group)]
                    .iter()
                    .any(|(_, control)| takes_back(control, base));
                if !taken_back && start.is_none_or(newer) {
                    *start = Some(Start { file, base: *base });
                }
            }
        }
        plan
    }

    /// How far the snapshot of `group` reaches.
    pub(super) fn start(&self, group: Group) -> Standing {
        self.starts[number(group)].map_or_else(Standing::default, |start| Standing {
            epoch: start.base.epoch,
            seq: start.base.seq,
            time: start.base.time,
        })
    }

    /// The number of the snapshot file that `group` starts from.
    pub(super) fn start_number(&self, group: Group) -> Option<u64> {
        self.starts[number(group)].map(|start| self.snapshots[start.file].number)
    }

    /// Whether `group` starts from this one of the snapshots.
    pub(super) fn is_start(&self, group: Group, file: usize) -> bool {
        self.starts[number(group)].is_some_and(|start| start.file == file)
    }

    /// Whether any group starts from this one of the snapshots.
    pub(super) fn is_used(&self, file: usize) -> bool {
        self.starts.iter().flatten().any(|start| start.file == file)
    }

    /// Whether a record that stands at `place` was taken back further on.
    pub(super) fn is_dead(&self, header: &Header, place: (usize, u64)) -> bool {
        let later = self.controls[number(header.group)].iter().filter(|(at, _)| *at > place);
        later.into_iter().any(|(_, control)| match control.kind {
            Kind::Truncate => header.seq > control.seq,
            Kind::Drop => true,
            Kind::Effects | Kind::EpochStart | Kind::Base | Kind::Synced => false,
        })
    }
}

/// Whether `control` says that a snapshot no longer counts.
fn takes_back(control: &Header, base: &Header) -> bool {
    match control.kind {
        Kind::Truncate => base.epoch < control.epoch && base.seq > control.seq,
        Kind::Drop => (base.epoch, base.seq) <= (control.epoch, control.seq),
        Kind::Effects | Kind::EpochStart | Kind::Base | Kind::Synced => false,
    }
}

fn number(group: Group) -> usize {
    usize::from(group.number())
}
