//! Incomplete elimination of states: the preconditioner of first choice.

use pulp::{Simd, WithSimd};

use super::chain::{Chain, Rows};
use crate::error::Result;
use crate::run::Run;
use crate::simd::dispatch;

/// Rows between two looks at the cancel flag.
const CHECK: usize = 4096;

/// Places of a row in the making: what is dropped, what leads back to the state itself, the columns.
const DROPPED: usize = 8;
const BACK: usize = DROPPED;
const FIRST: usize = BACK + 1;

/// `A ~ (I - L) D (I - U)` with the sparsity of `A`: ILU(0), written as what it does to a Markov chain.
///
/// Eliminating state `k` sends every transition into it on to where `k` leads. Transitions that would be
/// new are not kept; their probability becomes one of staying (Meijerink & van der Vorst, *Math. Comp.*
/// 31, 1977). Pivots are sums of positive numbers, as the diagonal of a [`Chain`] is. One is positive when
/// every state has a transition to a state that comes later, or to a target; the caller orders them so.
///
/// Off the diagonal the factors are kept in single precision: they are approximate anyway, and half of the
/// time goes into reading them. Pivots are sums of what is kept, in double precision, so rounding amounts
/// to a change of each transition by a factor of 1 + 6e-8: it never makes a region easier to leave.
#[derive(Debug, Clone)]
pub(crate) struct Ilu {
    indptr: Vec<usize>,
    /// Where in each row the columns behind the diagonal begin.
    upper: Vec<usize>,
    cols: Vec<u32>,
    /// Transitions when the turn of the row comes: to states eliminated before, then to those that are
    /// left. `l_ik` and `u_ij` are these over the pivots of `k` and `i`; none is negative.
    values: Vec<f32>,
    inverse_pivots: Vec<f64>,
}

impl Ilu {
    /// # Errors
    /// [`crate::Error::Cancelled`].
    pub(crate) fn new(chain: &Chain, run: &Run) -> Result<Self> {
        let n = chain.n();
        let mut indptr = Vec::with_capacity(n + 1);
        let (mut upper, mut inverse_pivots) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut cols, mut values) = (Vec::with_capacity(chain.nnz()), Vec::with_capacity(chain.nnz()));
        // Leaving to a target, and staying in place of what was dropped: both are passed on.
        let (mut exit, mut held) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut current: Vec<f64> = Vec::new();
        // Place of each column in the current row: 0 for what is dropped, which is shared out over the first
        // places so that one sum need not wait for the other.
        let mut at = vec![0_u32; n];
        indptr.push(0);
        for i in 0..n {
            if i % CHECK == 0 {
                run.tick(0)?;
            }
            let (row_cols, row) = chain.row(i);
            let start = values.len();
            let before = row_cols.partition_point(|&j| (j as usize) < i);
            current.clear();
            current.resize(FIRST, 0.0);
            current.extend_from_slice(row);
            for (place, &j) in row_cols.iter().enumerate() {
                at[j as usize] = (FIRST + place) as u32;
            }
            at[i] = BACK as u32;
            let (mut out, mut stay) = (chain.exit()[i], 0.0);
            for place in 0..before {
                let k = row_cols[place] as usize;
                let into = current[FIRST + place] as f32;
                let l = f64::from(into) * inverse_pivots[k];
                values.push(into);
                let range = upper[k]..indptr[k + 1];
                for (e, (&j, &u)) in cols[range.clone()].iter().zip(&values[range]).enumerate() {
                    let place = (at[j as usize] as usize).max(e % DROPPED);
                    current[place] += l * f64::from(u);
                }
                out += l * exit[k];
                stay += l * held[k];
            }
            cols.extend_from_slice(row_cols);
            values.extend(current[FIRST + before..].iter().map(|&u| u as f32));
            stay += current[..DROPPED].iter().sum::<f64>();
            let left = values[start + before..].iter().map(|&u| f64::from(u)).sum::<f64>();
            let pivot = left + out + stay;
            let inverse = if pivot > 0.0 { 1.0 / pivot } else { 1.0 };
            row_cols.iter().for_each(|&j| at[j as usize] = 0);
            at[i] = 0;
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
        // Forward, and divided by the pivots at once: that is what later rows need.
        for i in 0..n {
            let range = ilu.indptr[i]..ilu.upper[i];
            let mut sum = x[i];
            for (&k, &l) in ilu.cols[range.clone()].iter().zip(&ilu.values[range]) {
                let (there, l) = (&x[k as usize], f64::from(l));
                for c in 0..W {
                    sum[c] += l * there[c];
                }
            }
            x[i] = sum.map(|s| s * ilu.inverse_pivots[i]);
        }
        for i in (0..n).rev() {
            let range = ilu.upper[i]..ilu.indptr[i + 1];
            let mut sum = [0.0; W];
            for (&j, &u) in ilu.cols[range.clone()].iter().zip(&ilu.values[range]) {
                let (there, u) = (&x[j as usize], f64::from(u));
                for c in 0..W {
                    sum[c] += u * there[c];
                }
            }
            for c in 0..W {
                x[i][c] += ilu.inverse_pivots[i] * sum[c];
            }
        }
    }
}
