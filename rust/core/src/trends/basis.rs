//! B-spline bases on equally spaced knots, and the cells of one lineage laid out on one.

use std::ops::Range;

use crate::error::{Error, Result};

/// B-splines on equally spaced knots (Eilers & Marx, *Statist. Sci.* 11 (1996), section 2).
///
/// `n_splines` functions of degree `order` over `n_splines - order` intervals of equal length between the
/// edges; the knots go on beyond them in the same steps. Between the edges the functions sum to 1; beyond,
/// each continues along its tangent, so that a fit is a straight line there.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    n_splines: usize,
    order: usize,
    low: f64,
    high: f64,
}

/// The largest number of functions; a trend with more is not smooth, and takes memory of its square.
pub const MAX_SPLINES: usize = 1000;
/// The largest degree.
pub const MAX_ORDER: usize = 12;

impl Basis {
    /// A basis between two edges.
    ///
    /// # Errors
    /// [`Error::Parameter`] when `order` is above [`MAX_ORDER`], `n_splines` is not in
    /// `order + 1..=MAX_SPLINES`, or the edges are not finite and in increasing order.
    pub fn new(n_splines: usize, order: usize, low: f64, high: f64) -> Result<Self> {
        if order > MAX_ORDER {
            return Err(Error::parameter("spline_order", format!("at most {MAX_ORDER}"), order));
        }
        if n_splines <= order || n_splines > MAX_SPLINES {
            let expected = format!("from `spline_order` + 1 = {} to {MAX_SPLINES}", order + 1);
            return Err(Error::parameter("n_knots", expected, n_splines));
        }
        if !(low.is_finite() && high.is_finite() && low < high && (high - low).is_finite()) {
            return Err(Error::parameter(
                "edge_knots",
                "two finite numbers, the lower first",
                format!("({low}, {high})"),
            ));
        }
        Ok(Self { n_splines, order, low, high })
    }

    /// Number of functions.
    #[must_use]
    pub fn n_splines(&self) -> usize {
        self.n_splines
    }

    /// Degree of the pieces; `order + 1` functions are not zero at a point.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// All functions at each `x`, `(x.len(), n_splines)`; a NaN gives NaN.
    #[must_use]
    pub fn matrix(&self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; x.len() * self.n_splines];
        let mut values = vec![0.0; self.order + 1];
        for (row, &x) in out.chunks_exact_mut(self.n_splines).zip(x) {
            let first = self.at(x, &mut values);
            row[first..=first + self.order].copy_from_slice(&values);
        }
        out
    }

    /// Writes the functions that are not zero at `x` to `values[..=order]`; returns the first of them.
    ///
    /// The recursion of Cox and de Boor (de Boor, *A Practical Guide to Splines*, chapter X), in units of
    /// the distance between knots.
    pub fn at(&self, x: f64, values: &mut [f64]) -> usize {
        let n_intervals = self.n_splines - self.order;
        let t = (x - self.low) / (self.high - self.low) * n_intervals as f64;
        let inside = t.clamp(0.0, n_intervals as f64);
        let interval = (inside as usize).min(n_intervals - 1);
        let u = inside - interval as f64;
        if t == inside || self.order == 0 {
            raise(u, 0, self.order, values);
            return interval;
        }
        // Beyond an edge: value and slope there. d/dt B^p_j = B^(p-1)_j - B^(p-1)_(j+1) for unit steps.
        let mut lower = [0.0; MAX_ORDER + 1];
        raise(u, 0, self.order - 1, &mut lower);
        values.copy_from_slice(&lower[..=self.order]);
        raise(u, self.order - 1, self.order, values);
        for j in 0..=self.order {
            let left = if j > 0 { lower[j - 1] } else { 0.0 };
            let right = if j < self.order { lower[j] } else { 0.0 };
            values[j] += (left - right) * (t - inside);
        }
        interval
    }
}

/// Raises the degree of the functions at offset `u` in its interval from `from` to `to`; `from` 0 begins anew.
fn raise(u: f64, from: usize, to: usize, values: &mut [f64]) {
    if from == 0 {
        values[0] = 1.0;
    }
    for p in from + 1..=to {
        // B^p_j(u) = ((u + p - j) B^(p-1)_(j-1) + (j + 1 - u) B^(p-1)_j) / p, with j counted in the interval
        values[p] = 0.0;
        for j in (0..=p).rev() {
            let left = if j > 0 { (u + (p - j) as f64) * values[j - 1] } else { 0.0 };
            values[j] = (left + ((j + 1) as f64 - u) * values[j]) / p as f64;
        }
    }
}

/// Cells of one lineage on a basis: everything that does not depend on a gene.
#[derive(Debug, Clone)]
pub struct Design {
    pub(crate) basis: Basis,
    /// Where each cell used is among those given; cells of one interval lie together.
    pub(crate) cells: Vec<usize>,
    /// Prior weights of these, all positive.
    pub(crate) weights: Vec<f64>,
    /// `values[t][i]`: the `t`-th function that is not zero at cell `i`.
    pub(crate) values: Vec<Vec<f64>>,
    /// First function that is not zero, and the cells for which that is so.
    pub(crate) segments: Vec<(usize, Range<usize>)>,
}

impl Design {
    /// Lays out cells at `x` with weights `w`; cells of weight 0 say nothing and are left out.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` and `w` differ in length or fewer cells have weight than there are
    /// functions, [`Error::NotFinite`] with the position of a cell, [`Error::Parameter`] for negative
    /// weights or when no cell has any.
    pub fn new(basis: Basis, x: &[f64], w: &[f64]) -> Result<Self> {
        if x.len() != w.len() {
            return Err(Error::shape("the weights", format!("{} values, one per cell", x.len()), w.len()));
        }
        for (what, values) in [("`x`", x), ("`w`", w)] {
            if let Some(row) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::NotFinite { what: what.into(), row });
            }
        }
        if let Some(&bad) = w.iter().find(|&&w| w < 0.0) {
            return Err(Error::parameter("w", "at least 0 for every cell", bad));
        }
        if w.iter().all(|&w| w == 0.0) {
            return Err(Error::parameter("w", "positive for some cell", "only zeros"));
        }
        let mut row = [0.0; MAX_ORDER + 1];
        let row = &mut row[..=basis.order];
        let used = (0..x.len()).filter(|&i| w[i] > 0.0);
        let mut cells: Vec<(usize, usize)> = used.map(|i| (basis.at(x[i], row), i)).collect();
        if cells.len() < basis.n_splines {
            let expected = format!("at least as many with weight as basis functions, {}", basis.n_splines);
            return Err(Error::shape("the cells", expected, cells.len()));
        }
        cells.sort_unstable();
        let mut values = vec![Vec::with_capacity(cells.len()); basis.order + 1];
        let mut segments: Vec<(usize, Range<usize>)> = Vec::new();
        for (at, &(first, i)) in cells.iter().enumerate() {
            basis.at(x[i], row);
            values.iter_mut().zip(row.iter()).for_each(|(all, &value)| all.push(value));
            match segments.last_mut() {
                Some((f, range)) if *f == first => range.end = at + 1,
                _ => segments.push((first, at..at + 1)),
            }
        }
        let cells: Vec<usize> = cells.into_iter().map(|(_, i)| i).collect();
        let weights = cells.iter().map(|&i| w[i]).collect();
        Ok(Self { basis, cells, weights, values, segments })
    }

    /// Number of cells with weight.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// Kish's effective number of cells, `(sum w)^2 / sum w^2`; the number itself for equal weights.
    #[must_use]
    pub fn effective_cells(&self) -> f64 {
        let (sum, squares) = self.weight_sums();
        sum * sum / squares
    }

    /// `(sum w, sum w^2)`
    pub(crate) fn weight_sums(&self) -> (f64, f64) {
        self.weights.iter().fold((0.0, 0.0), |(sum, squares), &w| (sum + w, squares + w * w))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(basis: &Basis, x: f64) -> Vec<f64> {
        basis.matrix(&[x])
    }

    #[test]
    fn hats_and_cubics_at_a_knot() {
        let hats = Basis::new(3, 1, 0.0, 2.0).unwrap();
        assert_eq!(dense(&hats, 0.25), [0.75, 0.25, 0.0]);
        assert_eq!(dense(&hats, 2.0), [0.0, 0.0, 1.0]);
        // a uniform cubic has 1/6, 4/6, 1/6 at its knots
        let cubics = Basis::new(5, 3, 0.0, 2.0).unwrap();
        for (found, expected) in dense(&cubics, 1.0).iter().zip([0.0, 1.0, 4.0, 1.0, 0.0]) {
            assert!((found - expected / 6.0).abs() < 1e-15);
        }
    }

    #[test]
    fn beyond_the_edges_functions_follow_their_tangent_and_still_sum_to_one() {
        for order in 1..=5 {
            let basis = Basis::new(order + 4, order, -1.0, 3.0).unwrap();
            for (edge, away) in [(-1.0, -1.0), (3.0, 1.0)] {
                let h = 1e-6;
                let (at, near, far) =
                    (dense(&basis, edge), dense(&basis, edge - h * away), dense(&basis, edge + 2.0 * away));
                assert!((far.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                for j in 0..basis.n_splines() {
                    let slope = (at[j] - near[j]) / h;
                    assert!((far[j] - at[j] - 2.0 * slope).abs() < 1e-5, "order {order}");
                }
            }
        }
    }

    #[test]
    fn cells_without_weight_are_left_out_and_too_few_are_refused() {
        let basis = Basis::new(3, 1, 0.0, 1.0).unwrap();
        let design = Design::new(basis.clone(), &[0.9, 0.1, 0.4, 0.2], &[1.0, 2.0, 1.0, 0.0]).unwrap();
        assert_eq!(design.cells, [1, 2, 0]);
        assert_eq!(design.segments, [(0, 0..2), (1, 2..3)]);
        assert!((design.effective_cells() - 16.0 / 6.0).abs() < 1e-15);
        let w = |n: usize| (0..4).map(|i| f64::from(i < n)).collect::<Vec<_>>();
        assert!(Design::new(basis.clone(), &[0.0, 0.1, 0.2, 0.3], &w(3)).is_ok());
        assert!(matches!(Design::new(basis.clone(), &[0.0, 0.1, 0.2, 0.3], &w(2)), Err(Error::Shape { .. })));
        assert!(matches!(Design::new(basis, &[0.0, 0.1, 0.2, 0.3], &w(0)), Err(Error::Parameter { .. })));
    }
}
