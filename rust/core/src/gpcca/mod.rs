//! GPCCA+: fuzzy macrostates from the dominant Schur vectors of a chain.
//!
//! Roeblitz & Weber (2013), *Fuzzy spectral clustering by PCCA+: application to Markov state models and
//! data classification*; for chains that are not reversible, with Schur vectors in place of eigenvectors,
//! Reuter et al. (2018, 2019).

mod cells;
pub mod coarse;
mod frame;
mod mixture;
mod polar;
mod pool;
mod search;
mod start;

use self::cells::Cells;
use self::frame::Frame;
use self::search::Search;
use crate::error::{Error, Result};
use crate::run::Run;

/// How hard to look.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Largest number of simplices to start from, the inner simplex among them; at least 1.
    pub n_starts: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { n_starts: 8 }
    }
}

/// Fuzzy macrostates.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
/// Crispness is convex, so the crispest memberships mix as many corners of the polytope of all single
/// memberships as there are states, by weights that solve a linear program. The search goes from corner to
/// corner, first around several simplices of cells, the inner simplex first, then wherever most is to gain;
/// with up to about six states all corners are seen, and nothing is crisper. Often a state of the crispest
/// memberships is nowhere the most likely one. Then those come first of which each state is the most likely
/// one of the cell that belongs to it most, and crispness decides among them.
///
/// States come in the order of the corners of the inner simplex. The same input gives the same answer on any
/// number of threads, and so do, but for round-off, other columns 2, 3, ... that span the same space: the search
/// sees the cells in the frame of the inner simplex.
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
    run.install(|| optimise(&cells, Start::Simplices(params.n_starts), run))
}

/// The memberships that the search reaches from a given rotation.
///
/// * `x`: as for [`macrostates`].
/// * `rotation`: where to start, `(n_states, n_states)` row after row; made feasible first, as Roeblitz &
///   Weber do. Its scale does not matter.
///
/// Never less crisp than the feasible rotation it starts from. States come in the order of the corners of
/// the inner simplex, as always.
///
/// # Errors
/// As [`macrostates`]; [`Error::Shape`] for a rotation that is not square or can not be made feasible,
/// [`Error::NotFinite`] for one that is not finite.
pub fn improve(x: &[f64], width: usize, n_states: usize, rotation: &[f64], run: &Run) -> Result<Macrostates> {
    let cells = checked(x, width, n_states, run)?;
    if rotation.len() != n_states * n_states {
        let expected = format!("{n_states} rows and columns, one per state");
        return Err(Error::shape("the rotation", expected, format!("{} values", rotation.len())));
    }
    if let Some(at) = rotation.iter().position(|a| !a.is_finite()) {
        return Err(Error::NotFinite { what: "the rotation".into(), row: at / n_states });
    }
    run.install(|| {
        if start::feasible(&cells, rotation).is_none() {
            let expected = "memberships that are not constant in any column";
            return Err(Error::shape("the rotation", expected, "a column that is"));
        }
        optimise(&cells, Start::Rotation(rotation), run)
    })
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

/// `m` times the crispness of rotation `a`: `sum_j |A_j|^2 / A_0j` (Roeblitz & Weber 2013, section 3.3).
fn value(a: &[f64], m: usize) -> f64 {
    let column = |j: usize| match a[j] > 1e-14 {
        true => (0..m).map(|i| a[i * m + j] * a[i * m + j]).sum::<f64>() / a[j],
        false => 0.0,
    };
    (0..m).map(column).sum()
}

/// Where a search starts.
enum Start<'a> {
    /// From so many simplices of cells, the inner simplex first.
    Simplices(usize),
    Rotation(&'a [f64]),
}

fn optimise(cells: &Cells, start: Start<'_>, run: &Run) -> Result<Macrostates> {
    let m = cells.m;
    let (corners, simplex, min_chi) = inner_simplex(cells)?;
    let frame = Frame::of(cells, &corners);
    let turned = frame.turn(cells);
    let outer = outer_cells(&turned, &frame.here(&simplex), &corners);
    let (starts, wide) = match start {
        Start::Rotation(rotation) => (vec![frame.here(rotation)], false),
        Start::Simplices(n) => (starts(&turned.select(&outer), n), true),
    };
    let flat = || Error::shape("the Schur vectors", format!("{m} independent columns"), "fewer");
    let found = Search::new(&turned, outer, &starts, run).best(wide)?.ok_or_else(flat)?;
    // As exact as the cells themselves, which turning them was not.
    let rotation = frame.back(&found.rotation);
    let rotation = start::feasible(cells, &rotation).unwrap_or(rotation);
    let rotation = in_order(cells, &corners, &rotation);
    let mut memberships = cells.times(&rotation, m);
    for row in memberships.chunks_exact_mut(m) {
        row.iter_mut().for_each(|chi| *chi = chi.max(0.0));
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|chi| *chi /= sum);
    }
    let crispness = value(&rotation, m) / m as f64;
    Ok(Macrostates { memberships, rotation, crispness, min_chi, steps: found.steps })
}

/// Cells on the hull of the cloud: those farthest out in many directions. All if there are not many.
fn outer_cells(cells: &Cells, simplex: &[f64], corners: &[usize]) -> Vec<usize> {
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
    out.extend(corners);
    out.sort_unstable();
    out.dedup();
    out
}

/// Rotations to start from: simplices whose first corner is the farthest cell, then the corners of that
/// simplex in turn, then cells spread over the list, halving its gaps. More starts begin with the same ones.
fn starts(cells: &Cells, n_starts: usize) -> Vec<Vec<f64>> {
    let Some(corners) = start::corners(cells, None) else { return vec![] };
    let n = cells.len();
    // The bits of k, mirrored: 1/2, 1/4, 3/4, 1/8, ...
    let spread = (1..=n_starts as u32).map(|k| (k.reverse_bits() as usize * n) >> 32);
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
