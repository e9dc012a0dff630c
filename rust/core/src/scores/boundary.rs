//! Cross-boundary correctness: does the chain point where the graph says the next state lies.

use super::Points;
use crate::csr::{Csr, Graph, TransitionMatrix};
use crate::error::{Error, Result};
use crate::run::Run;

/// Cells per block of work.
const BLOCK: usize = 64;

/// Cross-boundary correctness of the boundary cells between `source` and `target` (Qiao & Huang, PNAS
/// 2021, with the displacements of a Markov chain in place of velocities).
///
/// A boundary cell is a cell of `source` with an edge of nonzero weight to a cell of `target`. Its score
/// is the Pearson correlation, over the coordinates of `rep`, of
///
/// * the empirical displacement `sum_j w_ij (x_j - x_i)` over neighbors `j` in `target`, and
/// * the expected displacement of one step, `sum_j t_ij (x_j - x_i)`, which is `(T x - x)_i`.
///
/// The score is NaN where it is not defined: when a coordinate that goes into either displacement is
/// NaN or infinite, and when either displacement has no variance. Entries of weight zero count for
/// nothing, whatever lies at their other end.
///
/// Returns the boundary cells in increasing order and their scores.
///
/// # Errors
/// [`Error::Shape`] when the sizes of the arguments differ, [`Error::Cancelled`].
pub fn correctness(
    t: &TransitionMatrix<'_>,
    graph: &Graph<'_>,
    source: &[bool],
    target: &[bool],
    rep: &Points<'_>,
    run: &Run,
) -> Result<(Vec<i64>, Vec<f64>)> {
    let n = t.n_rows();
    if graph.n_rows() != n {
        return Err(Error::shape("the graph", format!("one row per cell ({n})"), graph.n_rows()));
    }
    for (what, flags) in [("`source`", source), ("`target`", target)] {
        if flags.len() != n {
            return Err(Error::shape(what, format!("one flag per cell ({n})"), flags.len()));
        }
    }
    rep.check_cells(n)?;
    let cells = boundary_cells(graph, source, target);
    run.expect_steps(cells.len());
    let mut scores = vec![0.0; cells.len()];
    run.blocks(
        cells.len(),
        BLOCK,
        || (Vec::new(), [vec![0.0; rep.width()], vec![0.0; rep.width()]]),
        |(out, [empirical, expected]), block| {
            out.clear();
            for &i in &cells[block] {
                displacement(graph, i, |j| target[j], rep, empirical);
                displacement(t, i, |_| true, rep, expected);
                out.push(pearson(empirical, expected));
            }
            Ok(())
        },
        |(out, _), block| scores[block].copy_from_slice(out),
    )?;
    Ok((cells.into_iter().map(|i| i as i64).collect(), scores))
}

fn boundary_cells(graph: &Csr<'_>, source: &[bool], target: &[bool]) -> Vec<usize> {
    let crosses = |&i: &usize| {
        let (cols, weights) = graph.row(i);
        source[i] && cols.iter().zip(weights).any(|(&j, &w)| w != 0.0 && target[j as usize])
    };
    (0..graph.n_rows()).filter(crosses).collect()
}

/// `out = sum_j w_ij (x_j - x_i)` over the columns `j` that `keep` lets through.
fn displacement(w: &Csr<'_>, i: usize, keep: impl Fn(usize) -> bool, x: &Points<'_>, out: &mut [f64]) {
    out.fill(0.0);
    let here = x.row(i);
    let (cols, weights) = w.row(i);
    for (&j, &weight) in cols.iter().zip(weights) {
        let j = j as usize;
        if weight != 0.0 && keep(j) {
            let there = x.row(j);
            for ((o, a), b) in out.iter_mut().zip(there).zip(here) {
                *o += weight * (a - b);
            }
        }
    }
}

/// Pearson correlation, NaN where it is not defined. Both arguments are used up as scratch.
fn pearson(a: &mut [f64], b: &mut [f64]) -> f64 {
    if !(center(a) && center(b)) {
        return f64::NAN;
    }
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f64>();
    // Largest entries are of order 1, so nothing here can overflow or vanish.
    (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())).clamp(-1.0, 1.0)
}

/// Subtracts the mean and scales the largest entry to about 1; `false` for no variance or not finite.
///
/// The first value is subtracted before the mean is taken, so equal values become exact zeros.
fn center(a: &mut [f64]) -> bool {
    let first = a.first().copied().unwrap_or(0.0);
    a.iter_mut().for_each(|x| *x -= first);
    // `f64::max` would drop a NaN.
    let top = a.iter().fold(0.0, |top, x| if x.abs() <= top { top } else { x.abs() });
    if !(top > 0.0 && top.is_finite()) || a.iter().any(|x| x.is_nan()) {
        return false;
    }
    a.iter_mut().for_each(|x| *x /= top);
    let mean = a.iter().sum::<f64>() / a.len() as f64;
    a.iter_mut().for_each(|x| *x -= mean);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(n: usize, rows: &[&[(i32, f64)]]) -> Csr<'static> {
        let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
        for row in rows {
            indices.extend(row.iter().map(|e| e.0));
            data.extend(row.iter().map(|e| e.1));
            indptr.push(indices.len() as i64);
        }
        Csr::new(n, indptr, indices, data).unwrap()
    }

    /// Cells 0 and 1 are sources, 2 and 3 targets; cell 1 touches a target only with weight zero.
    ///
    /// Cell 0 sits at the origin: its empirical displacement is 1 * (1, 2, 3) + 2 * (0, 0, 1) = (1, 2, 5),
    /// its expected one half of (1, 2, 3) + half of (1, 0, -1) = (1, 1, 1): no variance, hence NaN. With
    /// all probability on cell 2 it is (1, 2, 3): centered (-5/3, -2/3, 7/3) . (-1, 0, 1) = 4, norms
    /// sqrt(78)/3 and sqrt(2), so r = 12 / sqrt(156).
    fn example() -> (Graph<'static>, [f64; 15]) {
        let graph = csr(
            5,
            &[&[(1, 9.0), (2, 1.0), (3, 2.0)], &[(0, 1.0), (2, 0.0)], &[(0, 1.0)], &[(0, 1.0)], &[(2, 1.0)]],
        );
        let x = [0., 0., 0., 5., 5., 9., 1., 2., 3., 0., 0., 1., 1., 0., -1.];
        (Graph::new(graph).unwrap(), x)
    }

    fn chain(first: &[(i32, f64)]) -> TransitionMatrix<'static> {
        let stay = |i| [(i, 1.0)];
        let rest = [stay(1), stay(2), stay(3), stay(4)];
        TransitionMatrix::new(csr(5, &[first, &rest[0], &rest[1], &rest[2], &rest[3]])).unwrap()
    }

    const SOURCE: [bool; 5] = [true, true, false, false, false];
    const TARGET: [bool; 5] = [false, false, true, true, false];

    #[test]
    fn boundary_cells_are_scored_as_on_paper() {
        let (graph, x) = example();
        let rep = Points::new(5, 3, &x).unwrap();
        let t = chain(&[(2, 1.0)]);
        let (cells, scores) = correctness(&t, &graph, &SOURCE, &TARGET, &rep, &Run::new(2)).unwrap();
        assert_eq!(cells, [0]);
        assert!((scores[0] - 12.0 / 156.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn no_variance_and_nan_give_nan() {
        let (graph, mut x) = example();
        let score = |t: &TransitionMatrix<'_>, x: &[f64]| {
            let rep = Points::new(5, 3, x).unwrap();
            correctness(t, &graph, &SOURCE, &TARGET, &rep, &Run::new(1)).unwrap().1[0]
        };
        assert!(score(&chain(&[(2, 0.5), (4, 0.5)]), &x).is_nan());
        let t = chain(&[(2, 1.0), (4, 0.0)]);
        // Cell 4 is reached with probability zero only, cell 1 is no target: their NaN does not matter.
        x[14] = f64::NAN;
        x[3] = f64::NAN;
        assert!((score(&t, &x) - 12.0 / 156.0_f64.sqrt()).abs() < 1e-15);
        x[9] = f64::NAN;
        assert!(score(&t, &x).is_nan());
        x[9] = f64::INFINITY;
        assert!(score(&t, &x).is_nan());
    }

    #[test]
    fn sizes_must_agree() {
        let (graph, x) = example();
        let t = chain(&[(2, 1.0)]);
        let rep = Points::new(5, 3, &x).unwrap();
        let run = Run::new(1);
        assert!(correctness(&t, &graph, &SOURCE[1..], &TARGET, &rep, &run).is_err());
        let rep = Points::new(3, 5, &x).unwrap();
        assert!(correctness(&t, &graph, &SOURCE, &TARGET, &rep, &run).is_err());
        assert!(Points::new(4, 3, &x).is_err());
    }
}
