//! Where the search for memberships starts: cells that lie at the corners of the cloud.
//!
//! The inner simplex algorithm (Weber & Galliat 2002, *Characterization of transition states in
//! conformational dynamics using fuzzy sets*; Deuflhard & Weber 2005) takes the cell farthest out, then
//! again and again the one farthest from the plane through those taken.

use super::cells::Cells;
use crate::spectral::dense::Mat;

/// Squares that differ by a smaller part are equal but for round-off; the first of such cells is taken.
const TIE: f64 = 1e-11;

/// One cell for each corner, the cell of `first` at the first if given; `None` if the cloud is flat.
pub(super) fn corners(cells: &Cells, first: Option<usize>) -> Option<Vec<usize>> {
    let (n, m) = (cells.len(), cells.m);
    let farthest = |x: &[f64]| {
        let mut best = (0.0, 0);
        for (l, row) in x.chunks_exact(m).enumerate() {
            let square: f64 = row.iter().map(|x| x * x).sum();
            if square > best.0 * (1.0 + TIE) {
                best = (square, l);
            }
        }
        best
    };
    let origin = first.unwrap_or_else(|| farthest(&cells.x).1);
    let mut x = cells.x.clone();
    let shift = cells.row(origin);
    x.chunks_exact_mut(m).for_each(|row| row.iter_mut().zip(shift).for_each(|(x, s)| *x -= s));
    let scale = farthest(&x).0;
    let mut out = vec![origin];
    while out.len() < m.min(n) {
        let (square, l) = farthest(&x);
        if square <= 1e-24 * scale || square == 0.0 {
            return None;
        }
        out.push(l);
        let length = square.sqrt();
        let axis: Vec<f64> = x[l * m..(l + 1) * m].iter().map(|x| x / length).collect();
        for row in x.chunks_exact_mut(m) {
            let dot: f64 = row.iter().zip(&axis).map(|(x, a)| x * a).sum();
            row.iter_mut().zip(&axis).for_each(|(x, a)| *x -= dot * a);
        }
    }
    (out.len() == m).then_some(out)
}

/// The rotation that gives each of the cells a membership of 1 in its own column, row after row.
pub(super) fn rotation(cells: &Cells, corners: &[usize]) -> Option<Vec<f64>> {
    let m = cells.m;
    let at = Mat::from_fn(m, m, |i, j| cells.row(corners[i])[j]);
    at.solve(&Mat::identity(m)).map(|a| a.row_major())
}

/// Turns a rotation into the feasible one closest in kind (Roeblitz & Weber 2013, section 3.3): rows of
/// memberships sum to 1 and each column is 0 for some cell and positive for the others.
///
/// Returns `None` where that is impossible: a column that is constant.
pub(super) fn feasible(cells: &Cells, rotation: &[f64]) -> Option<Vec<f64>> {
    let m = cells.m;
    let mut a = rotation.to_vec();
    a[..m].fill(0.0);
    for row in a.chunks_exact_mut(m).skip(1) {
        row[0] = -row[1..].iter().sum::<f64>();
    }
    for (j, (min, _)) in cells.minima(&a, m).into_iter().enumerate() {
        a[j] = -min;
    }
    let sum: f64 = a[..m].iter().sum();
    if !(sum.is_finite() && sum > 0.0 && a[..m].iter().all(|&a| a > 0.0)) {
        return None;
    }
    a.iter_mut().for_each(|a| *a /= sum);
    Some(a)
}
