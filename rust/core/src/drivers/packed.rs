//! A cell-by-gene matrix laid out for many products with changing targets.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::error::Result;
use crate::features::{Element, Matrix};
use crate::run::Run;
use crate::stats::{add_repeats, increasing};

/// Rows that are laid out together: their targets stay in the cache, and a row's number fits a byte.
pub(super) const CHUNK: usize = 256;
/// Registers of targets held while the values of a column go by.
const REGISTERS: usize = 4;
/// Targets are padded to a multiple of this, `REGISTERS` of the widest registers there are.
pub(super) const PAD: usize = 8 * REGISTERS;

/// Values of `CHUNK` rows, column after column, zeros left out.
#[derive(Debug)]
struct Chunk {
    /// Where each column starts, and a last entry for the end.
    starts: Vec<u32>,
    rows: Vec<u8>,
    /// Less the shift of their column.
    values: Vec<f64>,
}

/// Chunks of rows, each column after column.
#[derive(Debug)]
pub(super) struct Packed {
    n_rows: usize,
    n_cols: usize,
    chunks: Vec<Chunk>,
}

impl Packed {
    /// Lays out the columns that are `alive`; the others stay empty.
    ///
    /// Columns without a zero are taken less their mean, so that a high level does not drown the spread.
    /// Where zeros are left out the spread is at least `1/sqrt(n)` of the level, and none is needed.
    pub(super) fn new<E: Element>(
        m: &Matrix<'_, E>,
        alive: &[bool],
        mean: &[f64],
        run: &Run,
    ) -> Result<Self> {
        let (n_rows, n_cols) = (m.n_rows(), m.n_cols());
        let mut counts = vec![0_usize; n_cols];
        let mut chunks = Vec::with_capacity(n_rows.div_ceil(CHUNK));
        let mut entries = Vec::new();
        for start in (0..n_rows).step_by(CHUNK) {
            run.tick(0)?;
            let rows = start..(start + CHUNK).min(n_rows);
            let mut starts = vec![0_u32; n_cols + 1];
            for i in rows.clone() {
                each(m, i, &mut entries, |j, _| starts[j + 1] += u32::from(alive[j]));
            }
            for j in 0..n_cols {
                counts[j] += starts[j + 1] as usize;
                starts[j + 1] += starts[j];
            }
            let stored = starts[n_cols] as usize;
            let (mut chunk_rows, mut values) = (vec![0_u8; stored], vec![0.0; stored]);
            let mut next = starts.clone();
            for (at, i) in rows.enumerate() {
                each(m, i, &mut entries, |j, x| {
                    if alive[j] {
                        chunk_rows[next[j] as usize] = at as u8;
                        values[next[j] as usize] = x;
                        next[j] += 1;
                    }
                });
            }
            chunks.push(Chunk { starts, rows: chunk_rows, values });
        }
        for chunk in &mut chunks {
            for j in (0..n_cols).filter(|&j| counts[j] == n_rows) {
                let column = chunk.starts[j] as usize..chunk.starts[j + 1] as usize;
                chunk.values[column].iter_mut().for_each(|x| *x -= mean[j]);
            }
        }
        Ok(Self { n_rows, n_cols, chunks })
    }

    /// The rows of each chunk.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.n_rows).step_by(CHUNK).map(|start| start..(start + CHUNK).min(self.n_rows))
    }

    /// The sums over the rows of one chunk.
    ///
    /// * `y`: targets of the chunk, `width` per row, a multiple of [`PAD`].
    /// * `sums`: `(n_cols, width)`; `sum x y` is added.
    /// * `squares`: `(n_cols, n)` for the first `n` targets, `n` a multiple of [`PAD`]; `sum x^2 y` is added.
    pub(super) fn accumulate(
        &self,
        chunk: usize,
        y: &[f64],
        width: usize,
        sums: &mut [f64],
        squares: Option<(&mut [f64], usize)>,
    ) {
        let chunk = &self.chunks[chunk];
        crate::simd::dispatch(Accumulate { chunk, n_cols: self.n_cols, y, width, sums, squares });
    }
}

/// Calls `f(column, value)` for what is not zero in row `i`; repeated entries are added up first.
fn each<E: Element>(
    m: &Matrix<'_, E>,
    i: usize,
    entries: &mut Vec<(i32, f64)>,
    mut f: impl FnMut(usize, f64),
) {
    let mut unless_zero = |j: usize, x: f64| {
        if x != 0.0 {
            f(j, x);
        }
    };
    match m.row_slices(i) {
        (Some(cols), values) if !increasing(cols) => {
            add_repeats(cols, values, entries);
            entries.iter().for_each(|&(j, x)| unless_zero(j as usize, x));
        }
        (Some(cols), values) => {
            cols.iter().zip(values).for_each(|(&j, &x)| unless_zero(j as usize, x.into()));
        }
        (None, values) => values.iter().enumerate().for_each(|(j, &x)| unless_zero(j, x.into())),
    }
}

struct Accumulate<'a> {
    chunk: &'a Chunk,
    n_cols: usize,
    y: &'a [f64],
    width: usize,
    sums: &'a mut [f64],
    squares: Option<(&'a mut [f64], usize)>,
}

impl WithSimd for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { chunk, n_cols, y, width, sums, mut squares } = self;
        for j in 0..n_cols {
            let range = chunk.starts[j] as usize..chunk.starts[j + 1] as usize;
            if range.is_empty() {
                continue;
            }
            let (rows, values) = (&chunk.rows[range.clone()], &chunk.values[range]);
            column::<S, false>(simd, rows, values, y, width, &mut sums[j * width..(j + 1) * width]);
            if let Some((squares, n)) = &mut squares {
                column::<S, true>(simd, rows, values, y, width, &mut squares[j * *n..(j + 1) * *n]);
            }
        }
    }
}

/// Adds `sum_r x_r y_r`, or with `SQUARE` `sum_r x_r^2 y_r`, of the first targets to `out`.
#[inline(always)]
fn column<S: Simd, const SQUARE: bool>(
    simd: S,
    rows: &[u8],
    values: &[f64],
    y: &[f64],
    width: usize,
    out: &mut [f64],
) {
    let (out, _) = S::as_mut_simd_f64s(out);
    let (groups, _) = out.as_chunks_mut::<REGISTERS>();
    let step = REGISTERS * S::F64_LANES;
    for (g, group) in groups.iter_mut().enumerate() {
        let mut held = *group;
        for (&row, &x) in rows.iter().zip(values) {
            let x = simd.splat_f64s(if SQUARE { x * x } else { x });
            let at = row as usize * width + g * step;
            let (y, _) = S::as_simd_f64s(&y[at..at + step]);
            for k in 0..REGISTERS {
                held[k] = simd.mul_add_e_f64s(x, y[k], held[k]);
            }
        }
        *group = held;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two chunks; a column with zeros, one without, one that is left out. The sums are those of a loop.
    #[test]
    fn sums_are_those_of_a_loop() {
        let n = CHUNK + 9;
        let x: Vec<f64> =
            (0..3 * n).map(|v| if v % 3 == 0 { (v % 7) as f64 } else { 1.0 + v as f64 }).collect();
        let mean = (0..n).map(|i| x[3 * i + 1]).sum::<f64>() / n as f64;
        let m = Matrix::dense(n, 3, &x).unwrap();
        let run = Run::new(1);
        let packed = Packed::new(&m, &[true, true, false], &[9.0, mean, 9.0], &run).unwrap();
        let width = 2 * PAD;
        let target = |i: usize, t: usize| ((i * 3 + t * 5) % 11) as f64;
        let (mut sums, mut squares) = (vec![0.0; 3 * width], vec![0.0; 3 * PAD]);
        for (c, rows) in packed.chunks().enumerate() {
            let y: Vec<f64> = rows.flat_map(|i| (0..width).map(move |t| target(i, t))).collect();
            packed.accumulate(c, &y, width, &mut sums, Some((&mut squares, PAD)));
        }
        for t in 0..width {
            let sum = |j: usize, shift: f64, p: i32| {
                (0..n).map(|i| (x[3 * i + j] - shift).powi(p) * target(i, t)).sum::<f64>()
            };
            let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-12 * b.abs().max(1e5), "{a} {b}");
            near(sums[t], sum(0, 0.0, 1));
            near(sums[width + t], sum(1, mean, 1));
            near(sums[2 * width + t], 0.0);
            if t < PAD {
                near(squares[t], sum(0, 0.0, 2));
                near(squares[PAD + t], sum(1, mean, 2));
            }
        }
    }
}
