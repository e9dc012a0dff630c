//! From similarities to probabilities, and the scale between them.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::csr::Csr;
use crate::error::Result;
use crate::run::Run;
use crate::simd;

/// Writes `exp(scale * l) / sum` for every logit; NaN marks a neighbor that takes no part.
///
/// Neighbors without a part get probability 0; if none has one, nothing is known about the direction
/// and all get the same probability.
#[inline(always)]
pub(super) fn probabilities<S: Simd>(simd: S, logits: &[f64], scale: f64, out: &mut [f64]) {
    for (p, &l) in out.iter_mut().zip(logits) {
        *p = scale * l;
    }
    let top = simd::largest(simd, out);
    if top == f64::NEG_INFINITY {
        out.fill(1.0 / out.len() as f64);
        return;
    }
    for p in out.iter_mut() {
        *p -= top;
    }
    simd::exp_in_place(simd, out);
    let share = 1.0 / simd::sum(simd, out);
    for p in out {
        *p *= share;
    }
}

/// [`probabilities`] of every row of `graph`.
pub(super) fn of_rows(graph: &Csr<'_>, logits: &[f64], scale: f64, run: &Run) -> Result<Vec<f64>> {
    let n = graph.n_rows();
    let mut out = vec![0.0; logits.len()];
    let mut rest = &mut out[..];
    let mut blocks = Vec::with_capacity(n.div_ceil(BLOCK));
    for start in (0..n).step_by(BLOCK) {
        let cells = start..n.min(start + BLOCK);
        let (mine, others) = rest.split_at_mut(graph.range(cells.end - 1).end - graph.range(start).start);
        blocks.push(Rows { graph, logits, scale, cells, out: mine });
        rest = others;
    }
    run.each(
        blocks,
        |rows| rows.cells.len(),
        |rows| {
            simd::dispatch(rows);
            Ok(())
        },
    )?;
    Ok(out)
}

/// [`probabilities`] of one cell.
pub(super) fn of_one(logits: &[f64], scale: f64, out: &mut [f64]) {
    struct One<'b>(&'b [f64], f64, &'b mut [f64]);
    impl WithSimd for One<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            probabilities(simd, self.0, self.1, self.2);
        }
    }
    simd::dispatch(One(logits, scale, out));
}

/// Cells per block.
const BLOCK: usize = 1024;

struct Rows<'b> {
    graph: &'b Csr<'b>,
    logits: &'b [f64],
    scale: f64,
    cells: Range<usize>,
    out: &'b mut [f64],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut out = self.out;
        for i in self.cells {
            let row = self.graph.range(i);
            let (mine, others) = out.split_at_mut(row.len());
            probabilities(simd, &self.logits[row], self.scale, mine);
            out = others;
        }
    }
}

/// `1 / median |l|` over the nonzero logits; 1 when there is none.
///
/// A row of typical similarities then spreads over one unit of the exponent.
pub(super) fn default_scale(logits: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = logits.iter().map(|l| l.abs()).filter(|&l| l > 0.0).collect();
    if sizes.is_empty() {
        return 1.0;
    }
    let middle = sizes.len() / 2;
    let odd = sizes.len() % 2 == 1;
    let (below, &mut upper, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = if odd { upper } else { below.iter().copied().fold(0.0, f64::max) };
    2.0 / (lower + upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softmax(logits: &[f64], scale: f64) -> Vec<f64> {
        let graph = Csr::new(
            logits.len(),
            vec![0, logits.len() as i64],
            (0..logits.len() as i32).collect::<Vec<_>>(),
            vec![1.0; logits.len()],
        );
        of_rows(&graph.unwrap(), logits, scale, &Run::default()).unwrap()
    }

    #[test]
    fn the_exponential_is_exact_to_the_last_digits() {
        let logits: Vec<f64> = (0..2000).map(|i| -0.35037 * f64::from(i)).collect();
        let p = softmax(&logits, 1.0);
        for (l, q) in logits.iter().zip(&p) {
            let expected = l.exp() * p[0];
            assert!((q - expected).abs() <= 4e-16 * expected, "exp({l})");
        }
    }

    #[test]
    fn odds_are_exponentials() {
        let p = softmax(&[0.0, 2.0_f64.ln()], 1.0);
        assert!((p[0] - 1.0 / 3.0).abs() < 1e-15 && (p[1] - 2.0 / 3.0).abs() < 1e-15);
        assert_eq!(softmax(&[1e6, -1e6, 1e6], 4.0), [0.5, 0.0, 0.5]);
    }

    #[test]
    fn masked_neighbors_get_nothing_and_all_masked_share_alike() {
        assert_eq!(softmax(&[f64::NAN, 0.3, 0.3], 9.0), [0.0, 0.5, 0.5]);
        assert_eq!(softmax(&[f64::NAN; 4], 9.0), [0.25; 4]);
    }

    #[test]
    fn the_median_ignores_zeros_and_signs() {
        assert_eq!(default_scale(&[0.0, -0.5, 0.25, f64::NAN, 0.0, 1.0]), 2.0);
        assert_eq!(default_scale(&[0.25, -0.75]), 2.0);
        assert_eq!(default_scale(&[0.0, f64::NAN]), 1.0);
    }
}
