//! Long arrays that begin where a cache line does: registers loaded from them never need two lines.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest registers.
const LINE: usize = 64;
const SPARE: usize = LINE / size_of::<f64>() - 1;

/// Numbers from the beginning of a cache line on.
#[derive(Debug)]
pub(super) struct Aligned {
    values: Vec<f64>,
    first: usize,
}

impl Aligned {
    pub(super) fn zeros(length: usize) -> Self {
        let values = vec![0.0; length + SPARE];
        let first = values.as_ptr().align_offset(LINE).min(SPARE);
        Self { values, first }
    }
}

impl Deref for Aligned {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[self.first..self.first + self.values.len() - SPARE]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f64] {
        let length = self.values.len() - SPARE;
        &mut self.values[self.first..self.first + length]
    }
}
