//! Incomplete elimination of states: the preconditioner of first choice.

use pulp::{Simd, WithSimd};

use super::chain::{Chain, Rows};
use crate::error::Result;
use crate::run::Run;
use crate::simd::dispatch;

/// Rows between two looks at the cancel flag.
const CHECK: usize = 4096;

/// `A ~ (I - L) D (I - U)` with the sparsity of `A`: ILU(0), written as what it does to a Markov chain.
///
/// Eliminating state `k` sends every transition into it on to where `k` leads. Transitions that would be
/// new are not kept; their probability becomes one of staying (Meijerink & van der Vorst, *Math. Comp.*
/// 31, 1977). Pivots are sums of positive numbers, as the diagonal of a [`Chain`] is. One is positive when
/// every state has a transition to a state that comes later, or to a target; the caller orders them so.
#[derive(Debug, Clone)]
pub(crate) struct Ilu {
    indptr: Vec<usize>,
    /// Where in each row the columns behind the diagonal begin.
    upper: Vec<usize>,
    cols: Vec<u32>,
    /// `l_ik` before, `u_ij` behind the diagonal; none is negative.
    values: Vec<f64>,
    inverse_pivots: Vec<f64>,
}

impl Ilu {
    /// # Errors
    /// [`crate::Error::Cancelled`].
    pub(crate) fn new(chain: &Chain, run: &Run) -> Result<Self> {
        const NONE: u32 = u32::MAX;
        let n = chain.n();
        let mut indptr = Vec::with_capacity(n + 1);
        let (mut upper, mut inverse_pivots) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut cols, mut values) = (Vec::with_capacity(chain.nnz()), Vec::with_capacity(chain.nnz()));
        // Leaving to a target, and staying in place of what was dropped: both are passed on.
        let (mut exit, mut held) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut at = vec![NONE; n]; // place of each column in the current row
        indptr.push(0);
        for i in 0..n {
            if i % CHECK == 0 {
                run.tick(0)?;
            }
            let (row_cols, row) = chain.row(i);
            let start = values.len();
            let before = row_cols.partition_point(|&j| (j as usize) < i);
            cols.extend_from_slice(row_cols);
            values.extend_from_slice(row);
            for (place, &j) in row_cols.iter().enumerate() {
                at[j as usize] = place as u32;
            }
            let (done, current) = values.split_at_mut(start);
            let (mut out, mut stay) = (chain.exit()[i], 0.0);
            for place in 0..before {
                let k = row_cols[place] as usize;
                let into = current[place];
                for e in upper[k]..indptr[k + 1] {
                    let moved = into * done[e];
                    let j: u32 = cols[e];
                    let place = at[j as usize];
                    if place != NONE {
                        current[place as usize] += moved;
                    } else if j as usize != i {
                        stay += moved;
                    }
                }
                let l: f64 = into * inverse_pivots[k];
                current[place] = l;
                out += l * exit[k];
                stay += l * held[k];
            }
            let pivot = current[before..].iter().sum::<f64>() + out + stay;
            let inverse = if pivot > 0.0 { 1.0 / pivot } else { 1.0 };
            current[before..].iter_mut().for_each(|u| *u *= inverse);
            row_cols.iter().for_each(|&j| at[j as usize] = NONE);
            upper.push(start + before);
            indptr.push(values.len());
            inverse_pivots.push(inverse);
            exit.push(out);
            held.push(stay);
        }
        Ok(Self { indptr, upper, cols, values, inverse_pivots })
    }

    /// Replaces `x` by `A^-1 x`, approximately.
    pub(crate) fn solve<const W: usize>(&self, x: &mut Rows<W>) {
        dispatch(Substitute { ilu: self, x });
    }
}

struct Substitute<'a, const W: usize> {
    ilu: &'a Ilu,
    x: &'a mut Rows<W>,
}

impl<const W: usize> WithSimd for Substitute<'_, W> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { ilu, x } = self;
        let n = x.len();
        for i in 0..n {
            let range = ilu.indptr[i]..ilu.upper[i];
            let mut sum = x[i];
            for (&k, &l) in ilu.cols[range.clone()].iter().zip(&ilu.values[range]) {
                let there = &x[k as usize];
                for c in 0..W {
                    sum[c] += l * there[c];
                }
            }
            x[i] = sum;
        }
        for i in (0..n).rev() {
            let range = ilu.upper[i]..ilu.indptr[i + 1];
            let mut sum = x[i];
            for s in &mut sum {
                *s *= ilu.inverse_pivots[i];
            }
            for (&j, &u) in ilu.cols[range.clone()].iter().zip(&ilu.values[range]) {
                let there = &x[j as usize];
                for c in 0..W {
                    sum[c] += u * there[c];
                }
            }
            x[i] = sum;
        }
    }
}
