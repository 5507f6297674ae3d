//! How many workers serve connections now, and who moves where. Few busy workers cost less CPU
//! than many half-idle ones: more is done per wake-up, and nobody else is pushed off a core. So a
//! node starts with one and takes another when those it has are busy and a core is idle
//! (`docs/decisions/0001-elastic-workers.md`). Knows no socket and no clock.

use crate::limits;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Which workers serve connections.
#[derive(Debug)]
pub struct Load {
    active: AtomicUsize,
    /// Connections that each worker is to hand over.
    shed: Box<[AtomicU32]>,
}

impl Load {
    /// So many workers, of which the first `active` serve.
    pub fn new(workers: usize, active: usize) -> Load {
        let shed = (0..workers).map(|_| AtomicU32::new(0)).collect();
        Load { active: AtomicUsize::new(active.clamp(1, workers.max(1))), shed }
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

    /// Whether a connection of this worker is to move; claims one of those to hand over.
    #[inline]
    pub(super) fn is_to_move(&self, worker: usize) -> bool {
        if worker >= self.active() {
            return true;
        }
        let shed = &self.shed[worker];
        shed.load(Ordering::Relaxed) > 0
            && shed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// Lets `active` workers serve, given how many connections each has.
    pub fn set_active(&self, active: usize, connections: &[u64]) {
        let active = active.clamp(1, self.workers());
        let fair = connections.iter().sum::<u64>() / active as u64;
        for (shed, have) in self.shed.iter().zip(connections) {
            let over = have.saturating_sub(fair).min(u64::from(u32::MAX)) as u32;
            shed.store(over, Ordering::Relaxed);
        }
        self.active.store(active, Ordering::Relaxed);
    }

    /// The active worker with the fewest connections.
    pub(super) fn lightest(&self, connections: impl Fn(usize) -> u64) -> usize {
        (0..self.active()).min_by_key(|&w| connections(w)).unwrap_or(0)
    }
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

    #[test]
    fn sheds_what_is_above_an_even_share() {
        let load = Load::new(2, 1);
        load.set_active(2, &[10, 0]);
        assert_eq!((0..20).filter(|_| load.is_to_move(0)).count(), 5);
        assert!(!load.is_to_move(1));
        load.set_active(1, &[5, 5]);
        assert!(load.is_to_move(1) && !load.is_to_move(0));
        assert_eq!(load.lightest(|w| [3, 0][w]), 0);
    }
}
