//! The transient part of an absorbing chain, and the operator `A = I - P` of its linear systems.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::simd::dispatch;

/// Rows that a thread takes at a time.
const BLOCK: usize = 4096;

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
    /// Whether rayon's threads share the rows; true only within the pool of a job.
    threaded: bool,
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
        (Self { indptr, cols, p, exit, threaded: false }, sums)
    }

    /// The same chain, its rows shared by the threads of the pool in which it is used.
    pub(crate) fn threaded(self, threaded: bool) -> Self {
        Self { threaded, ..self }
    }

    /// Whether its rows are shared by threads.
    pub(crate) fn is_threaded(&self) -> bool {
        self.threaded
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
        self.in_blocks(r, |first, r| dispatch(Residual { chain: self, first, b, x, r }));
    }

    /// `r = b - A (x + low)`, `low` being what `x` lost by rounding.
    ///
    /// On a chain that mixes slowly, `A` takes away all of `x` but the last few digits. With the digits
    /// behind those, a residual says something about the error down to any size (Demmel et al., *ACM
    /// TOMS* 32, 2006).
    pub(crate) fn residual_exact<const W: usize>(
        &self,
        b: &Rows<W>,
        x: &Rows<W>,
        low: &Rows<W>,
        r: &mut Rows<W>,
    ) {
        self.in_blocks(r, |first, r| dispatch(ResidualExact { chain: self, first, b, x, low, r }));
    }

    /// `y = A x`.
    pub(crate) fn apply<const W: usize>(&self, x: &Rows<W>, y: &mut Rows<W>) {
        self.in_blocks(y, |first, y| dispatch(Apply { chain: self, first, x, y }));
    }

    /// Calls `work` for blocks of rows with their first, on the threads of the job if it has several.
    ///
    /// Each row is computed on its own, so neither blocks nor threads change a bit.
    fn in_blocks<const W: usize>(
        &self,
        rows: &mut Rows<W>,
        work: impl Fn(usize, &mut Rows<W>) + Send + Sync,
    ) {
        if !self.threaded || rows.len() < 2 * BLOCK {
            return work(0, rows);
        }
        rows.par_chunks_mut(BLOCK).enumerate().for_each(|(at, rows)| work(at * BLOCK, rows));
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
    /// Of the rows that are computed, the others are only read.
    first: usize,
    b: &'a Rows<W>,
    x: &'a Rows<W>,
    r: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Residual<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (at, (r, b)) in self.r.iter_mut().zip(&self.b[self.first..]).enumerate() {
            let flow = self.chain.flow(self.first + at, self.x);
            for c in 0..W {
                r[c] = b[c] - flow[c];
            }
        }
    }
}

struct ResidualExact<'a, const W: usize> {
    chain: &'a Chain,
    /// Of the rows that are computed, the others are only read.
    first: usize,
    b: &'a Rows<W>,
    x: &'a Rows<W>,
    low: &'a Rows<W>,
    r: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for ResidualExact<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { chain, first, b, x, low, r } = self;
        for (i, (r, b)) in (first..).zip(r.iter_mut().zip(&b[first..])) {
            let (here, here_low) = (x[i], low[i]);
            let mut flow = [0.0; W];
            let (cols, p) = chain.row(i);
            for (&j, &p) in cols.iter().zip(p) {
                let (there, there_low) = (&x[j as usize], &low[j as usize]);
                for c in 0..W {
                    flow[c] += p * ((here[c] - there[c]) + (here_low[c] - there_low[c]));
                }
            }
            for c in 0..W {
                r[c] = (b[c] - chain.exit[i] * here[c]) - (flow[c] + chain.exit[i] * here_low[c]);
            }
        }
    }
}

struct Apply<'a, const W: usize> {
    chain: &'a Chain,
    /// Of the rows that are computed, the others are only read.
    first: usize,
    x: &'a Rows<W>,
    y: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Apply<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (at, y) in self.y.iter_mut().enumerate() {
            *y = self.chain.flow(self.first + at, self.x);
        }
    }
}
