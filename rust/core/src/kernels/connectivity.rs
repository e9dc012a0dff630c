//! Transition matrices from the similarity of neighbors alone.

use crate::csr::{Csr, Graph};
use crate::error::{Error, Result};

/// Divides every row by its sum.
///
/// # Errors
/// [`Error::Negative`] for a negative entry and [`Error::ZeroRows`] for rows that sum to zero.
pub fn row_normalize(csr: &Csr<'_>) -> Result<Vec<f64>> {
    let mut out = csr.values().to_vec();
    normalize_rows(csr, &mut out)?;
    Ok(out)
}

/// Divides the values of every row of `structure`, given in `values`, by their sum.
///
/// # Errors
/// As [`row_normalize`].
pub(crate) fn normalize_rows(structure: &Csr<'_>, values: &mut [f64]) -> Result<()> {
    let mut zero = Vec::new();
    for i in 0..structure.n_rows() {
        let row = &mut values[structure.range(i)];
        if row.iter().any(|&w| w < 0.0) {
            return Err(Error::Negative { row: i });
        }
        let mut sum: f64 = row.iter().sum();
        if sum == 0.0 {
            zero.push(i);
            continue;
        }
        if !sum.is_normal() {
            // The sum has over- or underflowed: scaled by the largest entry it does neither.
            let top = row.iter().copied().fold(0.0, f64::max);
            row.iter_mut().for_each(|w| *w /= top);
            sum = row.iter().sum();
        }
        row.iter_mut().for_each(|w| *w /= sum);
    }
    if zero.is_empty() {
        return Ok(());
    }
    Err(Error::ZeroRows { rows: zero })
}

/// Transition probabilities proportional to the weights of the graph.
///
/// With `density_normalize`, weights are first divided by the density of both their ends: for
/// column sums `q` of the graph `c`, `c_ij / (q_i q_j)` (Coifman et al., PNAS 2005, with alpha = 1).
/// Returns one value per stored weight of `graph`.
///
/// # Errors
/// [`Error::ZeroRows`] for cells without neighbors.
pub fn transition_probabilities(graph: &Graph<'_>, density_normalize: bool) -> Result<Vec<f64>> {
    let mut values = graph.values().to_vec();
    if density_normalize {
        let mut density = vec![0.0; graph.n_cols()];
        for i in 0..graph.n_rows() {
            let (cols, weights) = graph.row(i);
            cols.iter().zip(weights).for_each(|(&j, w)| density[j as usize] += w);
        }
        for i in 0..graph.n_rows() {
            let cols = graph.cols(i);
            // The factor 1 / q_i is common to the row and goes away when the row is normalised.
            for (value, &j) in values[graph.range(i)].iter_mut().zip(cols) {
                if *value > 0.0 {
                    *value /= density[j as usize];
                }
            }
        }
    }
    normalize_rows(graph, &mut values)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells 0 - 1 - 2 on a line, weights 1 and 3: densities are 1, 4, 3.
    fn line() -> Graph<'static> {
        let csr = Csr::new(3, vec![0, 1, 3, 4], vec![1, 0, 2, 1], vec![1.0, 1.0, 3.0, 3.0]).unwrap();
        Graph::new(csr).unwrap()
    }

    #[test]
    fn plain_rows_are_shares_of_the_weights() {
        assert_eq!(transition_probabilities(&line(), false).unwrap(), [1.0, 0.25, 0.75, 1.0]);
    }

    /// Row 1 is proportional to (1/(4*1), 3/(4*3)) = (1/4, 1/4): equal shares.
    #[test]
    fn density_is_divided_out() {
        assert_eq!(transition_probabilities(&line(), true).unwrap(), [1.0, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn isolated_cells_and_negative_weights_are_named() {
        let lonely = Csr::new(3, vec![0, 1, 1, 1], vec![0], vec![1.0]).unwrap();
        assert_eq!(row_normalize(&lonely), Err(Error::ZeroRows { rows: vec![1, 2] }));
        let negative = Csr::new(2, vec![0, 1, 2], vec![0, 1], vec![1.0, -2.0]).unwrap();
        assert_eq!(row_normalize(&negative), Err(Error::Negative { row: 1 }));
    }

    #[test]
    fn tiny_and_huge_weights_do_not_overflow() {
        let csr = Csr::new(2, vec![0, 2, 4], vec![0, 1, 0, 1], vec![1e308, 1e308, 1e-320, 1e-320]).unwrap();
        assert_eq!(row_normalize(&csr).unwrap(), [0.5; 4]);
    }
}
