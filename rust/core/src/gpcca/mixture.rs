//! Which corners make up the states: a linear program with one row per state.
//!
//! Memberships `w_j (1 + x_l y_j)` sum to 1 where weights `w_j` sum to 1 and `sum_j w_j y_j = 0`, and `m`
//! times their crispness (Roeblitz & Weber 2013, section 3.3) is `sum_j w_j (1 + |y_j|^2)`. So the crispest
//! memberships are the solution of a linear program over weights of shapes. A basic solution has no more
//! than `m` of them, whatever the number of shapes there is to choose from; and as the square is convex,
//! corners of [`super::polar`] are all shapes it takes. New corners enter as columns do in the simplex method
//! with column generation (Dantzig & Wolfe 1960).

use crate::spectral::dense::Mat;

/// `m` points `(1, y)` and their weights.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    pub(super) points: Vec<Vec<f64>>,
    /// Which of the pool each point is; `None` for those that the search began with.
    pub(super) ids: Vec<Option<usize>>,
    pub(super) weights: Vec<f64>,
    inverse: Mat,
    prices: Vec<f64>,
}

/// Where a pivot leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pivot {
    pub(super) enters: usize,
    pub(super) leaves: usize,
    /// Weight of what enters.
    pub(super) at: f64,
    pub(super) gain: f64,
}

fn square(point: &[f64]) -> f64 {
    point.iter().map(|y| y * y).sum()
}

impl Mixture {
    /// The columns of a feasible rotation; `None` if they are dependent.
    pub(super) fn of_rotation(a: &[f64], m: usize) -> Option<Self> {
        let points = (0..m).map(|j| (0..m).map(|i| a[i * m + j] / a[j]).collect()).collect();
        Self::new(points, vec![None; m])
    }

    pub(super) fn new(points: Vec<Vec<f64>>, ids: Vec<Option<usize>>) -> Option<Self> {
        let m = points.len();
        let inverse = Mat::from_fn(m, m, |i, j| points[j][i]).inverse()?;
        let weights = inverse.col(0).to_vec();
        let prices: Vec<f64> =
            (0..m).map(|i| inverse.col(i).iter().zip(&points).map(|(b, p)| b * square(p)).sum()).collect();
        let finite = weights.iter().chain(&prices).all(|x| x.is_finite());
        finite.then_some(Self { points, ids, weights, inverse, prices })
    }

    /// `m` times the crispness.
    pub(super) fn value(&self) -> f64 {
        self.prices[0]
    }

    /// What `|y|^2` is held against: the slope of the prices.
    pub(super) fn pull(&self) -> &[f64] {
        &self.prices[1..]
    }

    /// What a point adds to the value per weight; 0 for those of the mixture.
    pub(super) fn profit(&self, point: &[f64]) -> f64 {
        point.iter().zip(&self.prices).map(|(y, price)| y * (y - price)).sum()
    }

    /// How fast the weights fall as a point enters.
    pub(super) fn falls(&self, point: &[f64]) -> Vec<f64> {
        let mut falls = vec![0.0; self.points.len()];
        for (i, y) in point.iter().enumerate() {
            falls.iter_mut().zip(self.inverse.col(i)).for_each(|(f, b)| *f += b * y);
        }
        falls
    }

    /// Turns points, one per row, into the rates at which weights fall as they enter.
    pub(super) fn rates(&self) -> Vec<f64> {
        (0..self.points.len()).flat_map(|i| self.inverse.col(i)).copied().collect()
    }

    /// The pivot by which a point of the pool enters, given how weights fall.
    pub(super) fn pivot(&self, enters: usize, point: &[f64], falls: &[f64]) -> Option<Pivot> {
        let mut best = (f64::INFINITY, usize::MAX);
        for (j, (&fall, &weight)) in falls.iter().zip(&self.weights).enumerate() {
            if fall > 1e-11 && weight.max(0.0) < best.0 * fall {
                best = (weight.max(0.0) / fall, j);
            }
        }
        let (at, leaves) = best;
        (leaves != usize::MAX).then(|| Pivot { enters, leaves, at, gain: at * self.profit(point) })
    }

    /// The weights after the pivot.
    pub(super) fn weights_after(&self, pivot: Pivot, point: &[f64]) -> Vec<f64> {
        let falls = self.falls(point);
        let mut out: Vec<f64> = self.weights.iter().zip(falls).map(|(w, f)| w - pivot.at * f).collect();
        out[pivot.leaves] = pivot.at;
        out
    }

    /// After the pivot; `None` if its points are dependent or it gains nothing.
    pub(super) fn after(&self, pivot: Pivot, point: &[f64], gain: f64) -> Option<Self> {
        let (mut points, mut ids) = (self.points.clone(), self.ids.clone());
        points[pivot.leaves] = point.to_vec();
        ids[pivot.leaves] = Some(pivot.enters);
        let out = Self::new(points, ids)?;
        let feasible = out.weights.iter().all(|&w| w > -1e-9);
        (feasible && out.value() - self.value() > gain * self.value()).then_some(out)
    }

    /// The rotation, row after row.
    pub(super) fn rotation(&self) -> Vec<f64> {
        let m = self.points.len();
        (0..m * m).map(|k| self.weights[k % m].max(0.0) * self.points[k % m][k / m]).collect()
    }
}
