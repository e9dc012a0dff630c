//! Trends of genes along lineages: penalised B-splines (Eilers & Marx 1996), many genes at once.
//!
//! `g(E y_i) = sum_j gamma_j B_j(x_i)` is fitted by minimising `deviance + lam gamma^T S gamma` for each
//! column of a cell-by-gene matrix. The basis, its layout and the Gram matrix of the prior weights are made
//! once for all genes; with the normal distribution and identity link, or the gamma and log, no other Gram
//! matrix is needed.

mod basis;
mod columns;
mod dense;
mod exp;
mod family;
mod penalty;
mod pirls;
mod smooth;
mod sums;

pub use basis::{Basis, Design, MAX_ORDER, MAX_SPLINES};
pub use family::{Distribution, Family, Link, Unfit};
pub use penalty::Penalty;
pub use smooth::{Criterion, Smoothing};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::run::Run;
use columns::Columns;
use pirls::Shared;
use smooth::Cells;
use sums::{Response, Sums, Weighting};

/// Everything about a fit but the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Distribution and link.
    pub family: Family,
    /// What is penalised.
    pub penalty: Penalty,
    /// How much.
    pub smoothing: Smoothing,
    /// Steps before giving up; at least 1.
    pub max_iter: usize,
    /// A step below this, relative to the coefficients, is the last; in (0, 1).
    pub tol: f64,
}

impl Default for Params {
    /// Gamma with log link, `lam` 3.
    fn default() -> Self {
        Self {
            family: Family { distribution: Distribution::Gamma, link: Link::Log, expectile: None },
            penalty: Penalty::default(),
            smoothing: Smoothing::Fixed(3.0),
            max_iter: 2000,
            tol: 1e-8,
        }
    }
}

impl Params {
    fn check(&self) -> Result<()> {
        // A restricted likelihood needs a penalty.
        let positive = |lam: &f64, criterion: Criterion| {
            lam.is_finite() && (*lam > 0.0 || (*lam == 0.0 && criterion == Criterion::Gcv))
        };
        match &self.smoothing {
            Smoothing::Fixed(lam) if !(lam.is_finite() && *lam >= 0.0) => {
                return Err(Error::parameter("lam", "at least 0 and finite", lam));
            }
            Smoothing::Grid(lams, by) if lams.is_empty() || !lams.iter().all(|lam| positive(lam, *by)) => {
                return Err(Error::parameter("lam", "some positive numbers", format!("{lams:?}")));
            }
            _ => {}
        }
        if self.max_iter == 0 {
            return Err(Error::parameter("max_iter", "at least 1", 0));
        }
        if !(self.tol > 0.0 && self.tol < 1.0) {
            return Err(Error::parameter("tol", "in (0, 1)", self.tol));
        }
        let Family { distribution, link, expectile } = self.family;
        if let Some(tau) = expectile {
            if !(tau > 0.0 && tau < 1.0) {
                return Err(Error::parameter("expectile", "in (0, 1)", tau));
            }
            if (distribution, link) != (Distribution::Normal, Link::Identity) {
                let found = format!("{distribution:?} and {link:?}");
                return Err(Error::parameter(
                    "expectile",
                    "given with normal distribution and identity link",
                    found,
                ));
            }
        }
        Ok(())
    }
}

/// A fitted trend.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// Coefficients `gamma` of the splines, `(n_splines,)`.
    pub coefficients: Vec<f64>,
    /// Their posterior covariance (Wood, *Generalized Additive Models*, 2017, section 6.10),
    /// `(n_splines, n_splines)`.
    pub covariance: Vec<f64>,
    /// The smoothing parameter that was used.
    pub lam: f64,
    /// Effective degrees of freedom.
    pub edf: f64,
    /// `phi` in `var y = phi V(mu) / w`. Residuals are divided by the effective number of cells (Kish) less
    /// `edf`: weights say how much a cell belongs to the lineage, not how precisely it was measured.
    pub scale: f64,
    /// Value of the criterion; NaN if `lam` was given.
    pub criterion: f64,
    /// Steps taken.
    pub iterations: usize,
    /// Whether the last step was small enough.
    pub converged: bool,
}

/// Genes that are read from a dense matrix together: a cache line holds eight neighbors.
const TILE: usize = 8;

/// Fits a trend to each of `columns` of `expression`.
///
/// * `expression`: `(n_cells, n_genes)`, read where it lies.
/// * `columns`: genes, all different.
/// * `rows`: row in `expression` of each cell given to [`Design::new`].
///
/// Returns one trend per column, or why there is none; one gene's failure is no other's. The position in
/// [`Unfit`] is a row of `expression`.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Parameter`] when arguments contradict each other, [`Error::Cancelled`].
pub fn fit(
    design: &Design,
    expression: &Features<'_>,
    columns: &[usize],
    rows: &[usize],
    params: &Params,
    run: &Run,
) -> Result<Vec<std::result::Result<Trend, Unfit>>> {
    params.check()?;
    if let Some(&last) = design.cells.iter().max().filter(|&&last| last >= rows.len()) {
        return Err(Error::shape("`rows`", format!("more than {last} entries, one per cell"), rows.len()));
    }
    let rows: Vec<usize> = design.cells.iter().map(|&cell| rows[cell]).collect();
    let source = Columns::new(expression, columns, &rows)?;
    let n = design.basis.n_splines();
    let (sum, squares) = design.weight_sums();
    let cells = Cells { effective: sum * sum / squares, unit: squares / sum };
    let (penalty, prior) = (params.penalty.matrix(n)?, sums::prior_gram(design));
    let shared = Shared {
        penalty: &penalty,
        rank: params.penalty.rank(n),
        centered: params.penalty.intercept || params.penalty.ridge == 0.0,
        prior: &prior,
        max_iter: params.max_iter,
        tol: params.tol,
    };
    run.expect_steps(columns.len());
    let mut out = vec![Err(Unfit::Diverged); columns.len()];
    run.blocks(
        columns.len(),
        TILE,
        || (vec![0.0; rows.len() * TILE], Vec::new()),
        |(tile, fits), range| {
            source.fetch(range.clone(), tile);
            fits.clear();
            for y in tile.chunks_exact_mut(rows.len()).take(range.len()) {
                run.tick(0)?;
                fits.push(one(design, y, params, &shared, cells).map_err(|unfit| match unfit {
                    Unfit::NotFinite(i) => Unfit::NotFinite(rows[i]),
                    Unfit::OutOfRange(i) => Unfit::OutOfRange(rows[i]),
                    other => other,
                }));
            }
            Ok(())
        },
        |(_, fits), range| out[range].iter_mut().zip(fits.drain(..)).for_each(|(place, fit)| *place = fit),
    )?;
    Ok(out)
}

fn one(
    design: &Design,
    y: &mut [f64],
    params: &Params,
    shared: &Shared<'_>,
    cells: Cells,
) -> std::result::Result<Trend, Unfit> {
    let mean = params.family.admit(y, &design.weights)?;
    let response = Response { design, family: params.family, y, mean };
    let (fit, criterion) = smooth::smooth(&response, shared, &params.smoothing, cells)?;
    let scale = smooth::scale(&response, &fit, cells)?;
    let n = fit.gamma.len();
    let squared =
        params.family.expectile.map(|_| Sums::new(&response, &fit.gamma, Some(Weighting::Squared)).gram);
    Ok(Trend {
        covariance: smooth::covariance(&fit.factor, scale, squared.as_deref(), n),
        coefficients: fit.gamma,
        lam: fit.lam,
        edf: fit.edf,
        scale,
        criterion,
        iterations: fit.iterations,
        converged: fit.converged,
    })
}
