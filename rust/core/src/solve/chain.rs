//! The transient part of an absorbing chain, and the operator `A = I - P` of its linear systems.

use pulp::{Simd, WithSimd};

use crate::simd::dispatch;

/// One row per state, `W` systems side by side: one pass over the matrix serves them all.
pub(crate) type Rows<const W: usize> = [[f64; W]];

/// Jump probabilities between transient states, and out of them.
///
/// Row `i` holds the probabilities `p_ij`, `j != i`, and `exit_i` of leaving to a target; together they
/// sum to 1. There is no diagonal: `1 - p_ii` is only ever formed as the sum of the other entries, all of
/// them positive, so nothing cancels even where a chain leaves a region once in a million steps
/// (Grassmann, Taksar & Heyman, *Operations Research* 33, 1985; O'Cinneide, *Numer. Math.* 65, 1993).
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    indptr: Vec<usize>,
    cols: Vec<u32>,
    p: Vec<f64>,
    exit: Vec<f64>,
}

impl Chain {
    /// From rows of non-negative weights without diagonal, columns sorted; rows are divided by their
    /// sum, which is returned too.
    pub(crate) fn new(
        indptr: Vec<usize>,
        cols: Vec<u32>,
        mut p: Vec<f64>,
        mut exit: Vec<f64>,
    ) -> (Self, Vec<f64>) {
        let mut sums = Vec::with_capacity(exit.len());
        for i in 0..exit.len() {
            let row = &mut p[indptr[i]..indptr[i + 1]];
            let sum = row.iter().sum::<f64>() + exit[i];
            row.iter_mut().for_each(|p| *p /= sum);
            exit[i] /= sum;
            sums.push(sum);
        }
        (Self { indptr, cols, p, exit }, sums)
    }

    /// Number of transient states.
    pub(crate) fn n(&self) -> usize {
        self.exit.len()
    }

    /// Number of stored transitions.
    pub(crate) fn nnz(&self) -> usize {
        self.p.len()
    }

    /// Probability of jumping out of each state to a target.
    pub(crate) fn exit(&self) -> &[f64] {
        &self.exit
    }

    /// Columns and probabilities of row `i`.
    pub(crate) fn row(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.indptr[i]..self.indptr[i + 1];
        (&self.cols[range.clone()], &self.p[range])
    }

    /// `r = b - A x` with `(A x)_i = sum_j p_ij (x_i - x_j) + exit_i x_i`.
    ///
    /// Taking differences first makes the error of `r` relative to how much `x` varies locally, not to
    /// its size: that is what lets refinement reach full accuracy on slowly mixing chains.
    pub(crate) fn residual<const W: usize>(&self, b: &Rows<W>, x: &Rows<W>, r: &mut Rows<W>) {
        dispatch(Residual { chain: self, b, x, r });
    }

    /// `y = A x`.
    pub(crate) fn apply<const W: usize>(&self, x: &Rows<W>, y: &mut Rows<W>) {
        dispatch(Apply { chain: self, x, y });
    }

    #[inline(always)]
    fn flow<const W: usize>(&self, i: usize, x: &Rows<W>) -> [f64; W] {
        let here = x[i];
        let mut flow = [0.0; W];
        let (cols, p) = self.row(i);
        for (&j, &p) in cols.iter().zip(p) {
            let there = &x[j as usize];
            for c in 0..W {
                flow[c] += p * (here[c] - there[c]);
            }
        }
        for c in 0..W {
            flow[c] += self.exit[i] * here[c];
        }
        flow
    }
}

struct Residual<'a, const W: usize> {
    chain: &'a Chain,
    b: &'a Rows<W>,
    x: &'a Rows<W>,
    r: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Residual<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (i, (r, b)) in self.r.iter_mut().zip(self.b).enumerate() {
            let flow = self.chain.flow(i, self.x);
            for c in 0..W {
                r[c] = b[c] - flow[c];
            }
        }
    }
}

struct Apply<'a, const W: usize> {
    chain: &'a Chain,
    x: &'a Rows<W>,
    y: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Apply<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (i, y) in self.y.iter_mut().enumerate() {
            *y = self.chain.flow(i, self.x);
        }
    }
}
