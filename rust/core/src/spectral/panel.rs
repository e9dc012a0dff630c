//! Inner loops over the rows of one tile of a basis, for a few columns at once: each value of the basis that is
//! loaded serves them all, so that arithmetic and not the cache is what takes time.

#![expect(clippy::needless_range_loop, reason = "closures and adapters may not be inlined into vector code")]

use pulp::{Simd, WithSimd};

use super::basis::TILE;
use super::dense::Mat;

/// Columns worked on at once, at most; with as many partial results in registers as this times [`GROUP`].
pub(super) const PANEL: usize = 4;
/// Columns of the basis that are multiplied at once.
const GROUP: usize = 4;
/// Registers of a column worked on at once; a tile holds a multiple of them.
const DEPTH: usize = 3;

/// Calls the function for the number of columns that there are, which the compiler then knows.
macro_rules! with_width {
    ($width:expr, $f:ident::<S, _>($($argument:expr),*)) => {
        match $width {
            1 => $f::<S, 1>($($argument),*),
            2 => $f::<S, 2>($($argument),*),
            3 => $f::<S, 3>($($argument),*),
            _ => $f::<S, PANEL>($($argument),*),
        }
    };
}

/// Products of all `columns` of a tile with the last `width` of them, at most [`PANEL`].
pub(super) struct Products<'a> {
    pub(super) columns: &'a [f64],
    pub(super) width: usize,
    /// As many numbers as columns for each of the last ones.
    pub(super) out: &'a mut [f64],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, width, out } = self;
        with_width!(width, products::<S, _>(simd, columns, out));
    }
}

#[inline(always)]
fn products<S: Simd, const K: usize>(simd: S, columns: &[f64], out: &mut [f64]) {
    let count = columns.len() / TILE;
    let mut j = 0;
    while j + GROUP <= count {
        group::<S, K, GROUP>(simd, columns, j, out);
        j += GROUP;
    }
    while j < count {
        group::<S, K, 1>(simd, columns, j, out);
        j += 1;
    }
}

/// The registers of column `j` of a tile.
#[inline(always)]
fn column<S: Simd>(columns: &[f64], j: usize) -> &[S::f64s] {
    S::as_simd_f64s(&columns[j * TILE..(j + 1) * TILE]).0
}

#[inline(always)]
fn group<S: Simd, const K: usize, const G: usize>(simd: S, columns: &[f64], first: usize, out: &mut [f64]) {
    let (count, length) = (columns.len() / TILE, TILE / S::F64_LANES);
    let mut left = [&S::as_simd_f64s(columns).0[..length]; G];
    let mut right = [left[0]; K];
    for g in 0..G {
        left[g] = &column::<S>(columns, first + g)[..length];
    }
    for k in 0..K {
        right[k] = &column::<S>(columns, count - K + k)[..length];
    }
    let mut sums = [[simd.splat_f64s(0.0); K]; G];
    for i in 0..length {
        let mut b = [simd.splat_f64s(0.0); K];
        for k in 0..K {
            b[k] = right[k][i];
        }
        for g in 0..G {
            let a = left[g][i];
            for k in 0..K {
                sums[g][k] = simd.mul_add_e_f64s(a, b[k], sums[g][k]);
            }
        }
    }
    for g in 0..G {
        for k in 0..K {
            out[k * count + first + g] = simd.reduce_sum_f64s(sums[g][k]);
        }
    }
}

/// `(panel - columns coefficients) triangle^-1` in the place of `panel`.
pub(super) struct Project<'a> {
    pub(super) columns: &'a [f64],
    pub(super) panel: &'a mut [f64],
    pub(super) coefficients: &'a Mat,
    pub(super) triangle: &'a Mat,
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, panel, coefficients, triangle } = self;
        with_width!(coefficients.n_cols(), project::<S, _>(simd, columns, panel, coefficients, triangle));
    }
}

#[inline(always)]
fn project<S: Simd, const K: usize>(
    simd: S,
    columns: &[f64],
    panel: &mut [f64],
    coefficients: &Mat,
    triangle: &Mat,
) {
    let length = TILE / S::F64_LANES;
    let columns = S::as_simd_f64s(columns).0;
    let panel = S::as_mut_simd_f64s(panel).0;
    for at in (0..length).step_by(DEPTH) {
        let mut held = [[simd.splat_f64s(0.0); DEPTH]; K];
        for k in 0..K {
            for d in 0..DEPTH {
                held[k][d] = panel[k * length + at + d];
            }
        }
        subtract::<S, K>(simd, columns, at, coefficients, 0, &mut held);
        for k in 0..K {
            for j in 0..k {
                let factor = simd.splat_f64s(-triangle[(j, k)]);
                for d in 0..DEPTH {
                    held[k][d] = simd.mul_add_e_f64s(factor, held[j][d], held[k][d]);
                }
            }
            let factor = simd.splat_f64s(1.0 / triangle[(k, k)]);
            for d in 0..DEPTH {
                held[k][d] = simd.mul_f64s(factor, held[k][d]);
                panel[k * length + at + d] = held[k][d];
            }
        }
    }
}

/// `held -= columns coefficients` for some rows and `K` of the coefficients' columns.
#[inline(always)]
fn subtract<S: Simd, const K: usize>(
    simd: S,
    columns: &[S::f64s],
    at: usize,
    coefficients: &Mat,
    first: usize,
    held: &mut [[S::f64s; DEPTH]; K],
) {
    let length = TILE / S::F64_LANES;
    let count = coefficients.n_rows();
    let mut factors = [&coefficients.col(first)[..count]; K];
    for k in 0..K {
        factors[k] = &coefficients.col(first + k)[..count];
    }
    let mut sums = *held;
    for (j, column) in columns.chunks_exact(length).take(count).enumerate() {
        let rows = &column[at..at + DEPTH];
        for k in 0..K {
            let factor = simd.splat_f64s(-factors[k][j]);
            for d in 0..DEPTH {
                sums[k][d] = simd.mul_add_e_f64s(factor, rows[d], sums[k][d]);
            }
        }
    }
    *held = sums;
}

/// `-columns factors` in the place of the leading columns.
pub(super) struct Rotate<'a> {
    pub(super) columns: &'a mut [f64],
    /// The negative of what the columns are multiplied with.
    pub(super) factors: &'a Mat,
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { columns, factors } = self;
        let length = TILE / S::F64_LANES;
        let columns = S::as_mut_simd_f64s(columns).0;
        let mut out = vec![[simd.splat_f64s(0.0); DEPTH]; factors.n_cols()];
        for at in (0..length).step_by(DEPTH) {
            for (g, out) in out.chunks_mut(PANEL).enumerate() {
                with_width!(out.len(), rotated::<S, _>(simd, columns, at, factors, g * PANEL, out));
            }
            for (j, out) in out.iter().enumerate() {
                columns[j * length + at..j * length + at + DEPTH].copy_from_slice(out);
            }
        }
    }
}

#[inline(always)]
fn rotated<S: Simd, const K: usize>(
    simd: S,
    columns: &[S::f64s],
    at: usize,
    factors: &Mat,
    first: usize,
    out: &mut [[S::f64s; DEPTH]],
) {
    let mut held = [[simd.splat_f64s(0.0); DEPTH]; K];
    subtract::<S, K>(simd, columns, at, factors, first, &mut held);
    out.copy_from_slice(&held);
}
