//! What recovery starts from: for each group its newest whole snapshot, and which records of the
//! log a later one took back. Decided from the surveys before anything is applied.

use super::order::Standing;
use super::survey::{FileSurvey, Spot};
use cluster::record::{Header, Kind};
use cluster::slot::{GROUPS, Group};

/// The surveys, and what follows from them.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) log: Vec<FileSurvey>,
    pub(super) snapshots: Vec<FileSurvey>,
    starts: Vec<Option<Start>>,
    /// Of each group: where a `Base`, `Truncate` or `Drop` stands in the log, and what it says.
    controls: Vec<Vec<(Place, Header)>>,
    /// Whether the log of a group goes on from a copy that no snapshot holds.
    unsaved: Vec<bool>,
}

/// Where a record stands in the log: the file, and where in that.
type Place = (usize, Spot);

#[derive(Clone, Copy, Debug)]
struct Start {
    file: usize,
    base: Header,
}

impl Plan {
    pub(super) fn new(log: Vec<FileSurvey>, snapshots: Vec<FileSurvey>) -> Plan {
        let groups = usize::from(GROUPS);
        let (starts, unsaved) = (vec![None; groups], vec![false; groups]);
        let controls = vec![Vec::new(); groups];
        let mut plan = Plan { log, snapshots, starts, controls, unsaved };
        for (i, file) in plan.log.iter().enumerate() {
            for (at, header) in &file.controls {
                plan.controls[number(header.group)].push(((i, *at), *header));
            }
        }
        let begun: Vec<Option<(Place, Header)>> = Group::all().map(|g| plan.begun(g)).collect();
        for (file, survey) in plan.snapshots.iter().enumerate().filter(|(_, s)| s.is_whole()) {
            for (_, base) in survey.controls.iter().filter(|(_, h)| h.kind == Kind::Base) {
                let at = number(base.group);
                let start = &mut plan.starts[at];
                let newer = |old: Start| (base.epoch, base.seq) >= (old.base.epoch, old.base.seq);
                let counts = begun[at].is_none_or(|(_, begun)| reaches(base, &begun));
                let taken_back = plan.controls[at]
                    .iter()
                    .filter(|(place, _)| begun[at].is_none_or(|(begun, _)| *place > begun))
                    .any(|(_, control)| takes_back(control, base));
                if counts && !taken_back && start.is_none_or(newer) {
                    *start = Some(Start { file, base: *base });
                }
            }
        }
        for (at, begun) in begun.iter().enumerate() {
            plan.unsaved[at] = begun.is_some() && plan.starts[at].is_none();
        }
        plan
    }

    /// The copy that the log of `group` goes on from, unless that was taken back.
    fn begun(&self, group: Group) -> Option<(Place, Header)> {
        let mut controls = self.controls[number(group)].iter().rev();
        let &(place, base) = controls.find(|(_, control)| control.kind == Kind::Base)?;
        (!self.is_taken_back(&base, place)).then_some((place, base))
    }

    /// The groups that were received as copies that no snapshot holds: this node has none of them.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = Group> {
        Group::all().filter(|group| self.unsaved[number(*group)])
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

    /// Whether a record that stands at `place` was taken back further on, or is of a group of which
    /// nothing counts.
    pub(super) fn is_dead(&self, header: &Header, place: Place) -> bool {
        self.unsaved[number(header.group)] || self.is_taken_back(header, place)
    }

    fn is_taken_back(&self, header: &Header, place: Place) -> bool {
        let later = self.controls[number(header.group)].iter().filter(|(at, _)| *at > place);
        later.into_iter().any(|(_, control)| match control.kind {
            Kind::Truncate => header.seq > control.seq,
            Kind::Drop => true,
            Kind::Effects | Kind::EpochStart | Kind::Base | Kind::Synced => false,
        })
    }
}

/// Whether a snapshot holds the copy that `begun` speaks of; one from before it does not.
fn reaches(base: &Header, begun: &Header) -> bool {
    (base.epoch, base.seq) >= (begun.epoch, begun.seq)
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
