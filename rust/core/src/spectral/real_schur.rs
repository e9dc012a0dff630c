//! Real Schur form `A = U S U^T` of a small dense matrix: Householder reduction to Hessenberg form, then
//! Francis' implicit double shift (Golub & Van Loan, *Matrix Computations*, 4th ed., section 7.5).

use super::dense::Mat;
use crate::error::{Error, Result};

/// Sweeps allowed for each eigenvalue; two to four are the rule.
const SWEEPS: usize = 60;
/// Further attempts when these do not do.
const TRIES: u32 = 5;

/// Turns `a` into its real Schur form and returns the orthogonal `u` with `a_before = u a u^T`.
///
/// The result is upper triangular except for 2 x 2 blocks on the diagonal, one for each complex pair,
/// in standard form: equal diagonal entries, off-diagonal ones of opposite sign.
///
/// # Errors
/// [`Error::NotConverged`] for an eigenvalue that does not settle, which finite input does not do.
pub fn real_schur(a: &mut Mat) -> Result<Mat> {
    let original = a.clone();
    let mut outcome = attempt(a);
    for round in 1..=TRIES {
        if outcome.is_ok() {
            break;
        }
        // Sweeps can go in a circle on matrices with many nearly equal, defective eigenvalues: an error
        // of the size that rounding makes anyway leads out of it.
        let size = 1e-15 * original.norm() * f64::from(round);
        let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729 + 31) % 1009) as f64 / 504.0 - 1.0;
        *a = Mat::from_fn(a.n_rows(), a.n_cols(), |i, j| original[(i, j)] + size * noise(i, j));
        outcome = attempt(a);
    }
    outcome
}

fn attempt(a: &mut Mat) -> Result<Mat> {
    let mut u = hessenberg(a);
    let mut end = a.n_rows();
    let size = a.norm();
    let mut sweeps = 0;
    while end > 0 {
        let start = deflate(a, end, size);
        match end - start {
            1 => end -= 1,
            2 => {
                standardize(a, &mut u, start);
                end -= 2;
            }
            _ if sweeps == SWEEPS => {
                return Err(Error::NotConverged {
                    what: "the Schur form of the projected matrix",
                    iterations: sweeps,
                    residual: a[(end - 1, end - 2)].abs(),
                    tol: f64::EPSILON,
                    remedy: "the transition matrix holds values that can not be compared",
                });
            }
            _ => {
                sweep(a, &mut u, start, end, sweeps % 10 == 9);
                sweeps += 1;
                continue;
            }
        }
        sweeps = 0;
    }
    Ok(u)
}

/// A reflection `I - v v^T` (`|v|^2 = 2`) that turns `x` into a multiple of the first unit vector, and
/// that multiple; `None` if nothing is to be done.
fn reflector(x: &[f64]) -> Option<(Vec<f64>, f64)> {
    let largest = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if x[1..].iter().all(|&v| v == 0.0) || largest == 0.0 {
        return None;
    }
    let mut v: Vec<f64> = x.iter().map(|v| v / largest).collect();
    let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let alpha = -norm.copysign(v[0]);
    v[0] -= alpha;
    let length = (0.5 * v.iter().map(|v| v * v).sum::<f64>()).sqrt();
    v.iter_mut().for_each(|v| *v /= length);
    Some((v, alpha * largest))
}

/// Rows `row..` of the columns `cols` times the reflection of `v` from the left.
fn reflect_rows(a: &mut Mat, v: &[f64], row: usize, cols: std::ops::Range<usize>) {
    for j in cols {
        let x = &mut a.col_mut(j)[row..row + v.len()];
        let dot: f64 = x.iter().zip(v).map(|(x, v)| x * v).sum();
        x.iter_mut().zip(v).for_each(|(x, v)| *x -= dot * v);
    }
}

/// Columns `col..` of the rows `rows` times the reflection of `v` from the right.
fn reflect_cols(a: &mut Mat, v: &[f64], col: usize, rows: std::ops::Range<usize>) {
    let mut dots = vec![0.0; rows.len()];
    for (k, &v) in v.iter().enumerate() {
        dots.iter_mut().zip(&a.col(col + k)[rows.clone()]).for_each(|(dot, x)| *dot += x * v);
    }
    for (k, &v) in v.iter().enumerate() {
        a.col_mut(col + k)[rows.clone()].iter_mut().zip(&dots).for_each(|(x, dot)| *x -= dot * v);
    }
}

fn hessenberg(a: &mut Mat) -> Mat {
    let n = a.n_rows();
    let mut u = Mat::identity(n);
    for k in 0..n.saturating_sub(2) {
        if let Some((v, alpha)) = reflector(&a.col(k)[k + 1..]) {
            reflect_rows(a, &v, k + 1, k + 1..n);
            reflect_cols(a, &v, k + 1, 0..n);
            reflect_cols(&mut u, &v, k + 1, 0..n);
            a[(k + 1, k)] = alpha;
            a.col_mut(k)[k + 2..].fill(0.0);
        }
    }
    u
}

/// First row of the block that ends before `end`; the negligible entry above it is set to zero.
fn deflate(a: &mut Mat, end: usize, size: f64) -> usize {
    for i in (1..end).rev() {
        let near = a[(i, i)].abs() + a[(i - 1, i - 1)].abs();
        // An error as large as rounding makes anyway is none.
        if a[(i, i - 1)].abs() <= f64::EPSILON * near.max(0.1 * size) {
            a[(i, i - 1)] = 0.0;
            return i;
        }
    }
    0
}

/// The shifts that the last two rows suggest: their eigenvalues if complex; of two real ones the closer to
/// the last entry, twice, which settles where two different ones go on for ever.
fn shifts(hpp: f64, hqq: f64, off: f64) -> (f64, f64, f64) {
    let half = 0.5 * (hpp - hqq);
    let discriminant = half * half + off;
    if discriminant < 0.0 {
        return (hpp, hqq, off);
    }
    let closer = hqq - off / (half + discriminant.sqrt().copysign(half));
    if closer.is_finite() {
        (closer, closer, 0.0)
    } else {
        (hpp, hqq, off)
    }
}

/// One double-shift sweep over the rows `start..end` (at least 3).
fn sweep(a: &mut Mat, u: &mut Mat, start: usize, end: usize, exceptional: bool) {
    let n = a.n_rows();
    let (p, q) = (end - 2, end - 1);
    // The shifts are the eigenvalues of [[hpp, .], [., hqq]] with the product `off` of the other entries.
    let (hpp, hqq, off) = if exceptional {
        // As large as the eigenvalues may be where entries above the diagonal are much larger than below.
        let (low, high) = (a[(q, p)].abs() + a[(p, end - 3)].abs(), a[(p, q)].abs() + a[(end - 3, p)].abs());
        let s = low + (low * high).sqrt();
        (a[(q, q)] + 0.75 * s, a[(q, q)] + 0.75 * s, -0.4375 * s * s)
    } else {
        shifts(a[(p, p)], a[(q, q)], a[(p, q)] * a[(q, p)])
    };
    // The sweep may begin at the lowest place where two small entries in a row keep its fill out of the
    // rows above; starting higher up, the shifts would be rounded away on the way down.
    let mut first = end - 3;
    let mut x;
    loop {
        let i = first;
        let (h00, h10, h01, h11) = (a[(i, i)], a[(i + 1, i)], a[(i, i + 1)], a[(i + 1, i + 1)]);
        // Written with differences: where all eigenvalues are close to 1, sums would cancel to nothing.
        x = vec![
            (h00 - hpp) * (h00 - hqq) - off + h01 * h10,
            h10 * ((h00 - hpp) + (h11 - hqq)),
            h10 * a[(i + 2, i + 1)],
        ];
        if i == start {
            break;
        }
        let fill = a[(i, i - 1)].abs() * (x[1].abs() + x[2].abs());
        let near = a[(i - 1, i - 1)].abs() + h00.abs() + h11.abs();
        if fill <= f64::EPSILON * x[0].abs() * near {
            break;
        }
        first -= 1;
    }
    for k in first..end - 1 {
        let width = x.len();
        if let Some((v, alpha)) = reflector(&x) {
            if k > first {
                a[(k, k - 1)] = alpha;
                (1..width).for_each(|i| a[(k + i, k - 1)] = 0.0);
            } else if k > start {
                // What the reflection puts below this entry is the negligible fill.
                a[(k, k - 1)] *= 1.0 - v[0] * v[0];
            }
            reflect_rows(a, &v, k, k..n);
            reflect_cols(a, &v, k, 0..end.min(k + width + 1));
            reflect_cols(u, &v, k, 0..n);
        }
        if k + 2 < end {
            x = (k + 1..end.min(k + 4)).map(|i| a[(i, k)]).collect();
        }
    }
}

/// Rotates the 2 x 2 block at `i` to standard form: upper triangular if its eigenvalues are real, else
/// with equal diagonal entries.
pub fn standardize(a: &mut Mat, u: &mut Mat, i: usize) {
    // Equal diagonals first may show that the eigenvalues are real after all: hence two rounds.
    for _ in 0..2 {
        let (a11, a12, a21, a22) = (a[(i, i)], a[(i, i + 1)], a[(i + 1, i)], a[(i + 1, i + 1)]);
        if a21 == 0.0 {
            return;
        }
        let p = 0.5 * (a11 - a22);
        let discriminant = p * p + a12 * a21;
        if discriminant >= 0.0 {
            let z = p + discriminant.sqrt().copysign(p);
            let length = z.hypot(a21);
            rotate(a, u, i, z / length, a21 / length);
            a[(i + 1, i)] = 0.0;
            return;
        }
        let angle = 0.5 * (-2.0 * p).atan2(a12 + a21);
        let (sin, cos) = angle.sin_cos();
        rotate(a, u, i, cos, sin);
        let mean = 0.5 * (a[(i, i)] + a[(i + 1, i + 1)]);
        a[(i, i)] = mean;
        a[(i + 1, i + 1)] = mean;
        if a[(i, i + 1)] * a[(i + 1, i)] < 0.0 {
            return;
        }
    }
}

/// Similarity with the rotation `[[cos, sin], [-sin, cos]]` in the plane of rows `i` and `i + 1`.
fn rotate(a: &mut Mat, u: &mut Mat, i: usize, cos: f64, sin: f64) {
    let n = a.n_rows();
    for j in i..n {
        let (x, y) = (a[(i, j)], a[(i + 1, j)]);
        a[(i, j)] = cos * x + sin * y;
        a[(i + 1, j)] = cos * y - sin * x;
    }
    for (m, rows) in [(a, i + 2), (u, n)] {
        for k in 0..rows {
            let (x, y) = (m[(k, i)], m[(k, i + 1)]);
            m[(k, i)] = cos * x + sin * y;
            m[(k, i + 1)] = cos * y - sin * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(n: usize, seed: u64) -> Mat {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let values: Vec<f64> = (0..n * n).map(|_| next()).collect();
        Mat::from_fn(n, n, |i, j| values[i * n + j])
    }

    /// `U S U^T` is the matrix again, `U` is orthogonal, 2 x 2 blocks are in standard form.
    fn check(a: &Mat) {
        let n = a.n_rows();
        let mut s = a.clone();
        let u = real_schur(&mut s).unwrap();
        let back = u.times(&s).times(&u.transpose());
        let gram = u.transpose().times(&u);
        let scale = a.norm().max(1e-300);
        for j in 0..n {
            for i in 0..n {
                assert!((back[(i, j)] - a[(i, j)]).abs() < 1e-13 * scale * (n as f64));
                assert!((gram[(i, j)] - f64::from(u8::from(i == j))).abs() < 1e-13 * (n as f64));
                assert!(i < j + 2 || s[(i, j)] == 0.0);
            }
        }
        for i in 0..n.saturating_sub(1) {
            if s[(i + 1, i)] != 0.0 {
                assert!(i + 2 >= n || s[(i + 2, i + 1)] == 0.0);
                assert_eq!(s[(i, i)], s[(i + 1, i + 1)]);
                assert!(s[(i + 1, i)] * s[(i, i + 1)] < 0.0);
            }
        }
    }

    #[test]
    fn random_matrices_of_many_sizes() {
        for n in [1, 2, 3, 4, 5, 8, 13, 40, 90] {
            (1..4).for_each(|seed| check(&pseudo_random(n, seed)));
        }
    }

    #[test]
    fn hard_matrices() {
        check(&Mat::zeros(5, 5));
        check(&Mat::identity(6));
        // The cycle: all eigenvalues on the unit circle, unmoved by the usual shifts.
        check(&Mat::from_fn(7, 7, |i, j| f64::from(u8::from((i + 1) % 7 == j))));
        check(&Mat::from_fn(6, 6, |i, j| f64::from(u8::from(i + 1 == j))));
        check(&Mat::from_fn(6, 6, |i, j| if i == j { 1.0 } else { f64::from(u8::from(i + 1 == j)) }));
        check(&Mat::from_fn(8, 8, |i, j| 10_f64.powi(3 * i as i32 - 3 * j as i32) / (1 + i + j) as f64));
    }

    #[test]
    fn a_rotation_keeps_its_pair() {
        let mut a = Mat::from_fn(2, 2, |i, j| [[0.0, 2.0], [-1.0, 2.0]][i][j]);
        real_schur(&mut a).unwrap();
        assert!((a[(0, 0)] - 1.0).abs() < 1e-15 && (a[(0, 1)] * a[(1, 0)] + 1.0).abs() < 1e-15);
    }
}
