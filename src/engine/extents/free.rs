//! Which addresses are free: extents by address, to be joined, and by size, for the best fit.
//! Pure arithmetic: knows neither memory nor pages.

use std::collections::{BTreeMap, BTreeSet};

/// Free extents, none of them next to another but at a seam.
#[derive(Debug, Default)]
pub(super) struct FreeExtents {
    by_start: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
}

impl FreeExtents {
    /// Takes `bytes` from the smallest extent that has them, the lowest of these; where they
    /// start.
    pub(super) fn take(&mut self, bytes: usize) -> Option<usize> {
        let &(size, start) = self.by_size.range((bytes, 0)..).next()?;
        self.remove(start, size);
        if size > bytes {
            self.insert(start + bytes, size - bytes);
        }
        Some(start)
    }

    /// Takes an extent back and joins it with its neighbours, except across a seam.
    pub(super) fn give(&mut self, start: usize, bytes: usize, is_seam: impl Fn(usize) -> bool) {
        let (mut from, mut to) = (start, start + bytes);
        let before = self.by_start.range(..from).next_back().map(|(&at, &size)| (at, size));
        if let Some((at, size)) = before.filter(|&(at, size)| at + size == from && !is_seam(from)) {
            self.remove(at, size);
            from = at;
        }
        if let Some(&size) = self.by_start.get(&to).filter(|_| !is_seam(to)) {
            self.remove(to, size);
            to += size;
        }
        self.insert(from, to - from);
    }

    fn insert(&mut self, start: usize, bytes: usize) {
        self.by_start.insert(start, bytes);
        self.by_size.insert((bytes, start));
    }

    fn remove(&mut self, start: usize, bytes: usize) {
        self.by_start.remove(&start);
        self.by_size.remove(&(bytes, start));
    }
}

#[cfg(test)]
mod tests {
    use super::FreeExtents;

    /// Extents of ten at 0, 10, 20 … 90, given in this order; 50 is a seam.
    fn given(order: [usize; 10]) -> FreeExtents {
        let mut free = FreeExtents::default();
        order.into_iter().for_each(|at| free.give(at * 10, 10, |seam| seam == 50));
        free
    }

    #[test]
    fn neighbours_are_joined_but_not_across_a_seam() {
        for order in [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 4, 0, 5, 2, 1, 3, 8, 6, 7]] {
            let free = given(order);
            let list: Vec<_> = free.by_start.into_iter().collect();
            assert_eq!(list, [(0, 50), (50, 50)]);
            assert_eq!(free.by_size.into_iter().collect::<Vec<_>>(), [(50, 0), (50, 50)]);
        }
    }

    #[test]
    fn the_smallest_that_fits_is_taken() {
        let mut free = given([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(free.take(51), None);
        assert_eq!(free.take(30), Some(0));
        assert_eq!(free.take(15), Some(30));
        assert_eq!(free.take(5), Some(45));
        assert_eq!(free.take(50), Some(50));
        assert_eq!(free.take(1), None);
    }
}
