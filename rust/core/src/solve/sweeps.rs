//! A preconditioned operator at the price of the bare one: sweeps through the states, up and down.
//!
//! With `P = L + U` split at the diagonal, `(D - L) D^-1 (D - U)` resembles `A = I - P`. Because
//! `A = (D - L) + (D - U) + (I - 2 D)`, the preconditioned operator takes one sweep with `U` and one with
//! `L`, which together read the matrix once (Eisenstat, *SIAM J. Sci. Stat. Comput.* 2, 1981).

use pulp::{Simd, WithSimd};

use super::chain::{Chain, Rows};
use crate::simd::dispatch;

/// Share of what elimination would add between other states that the pivots stand for. All of it is best
/// for smooth vectors and ruinous for others (Gustafsson, *BIT* 18, 1978).
const SHARE: f64 = 0.6;

/// `K = (D - L)^-1 A (D - U)^-1`.
#[derive(Debug)]
pub(crate) struct Sweeps<'a> {
    chain: &'a Chain,
    /// Number of transitions of each row that come before its diagonal.
    lower: Vec<u32>,
    pivots: Vec<f64>,
    inverse_pivots: Vec<f64>,
}

impl<'a> Sweeps<'a> {
    /// Pivots `d_i = 1 - s sum_{k<i} l_ik u_k / d_k` with `u_k` the sum of `u_kj`.
    ///
    /// By induction `u_k <= d_k`, so `d_i >= 1 - s l_i >= 1 - s`, `l_i` being the sum of `l_ik`: none of
    /// them can break down, in whatever order the states are.
    pub(crate) fn new(chain: &'a Chain) -> Self {
        let n = chain.n();
        let (mut lower, mut pivots) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut passed: Vec<f64> = Vec::with_capacity(n); // u_k / d_k
        for i in 0..n {
            let (cols, p) = chain.row(i);
            let before = cols.partition_point(|&j| (j as usize) < i);
            let through: f64 = cols[..before].iter().zip(p).map(|(&k, l)| l * passed[k as usize]).sum();
            let pivot = 1.0 - SHARE * through;
            lower.push(before as u32);
            pivots.push(pivot);
            passed.push(p[before..].iter().sum::<f64>() / pivot);
        }
        let inverse_pivots = pivots.iter().map(|d| 1.0 / d).collect();
        Self { chain, lower, pivots, inverse_pivots }
    }

    /// `out = (D - L)^-1 b`
    pub(crate) fn enter<const W: usize>(&self, b: &Rows<W>, out: &mut Rows<W>) {
        dispatch(Enter { sweeps: self, b, out });
    }

    /// `out = (D - U)^-1 y`
    pub(crate) fn leave<const W: usize>(&self, y: &mut Rows<W>, out: &mut Rows<W>) {
        self.down(None, [1.0; W], [0.0; W], &[], y, out);
    }

    /// `y = base + keep y + factor v`, then `t = (D - U)^-1 y`; without `base` and `v` these count as 0.
    pub(crate) fn down<const W: usize>(
        &self,
        base: Option<&Rows<W>>,
        keep: [f64; W],
        factor: [f64; W],
        v: &Rows<W>,
        y: &mut Rows<W>,
        t: &mut Rows<W>,
    ) {
        dispatch(Down { sweeps: self, base, keep, factor, v, y, t });
    }

    /// `out = K y` from `t = (D - U)^-1 y`; returns `with . out` and `out . out`.
    pub(crate) fn up<const W: usize>(
        &self,
        y: &Rows<W>,
        t: &Rows<W>,
        with: &Rows<W>,
        out: &mut Rows<W>,
        scratch: &mut Rows<W>,
    ) -> [[f64; W]; 2] {
        dispatch(Up { sweeps: self, y, t, with, out, scratch })
    }

    /// Sum of `x_j` times the transitions of row `i` to later states. They come in the order in which a
    /// sweep meets them, so that the next row waits for one product only, not for the whole sum.
    #[inline(always)]
    fn later<const W: usize>(&self, i: usize, x: &Rows<W>) -> [f64; W] {
        let (cols, p) = self.chain.row(i);
        let before = self.lower[i] as usize;
        weighted(cols[before..].iter().zip(&p[before..]).rev(), x)
    }

    /// Sum of `x_j` times the transitions of row `i` to earlier states, in the order of a sweep.
    #[inline(always)]
    fn earlier<const W: usize>(&self, i: usize, x: &Rows<W>) -> [f64; W] {
        let (cols, p) = self.chain.row(i);
        let before = self.lower[i] as usize;
        weighted(cols[..before].iter().zip(p), x)
    }
}

#[inline(always)]
fn weighted<'a, const W: usize>(row: impl Iterator<Item = (&'a u32, &'a f64)>, x: &Rows<W>) -> [f64; W] {
    let mut sum = [0.0; W];
    for (&j, &p) in row {
        let there = &x[j as usize];
        for c in 0..W {
            sum[c] += p * there[c];
        }
    }
    sum
}

struct Enter<'a, const W: usize> {
    sweeps: &'a Sweeps<'a>,
    b: &'a Rows<W>,
    out: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Enter<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sweeps, b, out } = self;
        for (i, (b, inverse)) in b.iter().zip(&sweeps.inverse_pivots).enumerate() {
            let mut here = sweeps.earlier(i, out);
            for c in 0..W {
                here[c] = (b[c] + here[c]) * inverse;
            }
            out[i] = here;
        }
    }
}

struct Down<'a, const W: usize> {
    sweeps: &'a Sweeps<'a>,
    base: Option<&'a Rows<W>>,
    keep: [f64; W],
    factor: [f64; W],
    v: &'a Rows<W>,
    y: &'a mut Rows<W>,
    t: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Down<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sweeps, base, keep, factor, v, y, t } = self;
        for i in (0..y.len()).rev() {
            let mut here = y[i];
            if let Some(v) = v.get(i) {
                for c in 0..W {
                    here[c] = keep[c] * here[c] + factor[c] * v[c];
                }
            }
            if let Some(base) = base {
                let base = base[i];
                for c in 0..W {
                    here[c] += base[c];
                }
            }
            y[i] = here;
            let mut sum = sweeps.later(i, t);
            let inverse = sweeps.inverse_pivots[i];
            for c in 0..W {
                sum[c] = (here[c] + sum[c]) * inverse;
            }
            t[i] = sum;
        }
    }
}

struct Up<'a, const W: usize> {
    sweeps: &'a Sweeps<'a>,
    y: &'a Rows<W>,
    t: &'a Rows<W>,
    with: &'a Rows<W>,
    out: &'a mut Rows<W>,
    scratch: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Up<'_, W> {
    type Output = [[f64; W]; 2];
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [[f64; W]; 2] {
        let Self { sweeps, y, t, with, out, scratch } = self;
        let (mut product, mut square) = ([0.0; W], [0.0; W]);
        for i in 0..y.len() {
            let (y, t, with) = (y[i], t[i], with[i]);
            let (rest, inverse) = (1.0 - 2.0 * sweeps.pivots[i], sweeps.inverse_pivots[i]);
            let mut step = sweeps.earlier(i, scratch);
            let mut value = [0.0; W];
            for c in 0..W {
                step[c] = (y[c] + rest * t[c] + step[c]) * inverse;
                value[c] = t[c] + step[c];
                product[c] += with[c] * value[c];
                square[c] += value[c] * value[c];
            }
            scratch[i] = step;
            out[i] = value;
        }
        [product, square]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of `n` states with chords and a way out of the last one.
    fn ring(n: usize) -> Chain {
        let (mut indptr, mut cols, mut p, mut exit) = (vec![0], vec![], vec![], vec![0.0; n]);
        for i in 0..n {
            let mut next = [(i + 1) % n, (i + n - 1) % n, (i * 7 + 3) % n].map(|j| j as u32).to_vec();
            next.retain(|&j| j as usize != i);
            next.sort_unstable();
            next.dedup();
            p.extend(next.iter().map(|&j| 1.0 + 0.5 * f64::from(j + i as u32).sin()));
            cols.extend(next);
            indptr.push(cols.len());
        }
        exit[n - 1] = 0.5;
        Chain::new(indptr, cols, p, exit).0
    }

    /// `(D - L) K (D - U) x = A x`, and dots of what they say.
    #[test]
    fn sweeps_split_the_operator() {
        let n = 60;
        let chain = ring(n);
        let sweeps = Sweeps::new(&chain);
        assert!(sweeps.pivots.iter().all(|&d| d > 1.0 - SHARE && d <= 1.0));
        let x: Vec<[f64; 2]> = (0..n).map(|i| [(i as f64 * 0.7).sin(), (i as f64 * 0.3).cos()]).collect();
        let shifted = |sum: &dyn Fn(usize) -> [f64; 2], x: &[[f64; 2]]| -> Vec<[f64; 2]> {
            let one = |i: usize| std::array::from_fn(|c| sweeps.pivots[i] * x[i][c] - sum(i)[c]);
            (0..n).map(one).collect()
        };
        let mut y = shifted(&|i| sweeps.later(i, &x), &x);
        let [mut t, mut k, mut scratch] = [(); 3].map(|()| vec![[0.0; 2]; n]);
        sweeps.down(None, [1.0; 2], [0.0; 2], &[], &mut y, &mut t);
        let [with, square] = sweeps.up(&y, &t, &x, &mut k, &mut scratch);
        let found = shifted(&|i| sweeps.earlier(i, &k), &k);
        let mut want = vec![[0.0; 2]; n];
        chain.apply(&x, &mut want);
        let mut back = vec![[0.0; 2]; n];
        sweeps.enter(&want, &mut back);
        for c in 0..2 {
            for i in 0..n {
                assert!((t[i][c] - x[i][c]).abs() < 1e-13);
                assert!((found[i][c] - want[i][c]).abs() < 1e-13);
                assert!((back[i][c] - k[i][c]).abs() < 1e-13);
            }
            let dot: f64 = (0..n).map(|i| x[i][c] * k[i][c]).sum();
            let length: f64 = (0..n).map(|i| k[i][c] * k[i][c]).sum();
            assert!((with[c] - dot).abs() < 1e-12 && (square[c] - length).abs() < 1e-12);
        }
    }
}
