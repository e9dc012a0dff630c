//! Corners known so far, and which states of a mixture are the most likely ones where they peak.

use std::collections::HashSet;

use super::cells::Cells;
use super::mixture::{Mixture, Pivot};
use super::polar::{Corner, Polar};

/// Corners known so far.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) polar: Polar,
    pub(super) corners: Vec<Corner>,
    /// Their points.
    pub(super) points: Cells,
    known: HashSet<Vec<u32>>,
    /// Whether the neighbours of a corner are known.
    pub(super) expanded: Vec<bool>,
    /// The cell at which a corner is largest, once somebody asked.
    peaks: Vec<Option<usize>>,
    /// Multiplications so far, roughly.
    pub(super) work: usize,
}

impl Pool {
    pub(super) fn new(polar: Polar) -> Self {
        let points = Cells::empty(polar.cells.m);
        Self {
            polar,
            corners: vec![],
            points,
            known: HashSet::new(),
            expanded: vec![],
            peaks: vec![],
            work: 0,
        }
    }

    fn add(&mut self, corner: Corner) {
        if self.known.insert(corner.zeros.clone()) {
            self.points.x.extend(&corner.point);
            self.corners.push(corner);
            self.expanded.push(false);
            self.peaks.push(None);
        }
    }

    pub(super) fn expand(&mut self, id: usize) {
        if !self.expanded[id] {
            self.expanded[id] = true;
            self.work += self.polar.work();
            let found = self.polar.neighbours(&self.corners[id]);
            found.into_iter().for_each(|corner| self.add(corner));
        }
    }

    /// The cell that is largest in a point of the pool, or in another.
    fn peak(&mut self, id: Option<usize>, point: &[f64]) -> usize {
        if let Some(peak) = id.and_then(|id| self.peaks[id]) {
            return peak;
        }
        self.work += self.polar.cells.x.len();
        let peak = peak(&self.polar.values(point));
        if let Some(id) = id {
            self.peaks[id] = Some(peak);
        }
        peak
    }

    /// What the points of a mixture are at the peak of each.
    pub(super) fn at_peaks(&mut self, mixture: &Mixture) -> Vec<f64> {
        let m = mixture.points.len();
        let mut out = Vec::with_capacity(m * m);
        for (point, &id) in mixture.points.iter().zip(&mixture.ids) {
            let peak = self.peak(id, point);
            out.extend(mixture.points.iter().map(|other| dot(self.polar.cells.row(peak), other)));
        }
        out
    }

    /// States whose peaks are held after a pivot.
    pub(super) fn held_after(&mut self, mixture: &Mixture, at_peaks: &[f64], pivot: Pivot) -> usize {
        let m = mixture.points.len();
        self.work += 4 * m * m;
        let q = pivot.leaves;
        let point = self.corners[pivot.enters].point.clone();
        let peak = self.peak(Some(pivot.enters), &point);
        let weights = mixture.weights_after(pivot, &point);
        let mut values = at_peaks.to_vec();
        for j in 0..m {
            let id = mixture.ids[j];
            let other = self.peak(id, &mixture.points[j]);
            values[j * m + q] = dot(self.polar.cells.row(other), &point);
            values[q * m + j] = dot(self.polar.cells.row(peak), &mixture.points[j]);
        }
        values[q * m + q] = dot(self.polar.cells.row(peak), &point);
        held(&values, &weights)
    }

    /// The corners above the points of a mixture.
    pub(super) fn seed(&mut self, mixture: &Mixture) {
        for point in &mixture.points {
            self.work += 2 * self.polar.work();
            if let Some(corner) = self.polar.corner_from(point, mixture.pull()) {
                self.add(corner);
            }
        }
    }

    /// Makes the corners around the mixture known; `false` if they all are.
    pub(super) fn look_around(&mut self, mixture: &Mixture) -> bool {
        let before = self.corners.len();
        for (point, id) in mixture.points.iter().zip(&mixture.ids) {
            match *id {
                Some(id) => self.expand(id),
                None => {
                    if let Some(corner) = self.polar.corner_from(point, mixture.pull()) {
                        self.add(corner);
                    }
                }
            }
        }
        self.corners.len() > before
    }

    /// With more cells that bound the polytope, and without the corners that they cut off.
    pub(super) fn bounded_by(self, all: &Cells, ids: &[usize], added: &[usize]) -> Self {
        let mut out = Self::new(Polar::new(all, ids));
        out.work = self.work;
        for corner in self.corners {
            if out.polar.admits(&corner, added) {
                out.add(corner);
            }
        }
        out
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The first place of the largest value.
fn peak(values: &[f64]) -> usize {
    values.iter().enumerate().fold(0, |best, (l, value)| if *value > values[best] { l } else { best })
}

/// Number of states that are the most likely ones where they are most likely: `values` are the shapes of all
/// at the peak of each, one row per peak.
pub(super) fn held(values: &[f64], weights: &[f64]) -> usize {
    let m = weights.len();
    let holds = |j: usize| {
        let row = &values[j * m..(j + 1) * m];
        (0..m).all(|k| k == j || weights[k] * row[k] < weights[j] * row[j])
    };
    (0..m).filter(|&j| holds(j)).count()
}
