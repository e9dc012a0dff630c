//! The expected direction of each cell in an embedding.

use super::Points;
use crate::csr::{Graph, TransitionMatrix};
use crate::error::{Error, Result};
use crate::run::Run;

/// Cells per block of work.
const BLOCK: usize = 256;

/// Projects a transition matrix onto an embedding (La Manno et al., Nature 2018, with unit vectors).
///
/// For the unit vectors `u_j` from cell `i` to its `k` neighbors in the graph, the direction is
/// `sum_j (t_ij - 1 / k) u_j`: where the chain goes, less where an even walk on the graph would go.
/// Every stored entry of the graph is a neighbor. A neighbor at the same place has `u_j = 0`, a cell
/// without neighbors the direction 0. When a displacement is NaN or infinite, all of the cell's
/// direction is NaN.
///
/// Returns one row per cell, of the width of `embedding`; not scaled for drawing.
///
/// # Errors
/// [`Error::Shape`] when the sizes of the arguments differ, [`Error::Cancelled`].
pub fn project(
    t: &TransitionMatrix<'_>,
    graph: &Graph<'_>,
    embedding: &Points<'_>,
    run: &Run,
) -> Result<Vec<f64>> {
    let (n, width) = (t.n_rows(), embedding.width());
    if graph.n_rows() != n {
        return Err(Error::shape("the graph", format!("one row per cell ({n})"), graph.n_rows()));
    }
    embedding.check_cells(n)?;
    run.expect_steps(n);
    let mut out = vec![0.0; n * width];
    run.blocks(
        n,
        BLOCK,
        || (vec![0.0; BLOCK * width], vec![0.0; width]),
        |(rows, step), cells| {
            for (at, i) in cells.enumerate() {
                direction(t, graph, i, embedding, step, &mut rows[at * width..(at + 1) * width]);
            }
            Ok(())
        },
        |(rows, _), cells| {
            let n_values = cells.len() * width;
            out[cells.start * width..][..n_values].copy_from_slice(&rows[..n_values]);
        },
    )?;
    Ok(out)
}

fn direction(
    t: &TransitionMatrix<'_>,
    graph: &Graph<'_>,
    i: usize,
    x: &Points<'_>,
    step: &mut [f64],
    out: &mut [f64],
) {
    out.fill(0.0);
    let neighbors = graph.cols(i);
    let even = 1.0 / neighbors.len() as f64;
    let (cols, probabilities) = t.row(i);
    let mut at = 0;
    for &j in neighbors {
        while cols.get(at).is_some_and(|&c| c < j) {
            at += 1;
        }
        let p = if cols.get(at) == Some(&j) { probabilities[at] } else { 0.0 };
        for ((s, a), b) in step.iter_mut().zip(x.row(j as usize)).zip(x.row(i)) {
            *s = a - b;
        }
        let length = norm(step);
        if !length.is_finite() {
            out.fill(f64::NAN);
            return;
        }
        if length > 0.0 {
            out.iter_mut().zip(&*step).for_each(|(o, s)| *o += (p - even) * (s / length));
        }
    }
}

/// Euclidean length; exact also where the squares would overflow or vanish. NaN or infinite when an
/// entry is.
fn norm(x: &[f64]) -> f64 {
    let square = x.iter().map(|a| a * a).sum::<f64>();
    if (1e-280..1e280).contains(&square) || square.is_nan() {
        return square.sqrt();
    }
    let top = x.iter().fold(0.0, |top: f64, a| top.max(a.abs()));
    if top == 0.0 || top.is_infinite() {
        return top;
    }
    top * x.iter().map(|a| (a / top) * (a / top)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::Csr;

    /// Cell 0 at the origin with neighbors east (distance 2), north (distance 3) and itself; T goes east
    /// with 0.75 and to cell 3, no neighbor, with 0.25. Expected (0.75 - 1/3) (1, 0) + (0 - 1/3) (0, 1).
    fn example() -> (TransitionMatrix<'static>, Graph<'static>) {
        let t = Csr::new(4, vec![0, 2, 3, 4, 5], vec![1, 3, 0, 0, 3], vec![0.75, 0.25, 1.0, 1.0, 1.0]);
        let graph = Csr::new(4, vec![0, 3, 4, 5, 5], vec![0, 1, 2, 0, 0], vec![1.0; 5]);
        (TransitionMatrix::new(t.unwrap()).unwrap(), Graph::new(graph.unwrap()).unwrap())
    }

    const EMBEDDING: [f64; 8] = [0.0, 0.0, 2.0, 0.0, 0.0, 3.0, 7.0, 7.0];

    #[test]
    fn directions_are_as_on_paper() {
        let (t, graph) = example();
        let x = Points::new(4, 2, &EMBEDDING).unwrap();
        let out = project(&t, &graph, &x, &Run::new(2)).unwrap();
        let third = 1.0 / 3.0;
        // A single neighbor that is certain cancels against the even walk.
        let expected = [0.75 - third, -third, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{out:?}");
        }
    }

    #[test]
    fn distance_does_not_matter_however_large_or_small() {
        let (t, graph) = example();
        for scale in [1e-200, 1e200] {
            let x = EMBEDDING.map(|v| v * scale);
            let out = project(&t, &graph, &Points::new(4, 2, &x).unwrap(), &Run::new(1)).unwrap();
            assert!((out[0] - (0.75 - 1.0 / 3.0)).abs() < 1e-15, "{out:?}");
        }
    }

    #[test]
    fn nan_stays_with_the_cells_that_see_it() {
        let (t, graph) = example();
        for bad in [f64::NAN, f64::INFINITY] {
            let mut x = EMBEDDING;
            x[3] = bad;
            let out = project(&t, &graph, &Points::new(4, 2, &x).unwrap(), &Run::new(1)).unwrap();
            let nan: Vec<bool> = out.iter().map(|v| v.is_nan()).collect();
            assert_eq!(nan, [true, true, true, true, false, false, false, false]);
        }
    }

    #[test]
    fn sizes_must_agree() {
        let (t, graph) = example();
        let x = Points::new(2, 4, &EMBEDDING).unwrap();
        assert!(project(&t, &graph, &x, &Run::new(1)).is_err());
    }
}
