//! The rotation with the crispest memberships.
//!
//! For `chi = X A` crispness is `sum_j |A_j|^2 / A_0j / m` (Roeblitz & Weber 2013, *Fuzzy spectral
//! clustering by PCCA+*, section 3.3): a convex function, to be made as large as possible over the
//! polytope of rotations with `chi >= 0` and rows that sum to 1. It is largest in a corner of the
//! polytope. So we go like the simplex method from corner to corner along the edge on which the gradient
//! rises fastest; convexity makes each step a gain. Only cells on the hull of the cloud ever bound a step.

use super::cells::Cells;
use crate::error::Result;
use crate::run::Run;
use crate::spectral::dense::Mat;

/// Bounds are moved outwards by about this much, each by another amount, so that no two of them meet in
/// one point and every step has a length.
const PERTURBATION: f64 = 1e-11;
/// Pivots after which the inverse of the active bounds is computed anew.
const REFRESH: usize = 150;

/// Edges looked at for one step.
const TRIES: usize = 24;
/// A state must keep this part of the crispness that it starts with.
const KEEP: f64 = 0.5;

/// What holds one of the coordinates in place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// Nothing but that it has not moved yet.
    Start,
    /// A membership that is 0.
    Zero { cell: usize, column: usize },
}

/// `m` times the crispness of rotation `a`.
pub(super) fn value(a: &[f64], m: usize) -> f64 {
    (0..m).map(|j| column_value(a, m, j)).sum()
}

fn column_value(a: &[f64], m: usize, j: usize) -> f64 {
    let square: f64 = (0..m).map(|i| a[i * m + j] * a[i * m + j]).sum();
    if a[j] > 1e-14 {
        square / a[j]
    } else {
        0.0
    }
}

/// Derivative of [`value`] in each entry.
fn gradient(a: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * m];
    for j in 0..m {
        if a[j] <= 1e-14 {
            continue;
        }
        let ratio = column_value(a, m, j) / a[j];
        (0..m).for_each(|i| out[i * m + j] = 2.0 * a[i * m + j] / a[j]);
        out[j] -= ratio;
    }
    out
}

/// The least that each state has to contribute to [`value`], given where the search starts.
///
/// For some data the sum is largest where a state has no cells left at all, which is no answer to the
/// question for `m` states.
pub(super) fn floors(a: &[f64], m: usize) -> Vec<f64> {
    (0..m).map(|j| KEEP * column_value(a, m, j)).collect()
}

/// Goes from the feasible rotation `a` up to a corner from which no edge leads further up.
///
/// Returns it with the number of steps.
pub(super) fn climb(cells: &Cells, a: Vec<f64>, floors: &[f64], run: &Run) -> Result<(Vec<f64>, usize)> {
    let mut climber = Climber::new(cells, a, floors);
    let most = 60 * climber.n() + 200;
    let mut steps = 0;
    while steps < most && climber.step() {
        steps += 1;
        if steps % REFRESH == 0 && !climber.refresh() {
            break;
        }
        run.tick(0)?;
    }
    Ok((climber.a, steps))
}

/// The free coordinates are the columns 1.. of the rotation, one after another; column 0 is what is
/// missing to a row sum of 1.
struct Climber<'a> {
    cells: &'a Cells,
    a: Vec<f64>,
    chi: Vec<f64>,
    bounds: Vec<Bound>,
    /// Least crispness of each state.
    floors: &'a [f64],
    /// Column `r`: the direction that leaves bound `r` at rate 1 and keeps the others.
    edges: Mat,
}

impl<'a> Climber<'a> {
    fn new(cells: &'a Cells, a: Vec<f64>, floors: &'a [f64]) -> Self {
        let n = cells.m * (cells.m - 1);
        let chi = cells.times(&a, cells.m);
        Self { cells, a, chi, bounds: vec![Bound::Start; n], floors, edges: Mat::identity(n) }
    }

    fn n(&self) -> usize {
        self.bounds.len()
    }

    /// One step along the steepest edge that keeps all states; `false` when there is none that goes up.
    fn step(&mut self) -> bool {
        let m = self.cells.m;
        let slope = gradient(&self.a, m);
        let free: Vec<f64> =
            (0..self.n()).map(|k| slope[(k % m) * m + k / m + 1] - slope[(k % m) * m]).collect();
        for (r, sign) in self.steepest(&free) {
            let edge: Vec<f64> = self.edges.col(r).iter().map(|d| sign * d).collect();
            let direction = self.full(&edge);
            let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            let Some(block) = self.cells.ratio(&self.chi, &direction, 1e-10 * length, lower) else {
                continue;
            };
            let moved: Vec<f64> = self.a.iter().zip(&direction).map(|(a, d)| a + block.at * d).collect();
            let lost = |j: usize| {
                let value = column_value(&moved, m, j);
                value < self.floors[j] && value < column_value(&self.a, m, j)
            };
            if (0..m).any(lost) {
                continue;
            }
            let change = self.cells.times(&direction, m);
            if self.pivot(r, Bound::Zero { cell: block.cell, column: block.column }) {
                self.a = moved;
                self.chi.iter_mut().zip(&change).for_each(|(chi, change)| *chi += block.at * change);
                return true;
            }
        }
        false
    }

    /// The bounds to leave and the side to leave them to, the most promising first.
    fn steepest(&self, gradient: &[f64]) -> Vec<(usize, f64)> {
        let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let mut out = vec![];
        for r in 0..self.n() {
            let edge = self.edges.col(r);
            let (mut rate, mut square) = (0.0, 0.0);
            for (d, g) in edge.iter().zip(gradient) {
                rate += d * g;
                square += d * d;
            }
            let start = self.bounds[r] == Bound::Start;
            let sign = if start && rate < 0.0 { -1.0 } else { 1.0 };
            let rate = sign * rate / square.sqrt();
            if rate > 1e-9 * size {
                // What has not moved yet goes first: that leads to a corner.
                out.push((r, sign, if start { 1e6 * rate } else { rate }));
            }
        }
        out.sort_by(|x, y| y.2.total_cmp(&x.2).then(x.0.cmp(&y.0)));
        out.truncate(TRIES);
        out.into_iter().map(|(r, sign, _)| (r, sign)).collect()
    }

    /// A direction of the free coordinates as one of the whole rotation, row after row.
    fn full(&self, free: &[f64]) -> Vec<f64> {
        let m = self.cells.m;
        let mut out = vec![0.0; m * m];
        for (k, &d) in free.iter().enumerate() {
            out[(k % m) * m + k / m + 1] = d;
            out[(k % m) * m] -= d;
        }
        out
    }

    /// Rates at which the edges leave `bound`.
    fn rates(&self, bound: Bound) -> Option<Vec<f64>> {
        let Bound::Zero { cell, column } = bound else { return None };
        let m = self.cells.m;
        let x = self.cells.row(cell);
        Some(
            (0..self.n())
                .map(|r| {
                    let edge = self.edges.col(r);
                    let dot = |block: &[f64]| block.iter().zip(x).map(|(d, x)| d * x).sum::<f64>();
                    match column {
                        0 => -edge.chunks_exact(m).map(dot).sum::<f64>(),
                        _ => dot(&edge[(column - 1) * m..column * m]),
                    }
                })
                .collect(),
        )
    }

    /// Puts `bound` in the place of bound `r`.
    fn pivot(&mut self, r: usize, bound: Bound) -> bool {
        let Some(rates) = self.rates(bound) else { return false };
        let pivot = rates[r];
        if pivot == 0.0 || !pivot.is_finite() {
            return false;
        }
        let edge: Vec<f64> = self.edges.col(r).iter().map(|d| d / pivot).collect();
        for (s, &rate) in rates.iter().enumerate() {
            if s != r && rate != 0.0 {
                self.edges.col_mut(s).iter_mut().zip(&edge).for_each(|(d, e)| *d -= rate * e);
            }
        }
        self.edges.col_mut(r).copy_from_slice(&edge);
        self.bounds[r] = bound;
        true
    }

    /// Computes edges and memberships anew, against rounding errors; `false` if that fails.
    fn refresh(&mut self) -> bool {
        let (m, n) = (self.cells.m, self.n());
        let mut rows = Mat::zeros(n, n);
        for (r, bound) in self.bounds.iter().enumerate() {
            match *bound {
                Bound::Start => rows[(r, r)] = 1.0,
                Bound::Zero { cell, column } => {
                    for k in 0..n {
                        let x = self.cells.row(cell)[k % m];
                        if column == 0 {
                            rows[(r, k)] = -x;
                        } else if k / m + 1 == column {
                            rows[(r, k)] = x;
                        }
                    }
                }
            }
        }
        let Some(edges) = rows.inverse() else { return false };
        self.edges = edges;
        self.chi = self.cells.times(&self.a, m);
        true
    }
}

/// Lower bound of a membership, just below 0: an arbitrary but fixed number for each.
fn lower(cell: usize, column: usize) -> f64 {
    let mixed = ((cell as u64) << 20 | column as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    -PERTURBATION * (1.0 + (mixed >> 11) as f64 / (1_u64 << 53) as f64)
}
