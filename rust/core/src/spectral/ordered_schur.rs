//! Moving eigenvalues of a real Schur form to the front.
//!
//! Neighboring blocks are exchanged by the direct method of Bai & Demmel (1993), *On swapping diagonal
//! blocks in real Schur form*.

use super::dense::Mat;
use super::real_schur::standardize;

/// Which eigenvalues come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those with the largest real part.
    LargestReal,
    /// Those with the largest magnitude.
    LargestMagnitude,
}

impl Which {
    /// What is compared.
    #[must_use]
    pub fn key(self, (re, im): (f64, f64)) -> f64 {
        match self {
            Self::LargestReal => re,
            Self::LargestMagnitude => re.hypot(im),
        }
    }
}

/// Size of the diagonal block that starts in row `i`: 2 for a complex pair, else 1.
#[must_use]
pub fn block_size(s: &Mat, i: usize) -> usize {
    1 + usize::from(i + 1 < s.n_rows() && s[(i + 1, i)] != 0.0)
}

/// Real and imaginary part of the eigenvalue at `i`, the first of its block; a pair's has the positive one.
#[must_use]
pub fn eigenvalue(s: &Mat, i: usize) -> (f64, f64) {
    if block_size(s, i) == 1 {
        return (s[(i, i)], 0.0);
    }
    (s[(i, i)], (s[(i, i + 1)].abs().sqrt()) * (s[(i + 1, i)].abs().sqrt()))
}

/// All eigenvalues in the order of the diagonal.
#[must_use]
pub fn eigenvalues(s: &Mat) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(s.n_rows());
    while out.len() < s.n_rows() {
        let (re, im) = eigenvalue(s, out.len());
        out.push((re, im));
        if im != 0.0 || block_size(s, out.len() - 1) == 2 {
            out.push((re, -im));
        }
    }
    out
}

/// Reorders the blocks from row `first` on, dominant ones to the front, `u` along with them.
///
/// Stops after `count` rows, or one more if that would split a pair. Blocks of equal rank keep their order.
/// Two blocks whose eigenvalues can not be told apart numerically stay as they are.
pub fn order(s: &mut Mat, u: &mut Mat, which: Which, first: usize, count: usize) {
    let n = s.n_rows();
    let mut front = first;
    while front < n && front - first < count {
        let mut starts = vec![];
        let mut i = front;
        while i < n {
            starts.push(i);
            i += block_size(s, i);
        }
        let key = |i: usize| which.key(eigenvalue(s, i));
        let best = (1..starts.len()).fold(0, |b, k| if key(starts[k]) > key(starts[b]) { k } else { b });
        let size = block_size(s, starts[best]);
        for k in (0..best).rev() {
            if !swap(s, u, starts[k]) {
                break;
            }
        }
        front += if block_size(s, front) == size { size } else { block_size(s, front) };
    }
}

/// Exchanges the block at `at` with the next; `false`, with nothing changed, if that would spoil the form.
pub fn swap(s: &mut Mat, u: &mut Mat, at: usize) -> bool {
    let (p, q) = (block_size(s, at), block_size(s, at + block_size(s, at)));
    let (n, width) = (s.n_rows(), p + q);
    let here = s.block(at..at + width, at..at + width);
    let Some(z) = exchange(&here, p, q) else { return false };
    let rotated = z.transpose().times(&here).times(&z);
    let lower = rotated.block(q..width, 0..q);
    if lower.norm() > 20.0 * f64::EPSILON * here.norm() {
        return false;
    }
    let rows = s.block(at..at + width, at..n);
    s.set_block(at, at, &z.transpose().times(&rows));
    let cols = s.block(0..at + width, at..at + width);
    s.set_block(0, at, &cols.times(&z));
    let cols = u.block(0..u.n_rows(), at..at + width);
    u.set_block(0, at, &cols.times(&z));
    s.set_block(at + q, at, &Mat::zeros(p, q));
    for (start, size) in [(at, q), (at + q, p)] {
        if size == 2 {
            standardize(s, u, start);
        }
    }
    true
}

/// The orthogonal matrix whose first `q` columns span the invariant subspace of the second block.
///
/// With `A11 X - X A22 = A12` that space is spanned by `[-X; I]`.
fn exchange(a: &Mat, p: usize, q: usize) -> Option<Mat> {
    let width = p + q;
    let system = Mat::from_fn(p * q, p * q, |row, col| {
        let ((i, j), (k, l)) = ((row % p, row / p), (col % p, col / p));
        let left = if j == l { a[(i, k)] } else { 0.0 };
        let right = if i == k { a[(p + l, p + j)] } else { 0.0 };
        left - right
    });
    let rhs = Mat::from_fn(p * q, 1, |row, _| a[(row % p, p + row / p)]);
    let x = system.solve(&rhs)?;
    let mut span = Mat::from_fn(width, width, |i, j| match (i < p, j < q) {
        (true, true) => -x[(j * p + i, 0)],
        (false, true) => f64::from(u8::from(i - p == j)),
        _ => 0.0,
    });
    // Gram-Schmidt, twice for each column, then the unit vectors complete the basis.
    for j in 0..width {
        let mut best = None::<Vec<f64>>;
        let candidates: Vec<Vec<f64>> = if j < q {
            vec![span.col(j).to_vec()]
        } else {
            (0..width).map(|k| (0..width).map(|i| f64::from(u8::from(i == k))).collect()).collect()
        };
        let mut best_norm = 0.0;
        for mut v in candidates {
            let scale = v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            if !scale.is_finite() || scale == 0.0 {
                return None;
            }
            v.iter_mut().for_each(|x| *x /= scale);
            for _ in 0..2 {
                for k in 0..j {
                    let dot: f64 = v.iter().zip(span.col(k)).map(|(x, y)| x * y).sum();
                    v.iter_mut().zip(span.col(k)).for_each(|(x, y)| *x -= dot * y);
                }
            }
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            if norm > best_norm {
                v.iter_mut().for_each(|x| *x /= norm);
                (best, best_norm) = (Some(v), norm);
            }
        }
        span.col_mut(j).copy_from_slice(&best?);
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::super::real_schur::real_schur;
    use super::*;

    fn checkered(n: usize, seed: usize) -> Mat {
        Mat::from_fn(n, n, |i, j| (((i * 31 + j * 17 + seed) * 7919 % 1009) as f64) / 1009.0 - 0.5)
    }

    #[test]
    fn dominant_eigenvalues_come_first_and_pairs_stay_together() {
        for n in [2, 3, 5, 9, 24, 60] {
            for which in [Which::LargestReal, Which::LargestMagnitude] {
                let a = checkered(n, n);
                let mut s = a.clone();
                let mut u = real_schur(&mut s).unwrap();
                order(&mut s, &mut u, which, 0, n);
                let back = u.times(&s).times(&u.transpose());
                let error = Mat::from_fn(n, n, |i, j| back[(i, j)] - a[(i, j)]).norm();
                assert!(error < 1e-12 * a.norm(), "{n}: {error}");
                let keys: Vec<f64> = eigenvalues(&s).iter().map(|&e| which.key(e)).collect();
                assert!(keys.windows(2).all(|w| w[0] >= w[1] - 1e-11), "{n} {which:?}: {keys:?}");
            }
        }
    }

    /// 2 x 2 blocks of a rotation by 90 degrees and of a shrinking one change places.
    #[test]
    fn two_pairs_on_paper() {
        let rows = [[0.0, 0.5, 3.0, 1.0], [-0.5, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, -1.0, 1.0]];
        let mut s = Mat::from_fn(4, 4, |i, j| rows[i][j]);
        let mut u = Mat::identity(4);
        assert!(swap(&mut s, &mut u, 0));
        for (found, expected) in
            eigenvalues(&s).iter().zip([(1.0, 1.0), (1.0, -1.0), (0.0, 0.5), (0.0, -0.5)])
        {
            assert!((found.0 - expected.0).abs() < 1e-14 && (found.1 - expected.1).abs() < 1e-14);
        }
    }

    #[test]
    fn equal_eigenvalues_do_no_harm() {
        let mut s = Mat::identity(3);
        s[(0, 1)] = 1.0;
        let before = s.clone();
        let mut u = Mat::identity(3);
        order(&mut s, &mut u, Which::LargestReal, 0, 3);
        assert_eq!((s, u), (before, Mat::identity(3)));
    }
}
