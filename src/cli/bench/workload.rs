//! What a thread asks for: each request's kind, key, size and deadline. Knows neither sockets
//! nor time.

use super::keys::{Distribution, KeyChooser, KeyText};
use super::random::Random;
use super::wire::{Encoder, Kind};
use std::ops::Range;

/// A size or a duration, fixed or drawn evenly from a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Span {
    /// Reads `N` or `MIN-MAX`.
    pub(super) fn parse(text: &str) -> Result<Span, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("'{text}' is not a number"));
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (number(min)?, number(max)?),
            None => (number(text)?, number(text)?),
        };
        if min <= max { Ok(Span { min, max }) } else { Err(format!("{min} is above {max}")) }
    }

    /// A number of the span.
    pub(super) fn draw(self, random: &mut Random) -> u64 {
        if self.min == self.max {
            self.min
        } else {
            self.min + random.below(self.max - self.min + 1)
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// The shape of keys and values, the same in all phases of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) key_size: usize,
    pub(super) value_size: Span,
    pub(super) ttl_seconds: Option<Span>,
}

/// Which requests a phase consists of, all threads together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    /// A SET of every key, once.
    Fill { keys: u64 },
    /// GETs and SETs of random keys; without `requests`, until the time is over.
    Mix { keys: u64, distribution: Distribution, reads: f64, requests: Option<u64> },
}

/// The requests of one thread.
pub(super) struct Workload {
    source: Source,
    shape: Shape,
    encoder: Encoder,
    key: KeyText,
    random: Random,
}

enum Source {
    Fill(Range<u64>),
    Mix { chooser: KeyChooser, read_threshold: u64, left: u64 },
}

impl Workload {
    /// The part of thread number `thread` of `threads`.
    pub(super) fn new(
        plan: Plan,
        shape: Shape,
        seed: u64,
        thread: usize,
        threads: usize,
    ) -> Workload {
        let mut random = Random::new(seed.wrapping_add(thread as u64));
        let encoder = Encoder::new(shape.key_size, shape.value_size.max as usize, &mut random);
        let source = match plan {
            Plan::Fill { keys } => Source::Fill(part(keys, thread, threads)),
            Plan::Mix { keys, distribution, reads, requests } => {
                let share = requests.map(|requests| part(requests, thread, threads));
                Source::Mix {
                    chooser: KeyChooser::new(keys, distribution),
                    read_threshold: threshold(reads),
                    left: share.map_or(u64::MAX, |share| share.end - share.start),
                }
            }
        };
        Workload { source, shape, encoder, key: KeyText::new(shape.key_size), random }
    }

    /// The kind and the key of the next request, or `None` when all have been made.
    pub(super) fn next(&mut self) -> Option<(Kind, u64)> {
        match &mut self.source {
            Source::Fill(ids) => ids.next().map(|id| (Kind::Set, id)),
            Source::Mix { chooser, read_threshold, left } => {
                *left = left.checked_sub(1)?;
                let read = (self.random.draw() >> 32) < *read_threshold;
                let kind = if read { Kind::Get } else { Kind::Set };
                Some((kind, chooser.next(&mut self.random)))
            }
        }
    }

    /// Appends the bytes of a request to `out`.
    pub(super) fn write(&mut self, kind: Kind, id: u64, out: &mut Vec<u8>) {
        // The options were checked: every key number fits.
        let fits = self.key.write(id);
        debug_assert!(fits);
        match kind {
            Kind::Get => self.encoder.get(out, &self.key),
            Kind::Set => {
                let size = self.shape.value_size.draw(&mut self.random) as usize;
                let ttl = self.shape.ttl_seconds.map(|ttl| ttl.draw(&mut self.random));
                self.encoder.set(out, &self.key, size, ttl, &mut self.random);
            }
        }
    }

    /// The thread's chance, for what else it needs some for.
    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

/// A share as a threshold for 32 random bits; 1.0 is above all of them.
fn threshold(share: f64) -> u64 {
    (share * (1u64 << 32) as f64) as u64
}

/// Thread number `thread`'s part of `0..total`.
fn part(total: u64, thread: usize, threads: usize) -> Range<u64> {
    let cut = |at: usize| (u128::from(total) * at as u128 / threads as u128) as u64;
    cut(thread)..cut(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape =
        Shape { key_size: 8, value_size: Span { min: 1, max: 9 }, ttl_seconds: None };

    #[test]
    fn spans_parse() {
        assert_eq!(Span::parse("128"), Ok(Span { min: 128, max: 128 }));
        assert_eq!(Span::parse("1-64"), Ok(Span { min: 1, max: 64 }));
        for wrong in ["", "-", "1-", "-1", "2-1", "a", "1-2-3"] {
            assert!(Span::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn filling_threads_share_all_keys() {
        let mut ids: Vec<u64> = Vec::new();
        for thread in 0..3 {
            let mut workload = Workload::new(Plan::Fill { keys: 100 }, SHAPE, 1, thread, 3);
            while let Some((kind, id)) = workload.next() {
                assert_eq!(kind, Kind::Set);
                ids.push(id);
            }
        }
        assert!(ids.into_iter().eq(0..100));
    }

    fn mix(reads: f64, requests: u64) -> Vec<Kind> {
        let distribution = Distribution::Uniform;
        let plan = Plan::Mix { keys: 10, distribution, reads, requests: Some(requests) };
        let mut workload = Workload::new(plan, SHAPE, 1, 0, 1);
        std::iter::from_fn(|| workload.next()).map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_mix_has_its_number_and_its_ratio() {
        assert!(mix(1.0, 1000).iter().all(|&kind| kind == Kind::Get));
        assert!(mix(0.0, 1000).iter().all(|&kind| kind == Kind::Set));
        let kinds = mix(0.9, 20_000);
        assert_eq!(kinds.len(), 20_000);
        let sets = kinds.iter().filter(|&&kind| kind == Kind::Set).count();
        assert!((1_800..2_200).contains(&sets), "{sets}");
    }

    #[test]
    fn requests_have_the_shape_asked_for() {
        let ttl_seconds = Some(Span { min: 5, max: 5 });
        let shape = Shape { ttl_seconds, ..SHAPE };
        let mut workload = Workload::new(Plan::Fill { keys: 1 }, shape, 1, 0, 1);
        for _ in 0..50 {
            let mut out = Vec::new();
            workload.write(Kind::Set, 3, &mut out);
            let text = out.escape_ascii().to_string();
            assert!(text.starts_with(r"*5\r\n$3\r\nSET\r\n$8\r\nk0000003\r\n$"), "{text}");
            assert!(text.ends_with(r"\r\n$2\r\nEX\r\n$1\r\n5\r\n"), "{text}");
        }
    }
}
