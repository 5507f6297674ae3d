//! What recovery found: put together from the surveys and from what the threads did.

use super::damage::{self, Corrupt, Cut, Damage, Why};
use super::header::HEADER_BYTES;
use super::order::{Break, Broken, Standing};
use super::plan::Plan;
use super::replay::{Place, Replayed};
use super::survey::{self, FileSurvey};
use cluster::record::{Epoch, GroupTime, Header, Kind, Seq};
use cluster::slot::Group;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// What recovery found and did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How far each group has come that has come anywhere.
    pub groups: Vec<(Group, Standing)>,
    /// Records of the log that were applied.
    pub applied: u64,
    /// Records of the log that were covered already, or taken back.
    pub skipped: u64,
    /// Records that could not count because one before them is missing.
    pub refused: u64,
    /// Groups with such records, none of which was known to be synced: a crash explains them.
    /// A `Truncate` of each has to be the first that is logged, else they would count next time.
    pub truncate: Vec<(Group, Epoch, Seq)>,
    /// Where the end of the log was cut short.
    pub cut: Option<Cut>,
    /// Last files in which nothing was ever written.
    pub blank: Vec<PathBuf>,
    /// Places that cannot be read.
    pub damages: Vec<Damage>,
    /// Groups that lost something, or may have.
    pub corrupt: Vec<Corrupt>,
    /// Groups whose log goes on from a copy that no snapshot holds: the node ended before that was
    /// on disk. Nothing of them was applied. In a cluster another node still has them; a node that
    /// is alone never receives a copy, and lacks a snapshot.
    pub unsaved: Vec<Group>,
    /// The greatest time of any group.
    pub time: GroupTime,
    /// The files of the log.
    pub segments: Vec<FileFacts>,
    /// The snapshots that count: of each group the seq up to which they hold it.
    pub snapshots: Vec<FileFacts>,
    /// The segment from which on they say that the log stays; 0: none says that.
    pub log_from: u64,
    /// The next free number of a file of the log, once [`Outcome::settle`] was called.
    pub segment_next: u64,
    /// The next free number of a snapshot.
    pub snapshot_next: u64,
}

/// A file, for whoever decides when it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// Its last seq of each group in it.
    pub last: Vec<(Group, Seq)>,
}

impl Outcome {
    /// Whether nothing was lost that had been synced.
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty() && self.corrupt.is_empty()
    }

    /// Cuts the torn end off and removes files that were never begun. To be called before a new
    /// file of the log is begun: in a file that is not the last one, a torn end is damage.
    ///
    /// # Errors
    /// When a file cannot be changed; nothing may be logged then.
    pub fn settle(&self) -> io::Result<()> {
        self.cut.as_ref().map_or(Ok(()), damage::cut_tail)?;
        damage::remove_blank(&self.blank)
    }

    pub(super) fn new(plan: &Plan, blank: Vec<PathBuf>, threads: &[Replayed]) -> Outcome {
        let mut out = Outcome { blank, damages: damages(plan), ..Outcome::default() };
        out.unsaved = plan.unsaved().collect();
        out.cut = plan.log.last().and_then(|file| file.cut.clone());
        out.segments = plan.log.iter().filter(|f| f.salt.is_some()).map(facts).collect();
        out.snapshots = plan.snapshots.iter().filter(|f| f.is_whole()).map(facts).collect();
        out.log_from = survey::log_from(&plan.snapshots);
        out.segment_next = plan.log.last().map_or(1, |file| file.number + 1);
        out.snapshot_next = plan.snapshots.last().map_or(1, |file| file.number + 1);
        out.applied = threads.iter().map(|thread| thread.applied).sum();
        out.skipped = threads.iter().map(|thread| thread.skipped).sum();
        let Some(first) = threads.first() else { return out };
        out.refused = first.order.refused();
        let mut corrupt = BTreeMap::new();
        for (group, bad) in threads.iter().flat_map(|thread| &thread.bad) {
            let files = if bad.in_snapshot { &plan.snapshots } else { &plan.log };
            let at = (Why::Payload, files[bad.file].path.clone(), bad.offset);
            corrupt.insert(*group, (at, Some(bad.standing)));
        }
        for broken in &first.broken {
            out.judge_broken(plan, first, broken, &mut corrupt);
        }
        out.suspect(plan, first, &mut corrupt);
        for group in Group::all() {
            let bad = corrupt.get(&group).and_then(|(_, standing)| *standing);
            let standing = bad.unwrap_or_else(|| first.order.standing(group));
            if standing != Standing::default() {
                out.groups.push((group, standing));
                out.time = out.time.max(standing.time);
            }
        }
        let named = |(group, ((why, path, offset), _))| Corrupt { group, why, path, offset };
        out.corrupt = corrupt.into_iter().map(named).collect();
        out
    }

    /// A group whose log has a gap: a crash explains it behind the last sync, nothing before.
    fn judge_broken(
        &mut self,
        plan: &Plan,
        first: &Replayed,
        broken: &Broken<Place>,
        corrupt: &mut Corrupts,
    ) {
        let standing = first.order.standing(broken.group);
        self.truncate.push((broken.group, standing.epoch, standing.seq));
        let why = match broken.why {
            Break::Gap => Why::Gap,
            Break::Base => Why::Snapshot,
        };
        // That a file was begun says nothing of a batch that goes on in it.
        let tells = |file: &FileSurvey| file.synced > HEADER_BYTES;
        let synced = plan.log.iter().rposition(tells).map(|at| (at, plan.log[at].synced));
        let synced = synced.unwrap_or_default();
        let place = (broken.place.file, broken.place.offset);
        let log_damaged = self.damages.iter().any(|damage| !damage.snapshot);
        if why == Why::Snapshot || place < synced || log_damaged {
            let path = plan.log[broken.place.file].path.clone();
            let at = (why, path, broken.place.offset);
            corrupt.entry(broken.group).or_insert((at, None));
        }
    }

    /// Groups that damage may have cost something though nothing else shows it.
    fn suspect(&self, plan: &Plan, first: &Replayed, corrupt: &mut Corrupts) {
        let log: Vec<&Damage> = self.damages.iter().filter(|damage| !damage.snapshot).collect();
        let logged: Vec<Group> =
            plan.log.iter().flat_map(|file| file.last.iter().map(|(group, _)| *group)).collect();
        let logged: std::collections::BTreeSet<Group> = logged.into_iter().collect();
        for group in Group::all() {
            let standing = first.order.standing(group);
            if let Some(damage) = log.get(first.order.confirmed(group) as usize) {
                let at = (Why::Unknown, damage.path.clone(), damage.offset);
                corrupt.entry(group).or_insert((at, None));
            }
            let start = plan.start_number(group);
            let newer = |file: &&FileSurvey| start.is_none_or(|start| file.number > start);
            let damaged = plan.snapshots.iter().filter(|file| !file.is_whole()).filter(newer);
            for file in damaged {
                let why = match base_in(file, group) {
                    Some(base) if (base.epoch, base.seq) <= (standing.epoch, standing.seq) => {
                        continue;
                    }
                    Some(_) => Why::Snapshot,
                    None if logged.contains(&group) => continue,
                    None => Why::Unknown,
                };
                let at = (why, file.path.clone(), file.damages().next().unwrap_or(file.bytes));
                corrupt.entry(group).or_insert((at, None));
            }
        }
    }
}

type Corrupts = BTreeMap<Group, ((Why, PathBuf, u64), Option<Standing>)>;

fn base_in(file: &FileSurvey, group: Group) -> Option<&Header> {
    let bases = file.controls.iter().map(|(_, header)| header);
    bases.filter(|header| header.kind == Kind::Base).find(|header| header.group == group)
}

fn damages(plan: &Plan) -> Vec<Damage> {
    let of = |file: &FileSurvey, snapshot| {
        let path = file.path.clone();
        file.damages()
            .map(move |offset| Damage { path: path.clone(), offset, snapshot })
            .collect::<Vec<_>>()
    };
    let log = plan.log.iter().flat_map(|file| of(file, false));
    let snapshots = plan.snapshots.iter().filter(|file| !file.is_whole()).flat_map(|file| {
        let found = of(file, true);
        let path = file.path.clone();
        // Whole frames only, and the one that closes it is not there.
        let open = Damage { path, offset: file.bytes, snapshot: true };
        if found.is_empty() { vec![open] } else { found }
    });
    log.chain(snapshots).collect()
}

fn facts(file: &FileSurvey) -> FileFacts {
    let FileSurvey { number, path, bytes, last, .. } = file.clone();
    FileFacts { number, path, bytes, last }
}
