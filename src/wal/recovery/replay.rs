//! Applies what counts: each thread reads all files, orders all records, and applies those of its
//! own groups, so that no two threads meet and all come to the same order.

use super::order::{Broken, Offered, Order, Standing, Verdict};
use super::plan::Plan;
use super::stream::FrameStream;
use super::survey::{FileSurvey, Piece};
use super::{Payload, RecoveryError, Target};
use crate::limits::{RECOVERY_PROGRESS_BYTES, RECOVERY_WAITING_FRAMES_MAX};
use cluster::record::frame::Frame;
use cluster::record::{Header, Kind, Record, Seq};
use cluster::slot::{GROUPS, Group};
use std::fs::File;

/// Where a frame stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) offset: u64,
    bytes: u64,
}

/// A payload that the target did not understand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bad {
    /// The group up to the record before.
    pub(super) standing: Standing,
    pub(super) in_snapshot: bool,
    pub(super) file: usize,
    pub(super) offset: u64,
}

/// What one thread did.
pub(super) struct Replayed {
    pub(super) order: Order<Place>,
    pub(super) broken: Vec<Broken<Place>>,
    pub(super) bad: Vec<(Group, Bad)>,
    pub(super) applied: u64,
    pub(super) skipped: u64,
}

/// Which of the threads this one is.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) thread: usize,
    pub(super) threads: usize,
}

impl Share {
    fn holds(self, group: Group) -> bool {
        usize::from(group.number()) % self.threads == self.thread
    }
}

struct Replay<'a> {
    plan: &'a Plan,
    share: Share,
    target: &'a dyn Target,
    order: Order<Place>,
    bad: Vec<Option<Bad>>,
    offered: Vec<Offered>,
    marks: Vec<bool>,
    again: Option<(usize, FrameStream)>,
    applied: u64,
    skipped: u64,
}

/// Applies snapshots and log to the groups of `share`; tells `seen` how many bytes it has read.
pub(super) fn replay(
    plan: &Plan,
    share: Share,
    target: &dyn Target,
    seen: &dyn Fn(u64),
) -> Result<Replayed, RecoveryError> {
    let order = Order::new(|group| plan.start(group), RECOVERY_WAITING_FRAMES_MAX);
    let (bad, offered, marks) = (vec![None; usize::from(GROUPS)], Vec::new(), Vec::new());
    let (applied, skipped, again) = (0, 0, None);
    let mut replay =
        Replay { plan, share, target, order, bad, offered, marks, again, applied, skipped };
    for (i, file) in plan.snapshots.iter().enumerate().filter(|(i, _)| plan.is_used(*i)) {
        each_frame(file, seen, &mut |at, frame| {
            frame.records().for_each(|record| replay.restore(i, at, &record));
            Ok(())
        })?;
    }
    for (i, file) in plan.log.iter().enumerate() {
        replay.file(i, file, seen)?;
    }
    let broken = replay.order.finish();
    replay.settle();
    let mine = replay.bad.iter().enumerate();
    let bad = mine.filter_map(|(i, bad)| Some((Group::new(i as u16)?, (*bad)?))).collect();
    let Replay { order, applied, skipped, .. } = replay;
    Ok(Replayed { order, broken, bad, applied, skipped })
}

impl Replay<'_> {
    /// A record of a snapshot.
    fn restore(&mut self, file: usize, offset: u64, record: &Record<'_>) {
        let header = &record.header;
        if !self.share.holds(header.group) || !self.plan.is_start(header.group, file) {
            return;
        }
        match header.kind {
            Kind::Effects => {}
            Kind::Truncate => return self.target.forget(header.group),
            Kind::EpochStart | Kind::Base | Kind::Drop | Kind::Synced => return,
        }
        let bad = &mut self.bad[usize::from(header.group.number())];
        if bad.is_none() && self.target.apply(header.group, record.payload, header.time).is_err() {
            let standing = Standing::default();
            *bad = Some(Bad { standing, in_snapshot: true, file, offset });
        }
    }

    fn file(
        &mut self,
        i: usize,
        file: &FileSurvey,
        seen: &dyn Fn(u64),
    ) -> Result<(), RecoveryError> {
        if file.salt.is_none() {
            file.damages().for_each(|_| self.order.damage());
            return Ok(());
        }
        let mut passed = 0;
        let damages: Vec<u64> = file.damages().collect();
        each_frame(file, seen, &mut |offset, frame| {
            while damages.get(passed).is_some_and(|at| *at < offset) {
                self.order.damage();
                passed += 1;
            }
            let place = Place { file: i, offset, bytes: frame.bytes().len() as u64 };
            self.frame(place, frame)
        })?;
        damages[passed..].iter().for_each(|_| self.order.damage());
        Ok(())
    }

    /// A frame of the log in its place, and those that waited for it.
    fn frame(&mut self, place: Place, frame: Frame<'_>) -> Result<(), RecoveryError> {
        self.offered.clear();
        for (i, Record { header, .. }) in frame.records().enumerate() {
            if header.kind == Kind::Synced {
                self.order.synced();
            }
            let dead = self.plan.is_dead(&header, (place.file, (place.offset, i)));
            self.offered.push(Offered { header, dead });
        }
        match self.order.offer(place, &self.offered, &mut self.marks) {
            Verdict::Apply => self.apply(place, frame),
            Verdict::Wait | Verdict::Refuse => return Ok(()),
        }
        while let Some(place) = self.order.next_ready(&mut self.marks) {
            self.apply_again(place)?;
        }
        Ok(())
    }

    fn apply_again(&mut self, place: Place) -> Result<(), RecoveryError> {
        let file = &self.plan.log[place.file];
        let failed = |error| RecoveryError::io(&file.path, error);
        let mut stream = match self.again.take() {
            Some((at, stream)) if at == place.file => stream,
            Some(_) | None => open(file)?,
        };
        stream.resume(place.offset, place.offset + place.bytes);
        match stream.next_frame().map_err(failed)? {
            Ok((_, frame)) => self.apply(place, frame),
            Err(_) => return Err(RecoveryError::Changed { path: file.path.clone() }),
        }
        self.again = Some((place.file, stream));
        Ok(())
    }

    /// Applies the records of the frame that are marked and of our groups.
    fn apply(&mut self, place: Place, frame: Frame<'_>) {
        let (mut headers, mut payloads) = (Vec::new(), Vec::new());
        for (Record { header, payload }, mark) in frame.records().zip(&self.marks) {
            let group = header.group;
            if !self.share.holds(group) || header.kind == Kind::Synced {
                continue;
            }
            if !mark || self.bad[usize::from(group.number())].is_some() {
                self.skipped += 1;
                continue;
            }
            self.applied += 1;
            if header.kind == Kind::Effects {
                headers.push(header);
                payloads.push(Payload { group, bytes: payload, time: header.time });
            }
        }
        while let Err(at) = self.target.apply_all(&payloads) {
            self.refuse(place, &headers[at]);
            let group = headers[at].group;
            headers.drain(..=at);
            payloads.drain(..=at);
            let left = headers.len();
            headers.retain(|header| header.group != group);
            payloads.retain(|payload| payload.group != group);
            let taken_back = (left - headers.len()) as u64;
            self.applied -= taken_back;
            self.skipped += taken_back;
        }
    }

    /// The target does not understand this record: its group ends before it.
    #[cold]
    fn refuse(&mut self, place: Place, header: &Header) {
        let Place { file, offset, .. } = place;
        let after = self.order.standing(header.group);
        let standing = Standing {
            epoch: header.epoch,
            seq: Seq(header.seq.0 - 1),
            time: after.time.min(header.time),
        };
        self.applied -= 1;
        let bad = Bad { standing, in_snapshot: false, file, offset };
        self.bad[usize::from(header.group.number())] = Some(bad);
    }

    /// Tells the target how far its groups have come.
    fn settle(&self) {
        for group in Group::all().filter(|group| self.share.holds(*group)) {
            let standing = match self.bad[usize::from(group.number())] {
                Some(bad) => bad.standing,
                None => self.order.standing(group),
            };
            if standing != Standing::default() {
                self.target.set_log(group, standing.epoch, standing.seq, standing.time);
            }
        }
        self.target.flush(self.share.thread);
    }
}

fn open(file: &FileSurvey) -> Result<FrameStream, RecoveryError> {
    let opened = File::open(&file.path).map_err(|error| RecoveryError::io(&file.path, error))?;
    let salt = file.salt.ok_or_else(|| RecoveryError::Changed { path: file.path.clone() })?;
    Ok(FrameStream::new(opened, salt, 0, 0))
}

/// All frames of a file that count.
fn each_frame(
    file: &FileSurvey,
    seen: &dyn Fn(u64),
    each: &mut dyn FnMut(u64, Frame<'_>) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let mut stream = open(file)?;
    let mut told = 0;
    for piece in &file.pieces {
        let Piece::Frames { from, to } = *piece else { continue };
        stream.resume(from, to);
        while stream.offset() < to {
            let next = stream.next_frame().map_err(|error| RecoveryError::io(&file.path, error))?;
            let Ok((at, frame)) = next else {
                return Err(RecoveryError::Changed { path: file.path.clone() });
            };
            each(at, frame)?;
            if at - told >= RECOVERY_PROGRESS_BYTES {
                seen(at - told);
                told = at;
            }
        }
    }
    seen(file.bytes.saturating_sub(told));
    Ok(())
}
