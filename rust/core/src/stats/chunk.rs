//! Moments of a few hundred rows about a value of each column, so that a high level drowns no spread.

use pulp::{Simd, WithSimd};

use super::{add_repeats, increasing, Moments};
use crate::features::{Element, Matrix};

/// Sums of a sparse column before those with targets: a value to count from, the number of stored values, the
/// sum of differences from it and of their squares.
const HEAD: usize = 4;
/// Rows of a sparse chunk that are looked at for columns that may be stored throughout.
const PROBE: usize = 8;
/// Columns worked on together, so that their sums stay in the cache.
const TILE: usize = 512;

/// Moments of one chunk of rows, with its scratch.
pub(super) struct Chunk {
    n_cols: usize,
    n_targets: usize,
    pub(super) out: Moments,
    /// Targets less their mean over the chunk, and what is left of their sum by round-off.
    y: Vec<f64>,
    y_sum: Vec<f64>,
    /// Dense only. Per column: a value of it to count from, and the sum of differences from it.
    shift: Vec<f64>,
    sum: Vec<f64>,
    /// Sparse only. Column after column, so that a value touches one cache line or few: `HEAD` sums, then per
    /// target the products with the differences.
    columns: Vec<Line>,
    /// Per row its targets, laid out like the sums of a column.
    weights: Vec<Line>,
    /// Of columns with a shift: per target its sum over the stored values. Those of others cancel.
    stored_y: Vec<f64>,
    entries: Vec<(i32, f64)>,
}

/// Numbers of a cache line, worked on together.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f64; LINE]);

const LINE: usize = 8;
const ZEROS: Line = Line([0.0; LINE]);
/// What a stored value adds to the sums of its column beside multiples of its difference.
const COUNT: [f64; LINE] = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

impl Chunk {
    pub(super) fn new(n_cols: usize, n_targets: usize, dense: bool) -> Self {
        let (for_dense, for_sparse) = if dense { (n_cols, 0) } else { (0, n_cols) };
        Self {
            n_cols,
            n_targets,
            out: Moments::new(n_cols, n_targets),
            y: Vec::new(),
            y_sum: vec![0.0; n_targets],
            shift: vec![0.0; for_dense],
            sum: vec![0.0; for_dense],
            columns: vec![ZEROS; for_sparse * lines(n_targets)],
            weights: Vec::new(),
            stored_y: vec![0.0; for_sparse * n_targets],
            entries: Vec::new(),
        }
    }

    /// Fills `self.out` from some rows and their targets.
    pub(super) fn sums<E: Element>(
        &mut self,
        m: &Matrix<'_, E>,
        targets: &[f64],
        rows: std::ops::Range<usize>,
    ) {
        self.center_targets(targets, rows.len() as f64);
        self.out.m2.fill(0.0);
        self.out.products.fill(0.0);
        self.sum.fill(0.0);
        if m.row_slices(rows.start).0.is_none() {
            self.dense(m, rows);
        } else {
            self.sparse(m, rows);
        }
    }

    fn center_targets(&mut self, targets: &[f64], n: f64) {
        let (mean, k) = (&mut self.out.target_mean, self.n_targets.max(1));
        self.out.n = n;
        mean.fill(0.0);
        self.y_sum.fill(0.0);
        self.y.clear();
        targets.chunks(k).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, y)| *m += y / n));
        for row in targets.chunks(k) {
            self.y.extend(row.iter().zip(&*mean).map(|(y, m)| y - m));
        }
        for row in self.y.chunks(k) {
            self.y_sum.iter_mut().zip(row).for_each(|(s, y)| *s += y);
        }
    }

    fn dense<E: Element>(&mut self, m: &Matrix<'_, E>, rows: std::ops::Range<usize>) {
        let (k, n) = (self.n_targets, self.out.n);
        let first = m.row_slices(rows.start).1;
        self.shift.iter_mut().zip(first).for_each(|(s, &x)| *s = x.into());
        for start in (0..self.n_cols).step_by(TILE) {
            let tile = start..(start + TILE).min(self.n_cols);
            let shift = &self.shift[tile.clone()];
            let sum = &mut self.sum[tile.clone()];
            let m2 = &mut self.out.m2[tile.clone()];
            let products = &mut self.out.products[tile.start * k..tile.end * k];
            for (at, i) in rows.clone().enumerate() {
                let y = &self.y[at * k..(at + 1) * k];
                let row = &m.row_slices(i).1[tile.clone()];
                let columns = row.iter().zip(shift).zip(sum.iter_mut()).zip(m2.iter_mut());
                if let &[y] = y {
                    for ((((&x, s), sum), m2), p) in columns.zip(products.iter_mut()) {
                        let d = x.into() - s;
                        *sum += d;
                        *m2 += d * d;
                        *p += d * y;
                    }
                } else {
                    for (j, (((&x, s), sum), m2)) in columns.enumerate() {
                        let d = x.into() - s;
                        *sum += d;
                        *m2 += d * d;
                        products[j * k..(j + 1) * k].iter_mut().zip(y).for_each(|(p, y)| *p += d * y);
                    }
                }
            }
        }
        for j in 0..self.n_cols {
            let mean = self.sum[j] / n;
            self.out.mean[j] = self.shift[j] + mean;
            // Rounding may leave a trace below zero; `f64::max` would turn NaN into 0.
            self.out.m2[j] = not_negative(self.out.m2[j] - self.sum[j] * mean);
            let products = &mut self.out.products[j * k..(j + 1) * k];
            products.iter_mut().zip(&self.y_sum).for_each(|(p, y)| *p -= mean * y);
        }
    }

    /// As [`Chunk::dense`] over the stored values; the others, all zero, are then added as a group.
    ///
    /// Only columns that may be without a zero have a shift: where there is a zero the spread is at least
    /// `1/sqrt(n)` of the level, and none is needed.
    fn sparse<E: Element>(&mut self, m: &Matrix<'_, E>, rows: std::ops::Range<usize>) {
        let per_column = lines(self.n_targets);
        self.columns.fill(ZEROS);
        self.find_shifts(m, rows.clone());
        self.weights.clear();
        self.weights.resize(rows.len() * per_column, ZEROS);
        for (at, y) in self.y.chunks_exact(self.n_targets.max(1)).enumerate() {
            for (t, &y) in y.iter().enumerate() {
                self.weights[at * per_column + (HEAD + t) / LINE].0[(HEAD + t) % LINE] = y;
            }
        }
        // With their number known, the sums with few targets are made in registers.
        match per_column {
            1 => crate::simd::dispatch(Stored::<E, 1> { chunk: self, m, rows }),
            2 => crate::simd::dispatch(Stored::<E, 2> { chunk: self, m, rows }),
            _ => crate::simd::dispatch(Stored::<E, 0> { chunk: self, m, rows }),
        }
        let (k, n) = (self.n_targets, self.out.n);
        for (j, column) in self.columns.chunks_exact(per_column).enumerate() {
            let &[shift, stored, sum, squares, ..] = &column[0].0;
            if stored == 0.0 {
                self.out.mean[j] = 0.0;
                continue;
            }
            let about_shift = sum / stored;
            let mean = shift + about_shift;
            let within = not_negative(squares - sum * about_shift);
            self.out.mean[j] = mean * (stored / n);
            self.out.m2[j] = within + mean * mean * (stored * (n - stored) / n);
            let products = &mut self.out.products[j * k..(j + 1) * k];
            for (t, (p, all)) in products.iter_mut().zip(&self.y_sum).enumerate() {
                let with_y = column[(HEAD + t) / LINE].0[(HEAD + t) % LINE];
                let y = if shift == 0.0 { 0.0 } else { self.stored_y[j * k + t] };
                // The bracket is exactly 0 for a column with a shift that is stored throughout.
                *p = with_y + mean * (y - all * (stored / n)) - about_shift * y;
            }
        }
    }

    /// Sets the shift of columns that the first rows all store: their value in the first.
    fn find_shifts<E: Element>(&mut self, m: &Matrix<'_, E>, rows: std::ops::Range<usize>) {
        let (per_column, k) = (lines(self.n_targets), self.n_targets);
        let probed = rows.len().min(PROBE);
        let mut entries = |i: usize, each: &mut dyn FnMut(usize, f64)| {
            let (cols, values) = m.row_slices(i);
            add_repeats(cols.unwrap_or_default(), values, &mut self.entries);
            self.entries.iter().for_each(|&(j, x)| each(j as usize, x));
        };
        let mut stored = vec![0_usize; self.n_cols];
        for i in rows.start..rows.start + probed {
            entries(i, &mut |j, _| stored[j] += 1);
        }
        entries(rows.start, &mut |j, x| {
            if stored[j] == probed {
                self.columns[j * per_column].0[0] = x;
                self.stored_y[j * k..(j + 1) * k].fill(0.0);
            }
        });
    }
}

/// Lines for the sums of a column.
fn lines(n_targets: usize) -> usize {
    (HEAD + n_targets).div_ceil(LINE)
}

/// Sums over the stored values of some rows, in `L` lines per column, or any number if that is 0.
struct Stored<'a, 'm, E: Element, const L: usize> {
    chunk: &'a mut Chunk,
    m: &'a Matrix<'m, E>,
    rows: std::ops::Range<usize>,
}

impl<E: Element, const L: usize> WithSimd for Stored<'_, '_, E, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { chunk, m, rows } = self;
        let k = chunk.n_targets;
        let per_column = if L == 0 { lines(k) } else { L };
        let (columns, stored_y) = (&mut chunk.columns[..], &mut chunk.stored_y[..]);
        for (at, i) in rows.enumerate() {
            let y = &chunk.y[at * k..(at + 1) * k];
            let weights = &chunk.weights[at * per_column..(at + 1) * per_column];
            let (cols, values) = m.row_slices(i);
            let cols = cols.unwrap_or_default();
            if increasing(cols) {
                for (&j, &x) in cols.iter().zip(values) {
                    let column = &mut columns[j as usize * per_column..][..per_column];
                    if add(column, x.into(), weights) {
                        add_targets(&mut stored_y[j as usize * k..][..k], y);
                    }
                }
            } else {
                add_repeats(cols, values, &mut chunk.entries);
                for &(j, x) in &chunk.entries {
                    let column = &mut columns[j as usize * per_column..][..per_column];
                    if add(column, x, weights) {
                        add_targets(&mut stored_y[j as usize * k..][..k], y);
                    }
                }
            }
        }
    }
}

/// Few columns have a shift: not inlined, so that the loop over values stays small.
#[inline(never)]
fn add_targets(stored_y: &mut [f64], y: &[f64]) {
    stored_y.iter_mut().zip(y).for_each(|(s, y)| *s += y);
}

/// Adds a stored value to the sums of its column; whether that has a shift.
#[inline(always)]
fn add(column: &mut [Line], x: f64, weights: &[Line]) -> bool {
    let (first, rest) = column.split_at_mut(1);
    let (y, rest_y) = weights.split_at(1);
    let (sums, y) = (&mut first[0].0, &y[0].0);
    let shift = sums[0];
    let d = x - shift;
    // The same operation on the whole line: shift, count, sum, square and the first products.
    let times = [0.0, 0.0, 1.0, d, y[4], y[5], y[6], y[7]];
    for t in 0..LINE {
        sums[t] += d * times[t] + COUNT[t];
    }
    for (sums, y) in rest.iter_mut().zip(rest_y) {
        for t in 0..LINE {
            sums.0[t] += d * y.0[t];
        }
    }
    shift != 0.0
}

fn not_negative(x: f64) -> f64 {
    if x < 0.0 {
        0.0
    } else {
        x
    }
}
