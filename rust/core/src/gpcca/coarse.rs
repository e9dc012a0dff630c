//! The chain between macrostates.

use rayon::prelude::*;

use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::run::Run;
use crate::spectral::dense::Mat;

/// Rows per partial sum; fixed, so that the number of threads changes no bit.
const BLOCK: usize = 1024;

/// Transition matrix between macrostates, `(chi^T D chi)^-1 chi^T D T chi` (Roeblitz & Weber 2013,
/// equation 13; Reuter et al. 2018).
///
/// * `chi`: memberships, `(n_cells, n_states)` row after row.
/// * `initial`: weights `D` of the cells; uniform if `None`.
///
/// Returns `(n_states, n_states)` row after row; rows sum to 1, entries may be slightly negative.
///
/// # Errors
/// [`Error::Shape`] when sizes differ or memberships are linearly dependent, [`Error::NotFinite`],
/// [`Error::Cancelled`].
pub fn transition_matrix(
    t: &TransitionMatrix<'_>,
    chi: &[f64],
    n_states: usize,
    initial: Option<&[f64]>,
    run: &Run,
) -> Result<Vec<f64>> {
    let (n, m) = (t.n_rows(), n_states);
    if m == 0 || chi.len() != n * m {
        return Err(Error::shape("the memberships", format!("{n} rows of {m} values"), chi.len()));
    }
    if let Some(d) = initial.filter(|d| d.len() != n) {
        return Err(Error::shape("the initial distribution", format!("one entry per state ({n})"), d.len()));
    }
    if let Some(at) = chi.iter().position(|x| !x.is_finite()) {
        return Err(Error::NotFinite { what: "the memberships".into(), row: at / m });
    }
    let partial = |block: usize| {
        let (mut gram, mut step) = (vec![0.0; m * m], vec![0.0; m * m]);
        let mut next = vec![0.0; m];
        for i in block * BLOCK..((block + 1) * BLOCK).min(n) {
            next.fill(0.0);
            let (cols, values) = t.row(i);
            for (&j, p) in cols.iter().zip(values) {
                let row = &chi[j as usize * m..(j as usize + 1) * m];
                next.iter_mut().zip(row).for_each(|(next, chi)| *next += p * chi);
            }
            let weight = initial.map_or(1.0 / n as f64, |d| d[i]);
            let here = &chi[i * m..(i + 1) * m];
            for (a, chi_a) in here.iter().enumerate() {
                let factor = weight * chi_a;
                for b in 0..m {
                    gram[a * m + b] += factor * here[b];
                    step[a * m + b] += factor * next[b];
                }
            }
        }
        (gram, step)
    };
    run.tick(0)?;
    let n_blocks = n.div_ceil(BLOCK);
    let parts: Vec<_> = if run.threads() == 1 {
        (0..n_blocks).map(partial).collect()
    } else {
        run.install(|| Ok((0..n_blocks).into_par_iter().map(partial).collect()))?
    };
    let (mut gram, mut step) = (vec![0.0; m * m], vec![0.0; m * m]);
    for (g, s) in parts {
        gram.iter_mut().zip(g).for_each(|(sum, x)| *sum += x);
        step.iter_mut().zip(s).for_each(|(sum, x)| *sum += x);
    }
    let gram = Mat::from_fn(m, m, |i, j| gram[i * m + j]);
    let step = Mat::from_fn(m, m, |i, j| step[i * m + j]);
    let dependent = || Error::shape("the memberships", format!("{m} independent columns"), "fewer");
    gram.solve(&step).map(|p| p.row_major()).ok_or_else(dependent)
}
