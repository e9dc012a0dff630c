//! Symmetric systems with one row per spline: too small for a library call to pay.

/// The lower triangle `L` with `L L^T = A`, rows one after another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cholesky {
    n: usize,
    l: Vec<f64>,
}

impl Cholesky {
    /// Factorises `a`, `(n, n)`, of which the lower triangle is read; `None` if it is not positive definite
    /// to rounding.
    pub(crate) fn new(n: usize, a: &[f64]) -> Option<Self> {
        let mut l = a.to_vec();
        for i in 0..n {
            for j in 0..=i {
                let (upper, lower) = l.split_at_mut(i * n);
                let row_j = if j == i { &lower[..j] } else { &upper[j * n..j * n + j] };
                let sum: f64 = lower[..j].iter().zip(row_j).map(|(a, b)| a * b).sum();
                let rest = a[i * n + j] - sum;
                if j < i {
                    lower[j] = rest / upper[j * n + j];
                } else if rest > a[i * n + i].abs() * 1e-14 {
                    lower[i] = rest.sqrt();
                } else {
                    return None; // also for NaN
                }
            }
        }
        Some(Self { n, l })
    }

    /// Replaces `b` by the solution of `A x = b`.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        let (n, l) = (self.n, &self.l);
        for i in 0..n {
            let sum: f64 = l[i * n..i * n + i].iter().zip(&b[..i]).map(|(l, x)| l * x).sum();
            b[i] = (b[i] - sum) / l[i * n + i];
        }
        for i in (0..n).rev() {
            b[i] /= l[i * n + i];
            let x = b[i];
            b[..i].iter_mut().zip(&l[i * n..i * n + i]).for_each(|(b, l)| *b -= l * x);
        }
    }

    /// The inverse of `A`, `(n, n)`.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        let mut out = vec![0.0; n * n];
        for (j, column) in out.chunks_exact_mut(n).enumerate() {
            column[j] = 1.0;
            self.solve(column);
        }
        out
    }

    /// `log det A`
    pub(crate) fn log_det(&self) -> f64 {
        (0..self.n).map(|i| 2.0 * self.l[i * self.n + i].ln()).sum()
    }
}

/// `x^T A y` for a full symmetric `a`.
pub(crate) fn form(a: &[f64], x: &[f64], y: &[f64]) -> f64 {
    a.chunks_exact(y.len()).zip(x).map(|(row, x)| x * dot(row, y)).sum()
}

/// `sum_i x_i y_i`
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_by_two_by_hand() {
        // [[4, 2], [2, 5]] = [[2, 0], [1, 2]] [[2, 1], [0, 2]]
        let factor = Cholesky::new(2, &[4.0, 9.9, 2.0, 5.0]).unwrap();
        let mut b = [8.0, 12.0];
        factor.solve(&mut b);
        assert_eq!(b, [1.0, 2.0]);
        assert!((factor.log_det() - 16.0_f64.ln()).abs() < 1e-15);
        assert_eq!(factor.inverse(), [5.0 / 16.0, -2.0 / 16.0, -2.0 / 16.0, 4.0 / 16.0]);
        assert_eq!(form(&[4.0, 2.0, 2.0, 5.0], &[1.0, 2.0], &[3.0, 1.0]), 12.0 + 2.0 + 12.0 + 10.0);
        assert!(Cholesky::new(2, &[1.0, 1.0, 1.0, 1.0]).is_none());
    }
}
