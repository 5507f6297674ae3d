//! How long to wait before the next try to connect. Pure: chance is an argument.

use crate::limits::{PEER_REDIAL_MS_MAX, PEER_REDIAL_MS_MIN};
use std::time::Duration;

/// The tries since the last connection that lasted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redial {
    tries: u32,
}

impl Redial {
    /// A try has failed, or what it brought did not last: how long to wait. It doubles from
    /// [`PEER_REDIAL_MS_MIN`] to [`PEER_REDIAL_MS_MAX`], less up to half by chance, so that nodes
    /// that lost each other at the same time do not come back at the same time.
    pub(super) fn failed(&mut self, chance: u64) -> Duration {
        let doubled = PEER_REDIAL_MS_MIN.checked_shl(self.tries).unwrap_or(u64::MAX);
        let whole = doubled.min(PEER_REDIAL_MS_MAX);
        self.tries = (self.tries + 1).min(u64::BITS - PEER_REDIAL_MS_MIN.ilog2() - 2);
        Duration::from_millis(whole - chance % (whole / 2 + 1))
    }

    /// A connection has lasted so long; all is forgotten if that was long enough.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= Duration::from_millis(PEER_REDIAL_MS_MAX) {
            self.tries = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Redial;
    use std::time::Duration;

    #[test]
    fn it_doubles_up_to_a_bound() {
        let mut redial = Redial::default();
        let waits: Vec<_> = (0..200).map(|_| redial.failed(0).as_millis()).collect();
        assert_eq!(waits[..6], [50, 100, 200, 400, 800, 1000]);
        assert!(waits[6..].iter().all(|wait| *wait == 1000));
        redial.lasted(Duration::from_millis(999));
        assert_eq!(redial.failed(0).as_millis(), 1000);
        redial.lasted(Duration::from_secs(1));
        assert_eq!(redial.failed(0).as_millis(), 50);
    }

    #[test]
    fn chance_takes_up_to_half() {
        let waits = (0..1000).map(|chance| Redial::default().failed(chance).as_millis());
        let (least, most) = (waits.clone().min(), waits.max());
        assert_eq!((least, most), (Some(25), Some(50)));
    }
}
