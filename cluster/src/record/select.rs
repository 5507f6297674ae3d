//! Some of the records of frames, written as one frame: what a primary sends of its log to one
//! replica. Copies a record once and large values never. Knows neither who wants which records nor
//! where frames come from.

use super::frame::{Fields, HEAD_BYTES, ORIGIN, OpenFrame, expected_after, seal, take_header};
use super::{Header, Salt, varint};

/// A closed frame, sealed or not, parts of whose payloads stand elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct FrameParts<'a, V> {
    /// The frame from its head on, without those parts. They were written by this program, and
    /// are not checked.
    pub bytes: &'a [u8],
    /// The parts and their places, in order; none is empty.
    pub values: &'a [(usize, V)],
    /// Where `bytes` begins, as those places count.
    pub offset: usize,
}

/// What was selected: bytes, and large values that belong between them.
#[derive(Clone, Debug)]
pub struct Selection<V> {
    /// All but large values.
    pub bytes: Vec<u8>,
    /// Large values and their places in `bytes`, in order.
    pub values: Vec<(usize, V)>,
}

/// A frame that is being selected.
#[derive(Clone, Copy, Debug)]
pub struct OpenSelection {
    frame: OpenFrame,
    values_from: usize,
}

/// What was to be selected is no frame, or does not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSelected;

impl<V> Default for Selection<V> {
    fn default() -> Selection<V> {
        Selection { bytes: Vec::new(), values: Vec::new() }
    }
}

impl<V: Clone + AsRef<[u8]>> Selection<V> {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
    }

    /// Bytes of all of it.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.values.iter().map(|(_, value)| value.as_ref().len()).sum::<usize>()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of it, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        between(&self.bytes, 0, &self.values)
    }

    /// Begins a frame behind what it holds.
    pub fn begin(&mut self) -> OpenSelection {
        let values_from = self.values.len();
        OpenSelection { frame: OpenFrame::begin(&mut self.bytes), values_from }
    }

    /// Adds to the frame those records of another that are `wanted`; how many these are.
    ///
    /// # Errors
    /// When `from` is no frame, or the frame grows too long: it is then of no use any more.
    pub fn take(
        &mut self,
        open: &mut OpenSelection,
        from: &FrameParts<'_, V>,
        mut wanted: impl FnMut(&Header) -> bool,
    ) -> Result<usize, NotSelected> {
        let (mut taken, mut expected): (usize, Fields) = (0, ORIGIN);
        let mut values = from.values;
        let mut rest = from.bytes.get(HEAD_BYTES + 1..).ok_or(NotSelected)?;
        while !rest.is_empty() {
            let header = take_header(&mut rest, &expected).map_err(|_| NotSelected)?;
            expected = expected_after(&header);
            let length = varint::take(&mut rest).and_then(|n| usize::try_from(n).ok());
            let mut left = length.ok_or(NotSelected)?;
            let is_wanted = wanted(&header);
            if is_wanted {
                open.frame.push(&mut self.bytes, &header, left).map_err(|_| NotSelected)?;
                taken += 1;
            }
            while left > 0 {
                let at = from.offset + from.bytes.len() - rest.len();
                let value = values.first().filter(|(place, _)| place - at < left);
                let here = value.map_or(left, |(place, _)| place - at);
                let (run, behind) = rest.split_at_checked(here).ok_or(NotSelected)?;
                rest = behind;
                left -= here;
                if is_wanted {
                    self.bytes.extend_from_slice(run);
                }
                let Some((_, value)) = value else { continue };
                values = &values[1..];
                let value_bytes = value.as_ref().len();
                left = left.checked_sub(value_bytes).ok_or(NotSelected)?;
                if is_wanted {
                    self.values.push((self.bytes.len(), value.clone()));
                    open.frame.skip(value_bytes);
                }
            }
        }
        Ok(taken)
    }

    /// Gives the frame its length, salt and checksum; without a record there is none. Its bytes.
    pub fn finish(&mut self, open: OpenSelection, salt: Salt) -> usize {
        let start = open.frame.start();
        let Some(frame_bytes) = open.frame.close(&mut self.bytes) else {
            self.bytes.truncate(start);
            return 0;
        };
        let (head, body) = self.bytes[start..].split_at_mut(HEAD_BYTES);
        let values = &self.values[open.values_from..];
        seal(head, between(body, start + HEAD_BYTES, values), salt);
        frame_bytes
    }
}

/// `bytes`, which begin at `offset`, with the values that belong between them.
pub fn between<'a, V: AsRef<[u8]>>(
    bytes: &'a [u8],
    offset: usize,
    values: &'a [(usize, V)],
) -> impl Iterator<Item = &'a [u8]> {
    let mut from = 0;
    let before = values.iter().flat_map(move |(at, value)| {
        let part = &bytes[from..at - offset];
        from = at - offset;
        [part, value.as_ref()]
    });
    let last = values.last().map_or(0, |(at, _)| at - offset);
    before.chain([&bytes[last..]])
}
