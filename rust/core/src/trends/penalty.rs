//! What keeps a trend smooth.

use crate::error::{Error, Result};

/// Weights of the two penalties, relative to the smoothing parameter `lam`.
///
/// The linear predictor is `b + sum_j c_j B_j(x)` with the penalty
/// `lam (derivative |D c|^2 + ridge |c|^2)`, where `D` takes second differences (Eilers & Marx,
/// *Statist. Sci.* 11 (1996), equation 8). Splines sum to 1, so `b` is no column of its own: with
/// `gamma_j = c_j + b`, the best `b` is the mean of `gamma` and the ridge holds the coefficients to that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// Weight of the squared second differences, at least 0.
    pub derivative: f64,
    /// Weight of the squared coefficients, at least 0.
    pub ridge: f64,
    /// Whether there is an intercept `b`, on which there is no penalty.
    pub intercept: bool,
}

impl Default for Penalty {
    /// Both with weight 1, and an intercept.
    fn default() -> Self {
        Self { derivative: 1.0, ridge: 1.0, intercept: true }
    }
}

impl Penalty {
    /// The matrix `S` of `gamma^T S gamma` for `lam` 1, `(n, n)`.
    ///
    /// # Errors
    /// [`Error::Parameter`] when a weight is negative or not finite.
    pub fn matrix(&self, n: usize) -> Result<Vec<f64>> {
        for weight in [self.derivative, self.ridge] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::parameter("penalties", "weights of at least 0", weight));
            }
        }
        let mut s = vec![0.0; n * n];
        for i in 0..n.saturating_sub(2) {
            let difference = [1.0, -2.0, 1.0];
            for (a, da) in difference.iter().enumerate() {
                for (b, db) in difference.iter().enumerate() {
                    s[(i + a) * n + i + b] += self.derivative * da * db;
                }
            }
        }
        let mean = if self.intercept { 1.0 / n as f64 } else { 0.0 };
        for i in 0..n {
            for j in 0..n {
                s[i * n + j] += self.ridge * (f64::from(i == j) - mean);
            }
        }
        Ok(s)
    }

    /// Rank of the matrix: `n` less the dimension of what is not penalised at all.
    #[must_use]
    pub fn rank(&self, n: usize) -> usize {
        if self.ridge > 0.0 {
            n - usize::from(self.intercept)
        } else if self.derivative > 0.0 {
            n.saturating_sub(2)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_coefficients_by_hand() {
        let s = Penalty { ridge: 0.0, ..Penalty::default() }.matrix(4).unwrap();
        #[rustfmt::skip]
        let expected = [
            1.0, -2.0, 1.0, 0.0,
            -2.0, 5.0, -4.0, 1.0,
            1.0, -4.0, 5.0, -2.0,
            0.0, 1.0, -2.0, 1.0,
        ];
        assert_eq!(s, expected);
        let ridge = Penalty { derivative: 0.0, ..Penalty::default() };
        let s = ridge.matrix(4).unwrap();
        // 1 - 1/4 on the diagonal: the sum of squares around the mean
        assert_eq!(s[..4], [0.75, -0.25, -0.25, -0.25]);
        assert_eq!((ridge.rank(4), Penalty::default().rank(4)), (3, 3));
        assert_eq!(Penalty { intercept: false, ..ridge }.matrix(2).unwrap(), [1.0, 0.0, 0.0, 1.0]);
        assert!(Penalty { ridge: -1.0, ..ridge }.matrix(4).is_err());
    }
}
