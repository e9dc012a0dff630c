//! Puts the parts that blocks of work return, in whatever order they finish, back in order.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::Range;

/// Hands the part of each block to `sink` in the order of the blocks, keeping early ones aside.
///
/// On one thread nothing is ever kept aside and the parts' buffers are reused.
#[derive(Debug)]
pub(crate) struct InOrder<T, F> {
    next: usize,
    early: BTreeMap<usize, (usize, T)>,
    sink: F,
}

impl<T: Default, F: FnMut(&mut T)> InOrder<T, F> {
    pub(crate) fn new(sink: F) -> Self {
        Self { next: 0, early: BTreeMap::new(), sink }
    }

    /// Takes the part of the block `range`; blocks must tile `0..n`.
    pub(crate) fn put(&mut self, range: Range<usize>, part: &mut T) {
        if range.start != self.next {
            self.early.insert(range.start, (range.end, take(part)));
            return;
        }
        (self.sink)(part);
        self.next = range.end;
        while let Some((end, mut part)) = self.early.remove(&self.next) {
            (self.sink)(&mut part);
            self.next = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_out_in_block_order() {
        let mut seen = Vec::new();
        let mut parts = InOrder::new(|part: &mut Vec<usize>| seen.append(part));
        for range in [4..6, 0..2, 6..7, 2..4] {
            parts.put(range.clone(), &mut range.collect());
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
