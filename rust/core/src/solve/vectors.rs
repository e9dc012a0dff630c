//! Sums over the rows of several systems at once, always in the same order.
//!
//! Every sum runs over chunks of rows in order, four partial sums per chunk, for each system on its own.
//! So neither the number of systems that share a pass nor the number of threads changes a bit.

use pulp::{Simd, WithSimd};

use super::chain::Rows;
use crate::simd::dispatch;

/// Rows that stay in the fastest cache while all basis vectors pass by.
const CHUNK: usize = 256;

struct Dots<'a, const W: usize> {
    basis: &'a [Vec<[f64; W]>],
    w: &'a Rows<W>,
    out: &'a mut [[f64; W]],
}

#[inline(always)]
fn dot_chunk<const W: usize>(a: &Rows<W>, b: &Rows<W>) -> [f64; W] {
    let mut sums = [[0.0; W]; 4];
    let (a_fours, a_rest) = a.as_chunks::<4>();
    let (b_fours, b_rest) = b.as_chunks::<4>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for k in 0..4 {
            for c in 0..W {
                sums[k][c] += a[k][c] * b[k][c];
            }
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        for c in 0..W {
            sums[0][c] += a[c] * b[c];
        }
    }
    let mut out = [0.0; W];
    for c in 0..W {
        out[c] = (sums[0][c] + sums[1][c]) + (sums[2][c] + sums[3][c]);
    }
    out
}

impl<const W: usize> WithSimd for Dots<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.out.fill([0.0; W]);
        for start in (0..self.w.len()).step_by(CHUNK) {
            let rows = start..(start + CHUNK).min(self.w.len());
            let w = &self.w[rows.clone()];
            for (v, out) in self.basis.iter().zip(&mut *self.out) {
                let part = dot_chunk(&v[rows.clone()], w);
                for c in 0..W {
                    out[c] += part[c];
                }
            }
        }
    }
}

/// `out_k = basis_k . w` for every vector of the basis.
pub(crate) fn dots<const W: usize>(basis: &[Vec<[f64; W]>], w: &Rows<W>, out: &mut [[f64; W]]) {
    dispatch(Dots { basis, w, out });
}

struct Dot<'a, const W: usize> {
    a: &'a Rows<W>,
    b: &'a Rows<W>,
}

impl<const W: usize> WithSimd for Dot<'_, W> {
    type Output = [f64; W];
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; W] {
        let mut out = [0.0; W];
        for (a, b) in self.a.chunks(CHUNK).zip(self.b.chunks(CHUNK)) {
            let part = dot_chunk(a, b);
            for c in 0..W {
                out[c] += part[c];
            }
        }
        out
    }
}

/// `a . b`
pub(crate) fn dot<const W: usize>(a: &Rows<W>, b: &Rows<W>) -> [f64; W] {
    dispatch(Dot { a, b })
}

struct Combine<'a, const W: usize> {
    basis: &'a [Vec<[f64; W]>],
    factors: &'a [[f64; W]],
    w: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Combine<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for start in (0..self.w.len()).step_by(CHUNK) {
            let rows = start..(start + CHUNK).min(self.w.len());
            let w = &mut self.w[rows.clone()];
            for (v, factor) in self.basis.iter().zip(self.factors) {
                for (w, v) in w.iter_mut().zip(&v[rows.clone()]) {
                    for c in 0..W {
                        w[c] += factor[c] * v[c];
                    }
                }
            }
        }
    }
}

/// `w += sum_k factors_k basis_k`
pub(crate) fn combine<const W: usize>(basis: &[Vec<[f64; W]>], factors: &[[f64; W]], w: &mut Rows<W>) {
    dispatch(Combine { basis, factors, w });
}

/// `y += factor x`
pub(crate) fn add<const W: usize>(factor: [f64; W], x: &Rows<W>, y: &mut Rows<W>) {
    for (y, x) in y.iter_mut().zip(x) {
        for c in 0..W {
            y[c] += factor[c] * x[c];
        }
    }
}

/// Lengths of the vectors.
pub(crate) fn norms<const W: usize>(x: &Rows<W>) -> [f64; W] {
    dot(x, x).map(f64::sqrt)
}
