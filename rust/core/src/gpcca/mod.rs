//! GPCCA+: fuzzy macrostates from the dominant Schur vectors of a chain.
//!
//! Roeblitz & Weber (2013), *Fuzzy spectral clustering by PCCA+: application to Markov state models and
//! data classification*; for chains that are not reversible, with Schur vectors in place of eigenvectors,
//! Reuter et al. (2018, 2019).

mod ascent;
mod cells;
pub mod coarse;
mod start;

use self::cells::Cells;
use crate::error::{Error, Result};
use crate::run::Run;

/// How hard to look.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Number of starting points, the inner simplex among them; at least 1.
    pub n_starts: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { n_starts: 8 }
    }
}

/// Fuzzy macrostates.
#[derive(Debug, Clone, PartialEq)]
pub struct Macrostates {
    /// Memberships `chi = X A`, `(n_cells, n_states)` row after row; none negative, rows sum to 1.
    pub memberships: Vec<f64>,
    /// The rotation `A`, `(n_states, n_states)` row after row.
    pub rotation: Vec<f64>,
    /// How crisp the memberships are, in (0, 1]: 1 where every cell belongs to one state alone.
    pub crispness: f64,
    /// Smallest membership in the inner simplex, at most 0: close to 0 where the number of states fits.
    pub min_chi: f64,
    /// Steps of the optimisation over all starts.
    pub steps: usize,
}

/// Smallest membership that the inner simplex of `n_states` corners gives a cell; at most 0.
///
/// * `x`: Schur vectors, `(n_cells, width)` row after row, the first of them 1.
///
/// # Errors
/// As [`macrostates`].
pub fn min_chi(x: &[f64], width: usize, n_states: usize, run: &Run) -> Result<f64> {
    let cells = checked(x, width, n_states, run)?;
    run.install(|| inner_simplex(&cells).map(|(_, _, min)| min))
}

/// The crispest memberships in `n_states` macrostates.
///
/// * `x`: Schur vectors `X` with `X^T D X = I`, `(n_cells, width)` row after row, the first of them 1; the
///   first `n_states` are used and must not cut a complex pair in two.
///
/// States come in the order of the corners of the inner simplex. Of several starting points, all fixed,
/// the best outcome is taken, so that the same input gives the same answer on any number of threads.
///
/// # Errors
/// [`Error::Parameter`] for fewer than 2 states or more than there are columns or cells,
/// [`Error::NotFinite`] for vectors that are not finite or, as [`Error::Shape`], where they span too small a
/// space to tell that many states apart, [`Error::Cancelled`].
pub fn macrostates(
    x: &[f64],
    width: usize,
    n_states: usize,
    params: &Params,
    run: &Run,
) -> Result<Macrostates> {
    let cells = checked(x, width, n_states, run)?;
    run.install(|| optimise(&cells, params, run))
}

fn checked(x: &[f64], width: usize, n_states: usize, run: &Run) -> Result<Cells> {
    if width == 0 || !x.len().is_multiple_of(width) {
        return Err(Error::shape("the Schur vectors", format!("rows of {width} values"), x.len()));
    }
    let most = width.min(x.len() / width);
    if n_states < 2 || n_states > most {
        let range = format!("between 2 and the number of Schur vectors and cells ({most})");
        return Err(Error::parameter("n_states", range, n_states));
    }
    if let Some(at) = x.iter().position(|x| !x.is_finite()) {
        return Err(Error::NotFinite { what: "the Schur vectors".into(), row: at / width });
    }
    if let Some(row) = x.chunks_exact(width).position(|x| (x[0] - 1.0).abs() > 1e-6) {
        let found = format!("{} in row {row}", x[row * width]);
        return Err(Error::shape("the first Schur vector", "1 everywhere", found));
    }
    Ok(Cells::new(x, width, n_states, run.threads() > 1))
}

/// Corners of the inner simplex, its rotation and its smallest membership.
fn inner_simplex(cells: &Cells) -> Result<(Vec<usize>, Vec<f64>, f64)> {
    let flat = || Error::shape("the Schur vectors", format!("{} independent columns", cells.m), "fewer");
    let corners = start::corners(cells, None).ok_or_else(flat)?;
    let rotation = start::rotation(cells, &corners).ok_or_else(flat)?;
    let min = cells.minima(&rotation, cells.m).iter().fold(0.0_f64, |min, &(value, _)| min.min(value));
    Ok((corners, rotation, min))
}

/// Times that cells outside of the polytope are added to those that bound it.
const ROUNDS: usize = 8;
/// A membership below minus this is outside.
const OUTSIDE: f64 = 1e-9;

/// Makes `a` feasible and keeps it if it is better than the best so far; returns whether it was.
fn keep_better(cells: &Cells, a: &[f64], best: &mut Option<(f64, Vec<f64>)>) -> bool {
    let Some(a) = start::feasible(cells, a) else { return false };
    let value = ascent::value(&a, cells.m);
    if best.as_ref().is_some_and(|best| value <= best.0 + 1e-12) {
        return false;
    }
    *best = Some((value, a));
    true
}

fn optimise(cells: &Cells, params: &Params, run: &Run) -> Result<Macrostates> {
    let m = cells.m;
    let (corners, simplex, min_chi) = inner_simplex(cells)?;
    let mut outer = outer_cells(cells, &simplex);
    let mut few = cells.select(&outer);
    // The best of all starts, judged by what it is worth once it is feasible for all cells.
    let mut best: Option<(f64, Vec<f64>)> = None;
    let mut steps = 0;
    let mut corner = None;
    let mut floors = vec![0.0; m];
    for start in starts(&few, params.n_starts) {
        let Some(start) = start::feasible(&few, &start) else { continue };
        let least = ascent::floors(&start, m);
        let (a, n) = ascent::climb(&few, start, &least, run)?;
        steps += n;
        if keep_better(cells, &a, &mut best) {
            corner = Some(a);
            floors = least;
        }
    }
    if best.is_none() {
        keep_better(cells, &simplex, &mut best);
    }
    // Cells that the corner leaves outside join the others, until there are none.
    let mut settled = false;
    for _ in 0..ROUNDS {
        let Some(a) = &corner else { break };
        let outside = cells.minima(a, m).into_iter().filter(|&(chi, _)| chi < -OUTSIDE);
        let before = outer.len();
        outer.extend(outside.map(|(_, cell)| cell));
        outer.sort_unstable();
        outer.dedup();
        settled = outer.len() == before;
        if settled {
            break;
        }
        few = cells.select(&outer);
        let Some(start) = start::feasible(&few, a) else { break };
        let (next, n) = ascent::climb(&few, start, &floors, run)?;
        steps += n;
        keep_better(cells, &next, &mut best);
        corner = Some(next);
    }
    let flat = || Error::shape("the Schur vectors", format!("{m} independent columns"), "fewer");
    if !settled {
        let start = best.as_ref().map(|(_, a)| a.clone()).ok_or_else(flat)?;
        let (a, n) = ascent::climb(cells, start, &floors, run)?;
        steps += n;
        keep_better(cells, &a, &mut best);
    }
    let (_, a) = best.ok_or_else(flat)?;
    let rotation = in_order(cells, &corners, &a);
    let mut memberships = cells.times(&rotation, m);
    for row in memberships.chunks_exact_mut(m) {
        row.iter_mut().for_each(|chi| *chi = chi.max(0.0));
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|chi| *chi /= sum);
    }
    let crispness = ascent::value(&rotation, m) / m as f64;
    Ok(Macrostates { memberships, rotation, crispness, min_chi, steps })
}

/// Cells on the hull of the cloud: those farthest out in many directions. All if there are not many.
fn outer_cells(cells: &Cells, simplex: &[f64]) -> Vec<usize> {
    const FEW: usize = 1500;
    const DIRECTIONS: usize = 24;
    let (n, m) = (cells.len(), cells.m);
    if n <= FEW {
        return (0..n).collect();
    }
    let columns = DIRECTIONS * m;
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut directions = vec![0.0; m * columns];
    for j in 0..columns {
        for i in 1..m {
            directions[i * columns + j] = match j / m {
                0 => simplex[i * m + j],
                1 => f64::from(u8::from(i == j % m)),
                _ => random(),
            };
        }
    }
    let negative: Vec<f64> = directions.iter().map(|d| -d).collect();
    let mut out: Vec<usize> = cells.minima(&directions, columns).iter().map(|&(_, cell)| cell).collect();
    out.extend(cells.minima(&negative, columns).iter().map(|&(_, cell)| cell));
    out.extend(start::corners(cells, None).unwrap_or_default());
    out.sort_unstable();
    out.dedup();
    out
}

/// Rotations to start from: simplices whose first corner is the farthest cell, then the corners of that
/// simplex in turn, then cells at even distances in the list.
fn starts(cells: &Cells, n_starts: usize) -> Vec<Vec<f64>> {
    let Some(corners) = start::corners(cells, None) else { return vec![] };
    let n = cells.len();
    let spread = (0..n_starts).map(|k| k * n / n_starts.max(1));
    let firsts = corners.iter().copied().chain(spread);
    let mut seen: Vec<Vec<usize>> = vec![];
    let mut out = vec![];
    for first in firsts {
        if out.len() >= n_starts.max(1) {
            break;
        }
        let Some(found) = start::corners(cells, Some(first)) else { continue };
        let mut key = found.clone();
        key.sort_unstable();
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        out.extend(start::rotation(cells, &found));
    }
    out
}

/// The columns of a rotation in the order of the corners they belong to.
fn in_order(cells: &Cells, corners: &[usize], a: &[f64]) -> Vec<f64> {
    let m = cells.m;
    let chi = cells.select(corners).times(a, m);
    let mut left: Vec<usize> = (0..m).collect();
    let mut place = vec![usize::MAX; m];
    // The surest pair first.
    let mut pairs: Vec<(usize, usize)> = (0..m).flat_map(|i| (0..m).map(move |j| (i, j))).collect();
    pairs.sort_by(|p, q| chi[q.0 * m + q.1].total_cmp(&chi[p.0 * m + p.1]).then(p.cmp(q)));
    for (i, j) in pairs {
        if place[i] == usize::MAX && left.contains(&j) {
            place[i] = j;
            left.retain(|&k| k != j);
        }
    }
    (0..m * m).map(|k| a[k / m * m + place[k % m]]).collect()
}
