//! Cuts what a walk brings between two effects, so that frames stay short however large the
//! values are. Pure.

use crate::command::effect::Effect;
use crate::engine::WalkChunk;

/// The payloads, each in parts, in which `chunk` is written: of at most `bytes_max` bytes, but for
/// one that is a single effect. None when it is empty.
pub fn split(chunk: &WalkChunk, bytes_max: usize) -> Vec<Vec<&[u8]>> {
    let mut payloads = Vec::new();
    if chunk.is_empty() {
        return payloads;
    }
    if chunk.len() <= bytes_max {
        payloads.push(chunk.parts());
        return payloads;
    }
    let mut from = Place::default();
    let mut to = from;
    while to.at < chunk.bytes.len() {
        let next = to.next(chunk);
        if to.at > from.at && from.bytes_to(next, chunk) > bytes_max {
            payloads.push(from.parts_to(to, chunk));
            from = to;
        }
        to = next;
    }
    payloads.push(from.parts_to(to, chunk));
    payloads
}

/// A place between two effects: how many bytes and how many large values are before it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    values: usize,
}

impl Place {
    /// The place behind the effect that begins here.
    fn next(self, chunk: &WalkChunk) -> Place {
        let value_at = chunk.values.get(self.values).map(|(at, _)| *at);
        let run = &chunk.bytes[self.at..value_at.unwrap_or(chunk.bytes.len())];
        let mut rest = run;
        // An effect up to its large value, which is not there, is none.
        if !run.is_empty() && Effect::decode(&mut rest).is_ok() {
            return Place { at: self.at + run.len() - rest.len(), values: self.values };
        }
        match (value_at, run.first()) {
            (Some(at), Some(first)) => {
                Place { at: at + Effect::bytes_behind_value(*first), values: self.values + 1 }
            }
            // Nothing that a walk brings: the rest as it is.
            _ => Place { at: chunk.bytes.len(), values: chunk.values.len() },
        }
    }

    fn bytes_to(self, to: Place, chunk: &WalkChunk) -> usize {
        let values = &chunk.values[self.values..to.values];
        to.at - self.at + values.iter().map(|(_, value)| value.len()).sum::<usize>()
    }

    fn parts_to(self, to: Place, chunk: &WalkChunk) -> Vec<&[u8]> {
        let mut parts = Vec::new();
        let mut from = self.at;
        for (at, value) in &chunk.values[self.values..to.values] {
            parts.push(&chunk.bytes[from..*at]);
            parts.push(value);
            from = *at;
        }
        parts.push(&chunk.bytes[from..to.at]);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::command::Time;
    use crate::command::effect::Effect;
    use crate::engine::WalkChunk;
    use bytes::Bytes;

    /// Every fourth value is large and stands elsewhere; some have a deadline.
    fn chunk(effects: usize) -> WalkChunk {
        let mut chunk = WalkChunk::default();
        for i in 0..effects {
            let key = format!("key {i}");
            let deadline = (i % 3 == 0).then_some(Time(i as u64));
            let value = vec![i as u8; if i % 4 == 0 { 5000 } else { i }];
            let effect = Effect::Set { key: key.as_bytes(), value: &value, deadline };
            if i % 4 == 0 {
                let at = effect.encode_around(&mut chunk.bytes);
                chunk.values.push((at, Bytes::from(value.clone())));
            } else {
                effect.encode(&mut chunk.bytes);
            }
            if i % 5 == 0 {
                Effect::Delete { key: b"gone" }.encode(&mut chunk.bytes);
            }
        }
        chunk
    }

    #[test]
    fn every_payload_is_whole_effects_and_none_is_lost() {
        let chunk = chunk(100);
        let whole = chunk.parts().concat();
        for bytes_max in [1, 100, 4999, 6000, 20_000, whole.len(), usize::MAX] {
            let mut all = Vec::new();
            for parts in split(&chunk, bytes_max) {
                let payload = parts.concat();
                let (mut rest, mut effects) = (&payload[..], 0);
                while !rest.is_empty() {
                    Effect::decode(&mut rest).expect("whole effects");
                    effects += 1;
                }
                assert!(effects == 1 || payload.len() <= bytes_max, "{bytes_max}");
                all.extend_from_slice(&payload);
            }
            assert!(all == whole, "{bytes_max}");
        }
        assert!(split(&WalkChunk::default(), 10).is_empty());
    }
}
