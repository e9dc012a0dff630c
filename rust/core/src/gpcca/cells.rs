//! Passes over the cells: points in the space of the Schur vectors, one row each.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::simd::dispatch;

/// Cells per block of work.
const BLOCK: usize = 1024;
/// Fewer cells than this are not worth the threads.
const FEW: usize = 8 * BLOCK;
/// Rows multiplied at once where columns fill registers: few enough for their sums to stay in registers.
const ROWS: usize = 4;
/// Rows multiplied at once otherwise: enough of them that no sum waits for the one before.
const SIDE: usize = 8;

/// Points `(1, x)`, `m` coordinates each, row after row.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    pub(super) m: usize,
    pub(super) x: Vec<f64>,
    parallel: bool,
}

impl Cells {
    /// The first `m` of the `width` columns of `x`.
    pub(super) fn new(x: &[f64], width: usize, m: usize, parallel: bool) -> Self {
        let x: Vec<f64> = x.chunks_exact(width).flat_map(|row| &row[..m]).copied().collect();
        let parallel = parallel && x.len() / m >= FEW;
        Self { m, x, parallel }
    }

    /// None yet; points are to be added to `x`.
    pub(super) fn empty(m: usize) -> Self {
        Self { m, x: vec![], parallel: false }
    }

    /// As many cells elsewhere.
    pub(super) fn with(&self, x: Vec<f64>) -> Self {
        Self { m: self.m, x, parallel: self.parallel }
    }

    /// Some of the cells.
    pub(super) fn select(&self, cells: &[usize]) -> Self {
        let x = cells.iter().flat_map(|&l| self.row(l)).copied().collect();
        Self { m: self.m, x, parallel: self.parallel && cells.len() >= FEW }
    }

    pub(super) fn len(&self) -> usize {
        self.x.len() / self.m
    }

    pub(super) fn row(&self, l: usize) -> &[f64] {
        &self.x[l * self.m..(l + 1) * self.m]
    }

    /// `x a` for a matrix of `m` rows and `columns` columns, row after row.
    pub(super) fn times(&self, a: &[f64], columns: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.len() * columns];
        let work = |(x, out): (&[f64], &mut [f64])| {
            dispatch(Times { x, a, m: self.m, columns, out });
        };
        let (rows, result) = (BLOCK * self.m, BLOCK * columns);
        if self.parallel {
            self.x.par_chunks(rows).zip(out.par_chunks_mut(result)).for_each(work);
        } else {
            self.x.chunks(rows).zip(out.chunks_mut(result)).for_each(work);
        }
        out
    }

    /// For each column of `x a` its smallest value and the cell that has it, the first if several do.
    pub(super) fn minima(&self, a: &[f64], columns: usize) -> Vec<(f64, usize)> {
        let block = |b: usize| {
            let cells = self.block(b);
            let mut values = vec![0.0; cells.len() * columns];
            let x = &self.x[cells.start * self.m..cells.end * self.m];
            dispatch(Times { x, a, m: self.m, columns, out: &mut values });
            let mut out = vec![(f64::INFINITY, usize::MAX); columns];
            for (row, cell) in values.chunks_exact(columns).zip(cells) {
                for (out, &value) in out.iter_mut().zip(row) {
                    if value < out.0 {
                        *out = (value, cell);
                    }
                }
            }
            out
        };
        let better = |mut a: Vec<(f64, usize)>, b: Vec<(f64, usize)>| {
            a.iter_mut().zip(b).for_each(|(a, b)| {
                if b.0 < a.0 || (b.0 == a.0 && b.1 < a.1) {
                    *a = b
                }
            });
            a
        };
        let none = || vec![(f64::INFINITY, usize::MAX); columns];
        let n_blocks = self.len().div_ceil(BLOCK);
        if self.parallel {
            (0..n_blocks).into_par_iter().map(block).reduce(none, better)
        } else {
            (0..n_blocks).map(block).fold(none(), better)
        }
    }

    fn block(&self, b: usize) -> Range<usize> {
        b * BLOCK..((b + 1) * BLOCK).min(self.len())
    }
}

/// The points once more, one coordinate after another: products with a single vector are faster that way.
#[derive(Debug)]
pub(super) struct Coordinates {
    n: usize,
    x: Vec<f64>,
}

impl Coordinates {
    pub(super) fn of(cells: &Cells) -> Self {
        let (n, m) = (cells.len(), cells.m);
        Self { n, x: (0..m).flat_map(|i| cells.x.iter().skip(i).step_by(m)).copied().collect() }
    }

    /// `x a` for a vector.
    pub(super) fn times(&self, a: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        dispatch(Added { coordinates: self, a, out: &mut out });
        out
    }
}

struct Added<'a> {
    coordinates: &'a Coordinates,
    a: &'a [f64],
    out: &'a mut [f64],
}

impl WithSimd for Added<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (x, a) in self.coordinates.x.chunks_exact(self.coordinates.n).zip(self.a) {
            for (out, x) in self.out.iter_mut().zip(x) {
                *out += a * x;
            }
        }
    }
}

/// `x a`, row after row, in `out`.
struct Times<'a> {
    x: &'a [f64],
    a: &'a [f64],
    m: usize,
    columns: usize,
    out: &'a mut [f64],
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F64_LANES;
        let mut done = 0;
        while done + 2 * lanes <= self.columns {
            self.registers::<S, 2>(simd, done);
            done += 2 * lanes;
        }
        if done + lanes <= self.columns {
            self.registers::<S, 1>(simd, done);
            done += lanes;
        }
        self.rest(done);
    }
}

impl Times<'_> {
    /// The columns of `C` registers from `first` on. Multiplied and added one after the other, so that results are
    /// the same bits whatever registers a machine has.
    #[inline(always)]
    fn registers<S: Simd, const C: usize>(&mut self, simd: S, first: usize) {
        let (m, columns, width) = (self.m, self.columns, C * S::F64_LANES);
        let rows = self.x.chunks(ROWS * m).zip(self.out.chunks_mut(ROWS * columns));
        for (x, out) in rows {
            let mut sums = [[simd.splat_f64s(0.0); C]; ROWS];
            let row: [&[f64]; ROWS] = group(x, m);
            for (i, a) in self.a.chunks_exact(columns).enumerate() {
                let a = S::as_simd_f64s(&a[first..first + width]).0;
                for r in 0..ROWS {
                    let x = simd.splat_f64s(row[r][i]);
                    for c in 0..C {
                        sums[r][c] = simd.add_f64s(sums[r][c], simd.mul_f64s(x, a[c]));
                    }
                }
            }
            for (sums, out) in sums.iter().zip(out.chunks_exact_mut(columns)) {
                S::as_mut_simd_f64s(&mut out[first..first + width]).0.copy_from_slice(sums);
            }
        }
    }

    /// The columns from `first` on, fewer than fill a register: rows side by side.
    #[inline(always)]
    fn rest(&mut self, first: usize) {
        let (m, columns) = (self.m, self.columns);
        let rows = self.x.chunks(SIDE * m).zip(self.out.chunks_mut(SIDE * columns));
        for (x, out) in rows {
            let row: [&[f64]; SIDE] = group(x, m);
            for c in first..columns {
                let mut sums = [0.0; SIDE];
                for (i, a) in self.a[c..].iter().step_by(columns).enumerate() {
                    for r in 0..SIDE {
                        sums[r] += row[r][i] * a;
                    }
                }
                out[c..].iter_mut().step_by(columns).zip(sums).for_each(|(out, sum)| *out = sum);
            }
        }
    }
}

/// The rows of `x`, of `m` values each, filled up with the first: what comes of those is not used.
#[inline(always)]
fn group<const R: usize>(x: &[f64], m: usize) -> [&[f64]; R] {
    let mut rows = [&x[..m]; R];
    rows.iter_mut().zip(x.chunks_exact(m)).for_each(|(row, x)| *row = x);
    rows
}
