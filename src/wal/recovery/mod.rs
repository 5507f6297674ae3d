//! What a restart reads: snapshots and log, surveyed first, then applied in parallel, each group by
//! one thread. Reads only; whoever goes on writing settles first ([`Outcome::settle`]). Knows no
//! engine: a [`Target`] takes the payloads.

pub mod damage;
pub mod header;
pub mod inspect;
pub mod order;
mod outcome;
mod plan;
pub mod repair;
mod replay;
pub mod stream;
mod survey;

pub use damage::{Corrupt, Cut, Damage, RecoveryError, Why};
pub use order::Standing;
pub use outcome::{FileFacts, Outcome};

use crate::limits::RECOVERY_THREADS_MAX;
use cluster::record::{Epoch, GroupTime, Seq};
use cluster::slot::Group;
use plan::Plan;
use replay::Share;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// What takes the records. A group's are given by one thread and in order.
pub trait Target: Sync {
    /// The effects of a command, or a piece of a snapshot.
    ///
    /// # Errors
    /// When it does not understand them; the group gets no more.
    fn apply(&self, group: Group, payload: &[u8], time: GroupTime) -> Result<(), BadPayload>;

    /// Several, in order.
    ///
    /// # Errors
    /// The place of the first that it does not understand; those before it are applied, those
    /// behind it are not.
    fn apply_all(&self, payloads: &[Payload<'_>]) -> Result<(), usize> {
        for (i, payload) in payloads.iter().enumerate() {
            self.apply(payload.group, payload.bytes, payload.time).map_err(|BadPayload| i)?;
        }
        Ok(())
    }

    /// What was given of the group so far does not count: a snapshot begins it again.
    fn forget(&self, group: Group);

    /// The group is complete up to here.
    fn set_log(&self, group: Group, epoch: Epoch, seq: Seq, time: GroupTime);

    /// The thread with this number, from 0, has given all that it has.
    fn flush(&self, thread: usize) {
        let _ = thread;
    }
}

/// The effects of a record.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// Of which group.
    pub group: Group,
    /// The effects.
    pub bytes: &'a [u8],
    /// When it was written.
    pub time: GroupTime,
}

/// A target does not understand a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPayload;

/// How far recovery is, in bytes read; every byte is read once and then once by each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether records are being applied yet.
    pub applying: bool,
    /// Read so far in this stage.
    pub bytes: u64,
    /// To be read in this stage; 0 while that is not known.
    pub bytes_total: u64,
}

/// Brings `target` to what the log in `dir` and the snapshots beside it say. `progress` is called
/// by all threads.
///
/// # Errors
/// When a file cannot be read, or needs a newer version. Damage is no error: it is in the outcome.
pub fn recover(
    dir: &Path,
    threads: usize,
    target: &dyn Target,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, RecoveryError> {
    let threads = threads.clamp(1, RECOVERY_THREADS_MAX);
    let bytes = AtomicU64::new(0);
    let seen = |more| {
        let bytes = bytes.fetch_add(more, Ordering::Relaxed) + more;
        progress(Progress { applying: false, bytes, bytes_total: 0 });
    };
    let snapshots = survey::survey_snapshots(&header::snapshots_beside(dir), threads, &seen)?;
    let (mut log, blank) = survey::survey_log(dir, threads, &seen)?;
    survey::complete_log(dir, &mut log, &snapshots);
    let plan = Plan::new(log, snapshots);
    let used = plan.snapshots.iter().enumerate().filter(|(i, _)| plan.is_used(*i));
    let each: u64 = used.map(|(_, file)| file).chain(&plan.log).map(|file| file.bytes).sum();
    let (bytes, bytes_total) = (AtomicU64::new(0), each * threads as u64);
    let seen = |more| {
        let bytes = bytes.fetch_add(more, Ordering::Relaxed) + more;
        progress(Progress { applying: true, bytes, bytes_total });
    };
    let shares: Vec<Share> = (0..threads).map(|thread| Share { thread, threads }).collect();
    let done = parallel(threads, &shares, &|share| replay::replay(&plan, *share, target, &seen))?;
    Ok(Outcome::new(&plan, blank, &done))
}

/// What [`recover`] would find, without applying anything. Never writes.
///
/// # Errors
/// As [`recover`].
pub fn verify(dir: &Path) -> Result<Outcome, RecoveryError> {
    recover(dir, 1, &Nobody, &|_| ())
}

struct Nobody;

impl Target for Nobody {
    fn apply(&self, _: Group, _: &[u8], _: GroupTime) -> Result<(), BadPayload> {
        Ok(())
    }

    fn forget(&self, _: Group) {}

    fn set_log(&self, _: Group, _: Epoch, _: Seq, _: GroupTime) {}
}

/// What `each` says about every item, in their order, worked out by `threads` threads.
fn parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    each: &(dyn Fn(&T) -> Result<R, RecoveryError> + Sync),
) -> Result<Vec<R>, RecoveryError> {
    if threads == 1 || items.len() <= 1 {
        return items.iter().map(each).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some((at, item)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).map(|item| (at, item))
                } {
                    let result = each(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
