//! What home shards need apart from commands: expiry, cleaning, giving memory back, in small steps
//! between commands. Knows no socket.

use super::Worker;
use crate::clock;
use crate::limits;
use std::rc::Rc;
use std::time::Duration;

/// Does upkeep for ever.
pub(super) async fn upkeep(worker: Rc<Worker>) {
    let engine = worker.shared.engine.clone();
    let workers = worker.shared.metrics.worker_count();
    let home: Vec<usize> = (worker.index..engine.shard_count()).step_by(workers).collect();
    let mut pace_ms = limits::UPKEEP_MS_MIN;
    let mut batches_before = 0;
    let (mut rest_ms, mut was_busy) = (0, true);
    loop {
        tokio::time::sleep(Duration::from_millis(pace_ms)).await;
        let metrics = worker.metrics();
        metrics.beat(clock::monotonic_nanos());
        clock::compare();
        let mut more = step(&worker, &home);
        let mut rounds = 0;
        while more && rounds < limits::UPKEEP_ROUNDS_MAX {
            // Connections that have something to do go first.
            tokio::task::yield_now().await;
            more = step(&worker, &home);
            rounds += 1;
        }
        let batches = metrics.batches.get();
        let idle = rounds == 0 && batches == batches_before;
        // Whoever only asks now and then whether the node is there does not count.
        let rests = rounds == 0 && batches - batches_before <= limits::UPKEEP_REST_BATCHES;
        batches_before = batches;
        rest_ms = if rests { rest_ms + pace_ms } else { 0 };
        was_busy |= !rests;
        if was_busy && rest_ms >= limits::UPKEEP_REST_MS {
            give_back();
            was_busy = false;
        }
        pace_ms = match (more, idle) {
            (true, _) => 1,
            (false, false) => limits::UPKEEP_MS_MIN,
            (false, true) => (pace_ms * 2).clamp(limits::UPKEEP_MS_MIN, limits::UPKEEP_MS_MAX),
        };
    }
}

/// One bounded step on each home shard. Whether there is more to do.
fn step(worker: &Worker, home: &[usize]) -> bool {
    if worker.shared.notice.word().is_loading() {
        // Data that is being loaded has the time of its log: what is past its deadline by the
        // clock may be given another by a record to come.
        return false;
    }
    let mut more = false;
    for shard in home {
        more |= worker.shared.engine.lock(*shard).store().upkeep(clock::now());
        worker.metrics().upkeep_steps.add(1);
    }
    more
}

/// Has the allocator give back to the system what this thread does not use any more. It does so by
/// itself only when it is asked for memory, which an idle thread does not do.
fn give_back() {
    // SAFETY: it touches free memory only.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
