//! How many workers serve connections now, and who moves where. Few busy workers cost less CPU
//! than many half-idle ones: more is done per wake-up, and nobody else is pushed off a core. So a
//! node starts with one and takes another when those it has are busy and a core is idle
//! (`docs/decisions/0001-elastic-workers.md`). Knows no socket and no clock.

use crate::limits;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Which workers serve connections.
#[derive(Debug)]
pub struct Load {
    active: AtomicUsize,
    /// Connections that each worker is to hand over.
    shed: Box<[AtomicU32]>,
    /// Whether the number follows the load.
    elastic: bool,
    /// Somebody has said how many serve: the number follows that, whatever the load is. Locked
    /// while the number changes.
    held: Mutex<bool>,
}

impl Load {
    /// So many workers: the first serves, if more are to follow when the load asks for them, else
    /// all.
    pub fn new(workers: usize, elastic: bool) -> Load {
        let shed = (0..workers).map(|_| AtomicU32::new(0)).collect();
        let active = AtomicUsize::new(if elastic { 1 } else { workers.max(1) });
        Load { active, shed, elastic, held: Mutex::new(false) }
    }

    /// How many serve.
    #[inline]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn workers(&self) -> usize {
        self.shed.len()
    }

    /// Lets `active` workers serve, given how many connections each has, unless somebody has said
    /// how many. Whether it does.
    pub(super) fn follow(&self, active: usize, connections: &[u64]) -> bool {
        let held = self.held.lock();
        if !*held {
            self.set_active(active, connections);
        }
        !*held
    }

    /// The same by order of an administrator, until [`Load::release`].
    pub(super) fn hold(&self, active: usize, connections: &[u64]) {
        let mut held = self.held.lock();
        *held = true;
        self.set_active(active, connections);
    }

    /// Ends that: the number follows the load again, or all serve if it never does.
    pub(super) fn release(&self, connections: &[u64]) {
        let mut held = self.held.lock();
        *held = false;
        if !self.elastic {
            self.set_active(self.workers(), connections);
        }
    }

    /// Whether this worker hands connections over.
    #[inline]
    pub(super) fn is_moving(&self, worker: usize) -> bool {
        worker >= self.active() || self.shed[worker].load(Ordering::Relaxed) > 0
    }

    /// Where a connection of this worker goes that may move now, given how many each has; counts
    /// it among those to hand over. `None`: it stays.
    pub(super) fn destination(
        &self,
        worker: usize,
        connections: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        // First what to shed, then who is there to take it: the other way round as it is set.
        let shed = &self.shed[worker];
        let left = shed.load(Ordering::Acquire);
        let active = self.active();
        let to = lightest(active, &connections);
        if worker >= active {
            return Some(to);
        }
        // As even as it gets: others came or went meanwhile.
        let even = connections(to) + 1 >= connections(worker);
        let after = if even { 0 } else { left.saturating_sub(1) };
        // Fails if the number of workers changes at this moment: then a later turn sees to it.
        let counted = shed.compare_exchange(left, after, Ordering::Relaxed, Ordering::Relaxed);
        (left > 0 && !even && counted.is_ok()).then_some(to)
    }

    fn set_active(&self, active: usize, connections: &[u64]) {
        let active = active.clamp(1, self.workers());
        let fair = connections.iter().sum::<u64>().div_ceil(active as u64);
        // Before there is something to shed there has to be somewhere to go.
        self.active.store(active, Ordering::Relaxed);
        for (shed, have) in self.shed.iter().zip(connections) {
            let over = have.saturating_sub(fair).min(u64::from(u32::MAX)) as u32;
            shed.store(over, Ordering::Release);
        }
    }

    /// The active worker with the fewest connections.
    pub(super) fn lightest(&self, connections: impl Fn(usize) -> u64) -> usize {
        lightest(self.active(), connections)
    }
}

fn lightest(active: usize, connections: impl Fn(usize) -> u64) -> usize {
    (0..active).min_by_key(|&w| connections(w)).unwrap_or(0)
}

/// What happened since the last look, in cores: 1.0 is one core all the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// What the active workers used.
    pub busy: f64,
    /// How much of the time they stood ready and got no core.
    pub delayed: f64,
    /// Cores of the machine that did nothing.
    pub idle: f64,
}

/// Decides how many workers serve: looked at every `limits::LOAD_TICK_MS`.
#[derive(Debug, Default)]
pub struct Elastic {
    wanted: u32,
    unneeded: u32,
    crowded: u32,
    /// Looks to pass before another worker is taken.
    hold: u32,
    /// What `hold` becomes when the next one proves too many.
    penalty: u32,
}

impl Elastic {
    /// How many workers should serve, after `demand` with `active` of `max`.
    pub fn decide(&mut self, demand: Demand, active: usize, max: usize) -> usize {
        self.hold = self.hold.saturating_sub(1);
        let saturated = demand.busy >= limits::LOAD_SATURATED * active as f64
            && demand.idle >= limits::LOAD_IDLE_MIN;
        let spare = demand.busy <= limits::LOAD_SPARE * (active - 1) as f64;
        let crowded = demand.idle < limits::LOAD_CROWDED_IDLE
            && demand.delayed >= limits::LOAD_CROWDED_DELAY * active as f64;
        count(&mut self.wanted, saturated);
        count(&mut self.unneeded, spare);
        count(&mut self.crowded, crowded);
        if active < max && self.wanted >= limits::LOAD_GROW_TICKS && self.hold == 0 {
            self.wanted = 0;
            return (active + (demand.idle as usize).clamp(1, active)).min(max);
        }
        if active > 1 && self.crowded >= limits::LOAD_CROWDED_TICKS {
            self.crowded = 0;
            self.penalty = (self.penalty * 2).clamp(limits::LOAD_HOLD_MIN, limits::LOAD_HOLD_MAX);
            self.hold = self.penalty;
            return active - 1;
        }
        if active > 1 && self.unneeded >= limits::LOAD_SHRINK_TICKS {
            self.unneeded = 0;
            self.penalty = 0;
            return active - 1;
        }
        active
    }
}

/// Counts how often in a row something held.
fn count(ticks: &mut u32, held: bool) {
    *ticks = if held { *ticks + 1 } else { 0 };
}

#[cfg(test)]
mod tests {
    use super::{Demand, Elastic, Load};

    fn run(elastic: &mut Elastic, demand: Demand, mut active: usize, max: usize) -> usize {
        for _ in 0..30 {
            active = elastic.decide(demand, active, max);
        }
        active
    }

    #[test]
    fn grows_while_busy_and_cores_are_idle() {
        let mut elastic = Elastic::default();
        let mut active = 1;
        for _ in 0..40 {
            let demand = Demand { busy: active as f64, delayed: 0.0, idle: 8.0 - active as f64 };
            active = elastic.decide(demand, active, 8);
        }
        assert_eq!(active, 8);
    }

    #[test]
    fn does_not_take_a_core_that_others_use() {
        let demand = Demand { busy: 1.0, delayed: 0.1, idle: 0.2 };
        assert_eq!(run(&mut Elastic::default(), demand, 1, 2), 1);
    }

    #[test]
    fn steps_back_when_it_pushes_others_off_and_waits_longer_each_time() {
        let (mut elastic, mut active, mut grown) = (Elastic::default(), 1, Vec::new());
        for tick in 0..2000 {
            let crowd = Demand { busy: 1.2, delayed: 1.0, idle: 0.0 };
            let alone = Demand { busy: 1.0, delayed: 0.0, idle: 0.9 };
            let next = elastic.decide(if active == 2 { crowd } else { alone }, active, 2);
            if next > active {
                grown.push(tick);
            }
            active = next;
        }
        assert!(grown.len() > 2 && grown.len() < 15, "{grown:?}");
        let gaps: Vec<_> = grown.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
    }

    #[test]
    fn shrinks_when_fewer_would_do() {
        let demand = Demand { busy: 0.4, delayed: 0.0, idle: 7.0 };
        assert_eq!(run(&mut Elastic::default(), demand, 3, 8), 2);
    }

    /// Lets connections of a worker move while they may. How many did.
    fn move_from(load: &Load, worker: usize, have: &mut [u64]) -> usize {
        let mut moved = 0;
        while let Some(to) = load.destination(worker, |w| have[w]) {
            have[worker] -= 1;
            have[to] += 1;
            moved += 1;
            if have[worker] == 0 {
                break;
            }
        }
        moved
    }

    #[test]
    fn sheds_what_is_above_an_even_share() {
        let (load, mut have) = (Load::new(4, true), [10, 0, 0, 0]);
        load.set_active(2, &have);
        assert!(load.is_moving(0) && !load.is_moving(1));
        assert_eq!((move_from(&load, 0, &mut have), have), (5, [5, 5, 0, 0]));
        assert!(!load.is_moving(0));
        load.set_active(4, &have);
        move_from(&load, 0, &mut have);
        move_from(&load, 1, &mut have);
        assert_eq!(have.iter().max(), Some(&3));
        load.set_active(1, &have);
        assert!(!load.is_moving(0) && (1..4).all(|worker| load.is_moving(worker)));
        let moved: usize = (1..4).map(|worker| move_from(&load, worker, &mut have)).sum();
        assert_eq!((moved, have), (7, [10, 0, 0, 0]));
    }

    #[test]
    fn moves_nothing_that_makes_it_no_more_even() {
        let load = Load::new(2, true);
        load.set_active(2, &[1, 0]);
        assert!(!load.is_moving(0));
        load.set_active(2, &[10, 0]);
        assert_eq!(load.destination(0, |w| [6, 5][w]), None);
        assert!(!load.is_moving(0));
    }

    #[test]
    fn what_is_set_by_hand_stays() {
        let load = Load::new(4, true);
        assert!(load.follow(2, &[0; 4]));
        load.hold(3, &[0; 4]);
        assert!(!load.follow(1, &[0; 4]));
        assert_eq!(load.active(), 3);
        load.release(&[0; 4]);
        assert!(load.follow(1, &[0; 4]));
        let fixed = Load::new(4, false);
        fixed.hold(1, &[0; 4]);
        fixed.release(&[0; 4]);
        assert_eq!(fixed.active(), 4);
    }
}
