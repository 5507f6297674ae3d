//! LCS: the longest common subsequence of two values. They are copied under the locks; the work
//! is done without.

use super::{Held, Locked, When};
use crate::command::LcsOp;
use crate::command::reply::ReplyWriter;
use crate::engine::{Engine, Unserved};
use crate::limits::LCS_CELLS_MAX;

const TOO_LARGE: &str =
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
const LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";

/// Executes LCS and writes its reply.
pub(super) fn lcs<W: ReplyWriter>(
    engine: &Engine,
    op: &LcsOp<'_>,
    when: When,
    out: &mut W,
) -> Result<(), Unserved> {
    if op.len && op.idx {
        out.error(LEN_AND_IDX);
        return Ok(());
    }
    match read(engine, op, when)? {
        Some((a, b)) => compare(a.bytes(), b.bytes(), op, out),
        None => out.error(TOO_LARGE),
    }
    Ok(())
}

fn compare<W: ReplyWriter>(a: &[u8], b: &[u8], op: &LcsOp<'_>, out: &mut W) {
    let table = Table::new(a, b);
    if op.len {
        return out.integer(i64::from(table.len));
    }
    let matches = table.matches(a, b);
    if op.idx {
        return write_matches(&matches, table.len, op, out);
    }
    let mut common = Vec::with_capacity(table.len as usize);
    for m in matches.iter().rev() {
        common.extend_from_slice(&a[m.a..m.a + m.len]);
    }
    out.bulk(&common);
}

/// The two values, or `None` when their table would be too large. A missing one is empty.
fn read(engine: &Engine, op: &LcsOp<'_>, when: When) -> Result<Option<(Held, Held)>, Unserved> {
    let mut locked = Locked::new(engine, [op.a, op.b].into_iter(), when)?;
    let mut cells = 1usize;
    for i in 0..2 {
        let len = locked.at(i).peek().map_or(0, |item| item.value.bytes().len());
        cells = cells.saturating_mul(len + 1);
    }
    if cells > LCS_CELLS_MAX {
        return Ok(None);
    }
    let mut held = |i| match locked.at(i).get() {
        Some(item) => Held::of(item.value),
        None => Held::small(|_| ()),
    };
    Ok(Some((held(0), held(1))))
}

/// A run of bytes that both have.
#[derive(Debug, PartialEq, Eq)]
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// How to walk back through the lengths of the common subsequences of all prefixes. Of each
/// length only this is kept: whether the way goes on in `a`, one bit.
struct Table {
    len: u32,
    columns: usize,
    back_in_a: Vec<u64>,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let columns = b.len();
        let mut back_in_a = vec![0u64; (a.len() * columns).div_ceil(64)];
        let mut row = vec![0u32; columns + 1];
        for (i, &x) in a.iter().enumerate() {
            // The lengths up and to the left of this cell, and to its left.
            let (mut diagonal, mut left) = (0, 0);
            for (j, &y) in b.iter().enumerate() {
                let up = row[j + 1];
                left = if x == y { diagonal + 1 } else { up.max(left) };
                // As Redis: to `a` only when strictly better. `left` is the length of this
                // cell by now, so compare with the neighbour kept in the row.
                if x != y && up > row[j] {
                    let cell = i * columns + j;
                    back_in_a[cell / 64] |= 1 << (cell % 64);
                }
                diagonal = up;
                row[j + 1] = left;
            }
        }
        Table { len: row[columns], columns, back_in_a }
    }

    /// The runs both have, last first, as Redis finds them.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match found.last_mut() {
                    Some(run) if (run.a, run.b) == (i + 1, j + 1) => {
                        (run.a, run.b, run.len) = (i, j, run.len + 1);
                    }
                    _ => found.push(Match { a: i, b: j, len: 1 }),
                }
                continue;
            }
            let cell = (i - 1) * self.columns + j - 1;
            if self.back_in_a[cell / 64] >> (cell % 64) & 1 == 1 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        found
    }
}

fn write_matches<W: ReplyWriter>(matches: &[Match], len: u32, op: &LcsOp<'_>, out: &mut W) {
    let shown = || matches.iter().filter(|m| m.len as u64 >= op.min_match_len);
    out.map(2);
    out.bulk(b"matches");
    out.array(shown().count());
    for m in shown() {
        out.array(2 + usize::from(op.with_match_len));
        for start in [m.a, m.b] {
            out.array(2);
            out.integer(start as i64);
            out.integer((start + m.len - 1) as i64);
        }
        if op.with_match_len {
            out.integer(m.len as i64);
        }
    }
    out.bulk(b"len");
    out.integer(i64::from(len));
}

#[cfg(test)]
mod tests {
    use super::{Match, Table};

    #[test]
    fn the_example_of_redis() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let table = Table::new(a, b);
        assert_eq!(table.len, 6);
        let runs = [Match { a: 4, b: 5, len: 4 }, Match { a: 2, b: 0, len: 2 }];
        assert_eq!(table.matches(a, b), runs);
    }

    #[test]
    fn nothing_in_common() {
        for (a, b) in [("", ""), ("a", ""), ("", "b"), ("a", "b")] {
            let table = Table::new(a.as_bytes(), b.as_bytes());
            assert_eq!(table.len, 0);
            assert!(table.matches(a.as_bytes(), b.as_bytes()).is_empty());
        }
    }
}
