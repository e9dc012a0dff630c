//! What one state can look like: the polytope of all memberships that are nowhere negative, one at a time.
//!
//! A column `chi_j = X A_j` with mean weight `w_j = A_0j` is `w_j (1 + x_l y)` for cell `x_l`, so the points
//! `y` with `1 + x_l y >= 0` for all cells are all shapes that a membership can have: the polar of the hull
//! of the cloud. Its corners belong to the facets of the hull, its dimension is the number of states less
//! one, and only cells on the hull bound it.

use super::cells::{Cells, Coordinates};
use crate::spectral::dense::Mat;

/// Bounds are moved outwards by about this much, each by another amount, so that no more of them meet in
/// one corner than it takes.
const PERTURBATION: f64 = 1e-11;

/// A corner of the polytope.
#[derive(Debug, Clone)]
pub(super) struct Corner {
    /// `(1, y)`.
    pub(super) point: Vec<f64>,
    /// The cells with membership 0 that hold it in place, in increasing order.
    pub(super) zeros: Vec<u32>,
}

/// The polytope of the shapes, bounded by the cells given.
#[derive(Debug)]
pub(super) struct Polar {
    pub(super) cells: Cells,
    coordinates: Coordinates,
    /// Places of the cells among all.
    ids: Vec<u32>,
    margins: Vec<f64>,
}

impl Polar {
    /// Bounded by the cells `ids` of `all`.
    pub(super) fn new(all: &Cells, ids: &[usize]) -> Self {
        let ids: Vec<u32> = ids.iter().map(|&l| l as u32).collect();
        let margins = ids.iter().map(|&l| margin(l)).collect();
        let cells = all.select(&ids.iter().map(|&l| l as usize).collect::<Vec<_>>());
        let coordinates = Coordinates::of(&cells);
        Self { cells, coordinates, ids, margins }
    }

    /// Multiplications that [`Polar::neighbours`] takes.
    pub(super) fn work(&self) -> usize {
        (self.cells.len() + 8 * self.cells.m) * self.cells.m * self.cells.m
    }

    /// What a point is for each of the cells.
    pub(super) fn values(&self, point: &[f64]) -> Vec<f64> {
        self.coordinates.times(point)
    }

    fn place(&self, cell: u32) -> Option<usize> {
        self.ids.binary_search(&cell).ok()
    }

    /// The corners at the other ends of the edges that leave `corner`.
    pub(super) fn neighbours(&self, corner: &Corner) -> Vec<Corner> {
        let m = self.cells.m;
        let k = m - 1;
        let Some(held) = corner.zeros.iter().map(|&l| self.place(l)).collect::<Option<Vec<_>>>() else {
            return vec![];
        };
        let rows = Mat::from_fn(k, k, |i, j| self.cells.row(held[i])[j + 1]);
        let Some(edges) = rows.inverse() else { return vec![] };
        // The corner itself in column 0, then one edge after another, then nothing up to whole registers.
        let width = m.next_multiple_of(8);
        let mut lines = vec![0.0; m * width];
        (0..m).for_each(|i| lines[i * width] = corner.point[i]);
        let mut slow = vec![0.0; width];
        for c in 1..m {
            let edge = edges.col(c - 1);
            slow[c] = 1e-10 * edge.iter().map(|d| d * d).sum::<f64>().sqrt();
            (1..m).for_each(|i| lines[i * width + c] = edge[i - 1]);
        }
        let values = self.cells.times(&lines, width);
        let mut best = vec![(f64::INFINITY, usize::MAX); width];
        for (l, row) in values.chunks_exact(width).enumerate() {
            let room = row[0] + self.margins[l];
            for ((best, &slope), &slow) in best.iter_mut().zip(row).zip(&slow).skip(1) {
                // Divides only where it counts.
                if slope < -slow && room < best.0 * -slope && !held.contains(&l) {
                    *best = (room.max(0.0) / -slope, l);
                }
            }
        }
        let mut out = vec![];
        for c in 1..m {
            let (at, l) = best[c];
            if l == usize::MAX {
                continue;
            }
            let mut point = corner.point.clone();
            point[1..].iter_mut().zip(edges.col(c - 1)).for_each(|(y, d)| *y += at * d);
            let mut zeros = corner.zeros.clone();
            zeros[c - 1] = self.ids[l];
            zeros.sort_unstable();
            out.push(Corner { point, zeros });
        }
        out
    }

    /// A corner reached from `point`, `(1, y)`, by going as far as `pull - 2 y` does not rise, again and again
    /// within the bounds reached: upwards for `|y|^2 - pull y`, which is convex.
    pub(super) fn corner_from(&self, point: &[f64], pull: &[f64]) -> Option<Corner> {
        let m = self.cells.m;
        let mut point = point.to_vec();
        let mut axes: Vec<Vec<f64>> = vec![];
        let mut held: Vec<usize> = vec![];
        while held.len() < m - 1 {
            let slope: Vec<f64> = point[1..].iter().zip(pull).map(|(y, p)| 2.0 * y - p).collect();
            let size = norm(&slope);
            let mut direction = within(&slope, &axes);
            if norm(&direction) <= 1e-9 * size || size == 0.0 {
                direction = (0..m - 1)
                    .map(|i| {
                        within(&(0..m - 1).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>(), &axes)
                    })
                    .fold(vec![], |best, d| if norm(&d) > norm(&best) { d } else { best });
            }
            let length = norm(&direction);
            let mut line = vec![0.0; m];
            (1..m).for_each(|i| line[i] = direction[i - 1] / length);
            let mut best = (f64::INFINITY, usize::MAX);
            let (values, slopes) = (self.values(&point), self.values(&line));
            for (l, (value, slope)) in values.into_iter().zip(slopes).enumerate() {
                let room = (value + self.margins[l]).max(0.0);
                if slope < -1e-10 && room < best.0 * -slope && !held.contains(&l) {
                    best = (room / -slope, l);
                }
            }
            let (at, l) = best;
            if l == usize::MAX {
                return None;
            }
            (1..m).for_each(|i| point[i] += at * line[i]);
            held.push(l);
            axes.push(next_axis(&self.cells.row(l)[1..], &axes));
        }
        held.sort_unstable();
        let rows = Mat::from_fn(m - 1, m - 1, |i, j| self.cells.row(held[i])[j + 1]);
        let bounds = Mat::from_fn(m - 1, 1, |i, _| -1.0 - self.margins[held[i]]);
        let y = rows.solve(&bounds)?;
        point[1..].copy_from_slice(y.col(0));
        point
            .iter()
            .all(|y| y.is_finite())
            .then(|| Corner { point, zeros: held.iter().map(|&l| self.ids[l]).collect() })
    }

    /// The point of a corner whose bounds are not moved.
    pub(super) fn exact(&self, corner: &Corner) -> Option<Vec<f64>> {
        let held = corner.zeros.iter().map(|&l| self.place(l)).collect::<Option<Vec<_>>>()?;
        let k = held.len();
        let rows = Mat::from_fn(k, k, |i, j| self.cells.row(held[i])[j + 1]);
        let y = rows.solve(&Mat::from_fn(k, 1, |_, _| -1.0))?;
        Some(std::iter::once(1.0).chain(y.col(0).iter().copied()).collect())
    }

    /// Whether the bounds of these cells let a corner be.
    pub(super) fn admits(&self, corner: &Corner, cells: &[usize]) -> bool {
        cells.iter().all(|&l| {
            let Some(place) = self.place(l as u32) else { return true };
            let value: f64 = self.cells.row(place).iter().zip(&corner.point).map(|(x, y)| x * y).sum();
            value >= -self.margins[place] - 1e-10 || corner.zeros.contains(&(l as u32))
        })
    }
}

/// The direction in which `x` leaves the space of orthonormal `axes`; taken twice, for `x` that nearly lie in it.
pub(super) fn next_axis(x: &[f64], axes: &[Vec<f64>]) -> Vec<f64> {
    let axis = within(&within(x, axes), axes);
    let length = norm(&axis);
    axis.iter().map(|x| x / length).collect()
}

/// The part of `x` that is perpendicular to all of `axes`.
fn within(x: &[f64], axes: &[Vec<f64>]) -> Vec<f64> {
    let mut out = x.to_vec();
    for axis in axes {
        let dot: f64 = out.iter().zip(axis).map(|(x, a)| x * a).sum();
        out.iter_mut().zip(axis).for_each(|(x, a)| *x -= dot * a);
    }
    out
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// How far below 0 the bound of a cell lies: an arbitrary but fixed number for each.
fn margin(cell: u32) -> f64 {
    let mixed = u64::from(cell).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    PERTURBATION * (1.0 + (mixed >> 11) as f64 / (1_u64 << 53) as f64)
}
