//! Eigenvalues with right and left eigenvectors.

use super::basis::Basis;
use super::dense::Mat;
use super::krylov_schur::{check, dominant, Invariant, Params};
use super::operator::Operator;
use super::ordered_schur::{block_size, eigenvalues};
use crate::csr::{Csr, TransitionMatrix};
use crate::error::Result;
use crate::run::Run;

/// Eigenvectors of one side.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Vectors {
    /// `(n, m, 2)`: row after row, real and imaginary part. Each of norm 1, its largest entry real and
    /// positive.
    pub values: Vec<f64>,
    /// Eigenvalues as this side sees them, in the order of the columns.
    pub eigenvalues: Vec<(f64, f64)>,
    /// Norm of `T v - lambda v` (`v T - lambda v` for left ones), computed from the result.
    pub residuals: Vec<f64>,
}

/// Dominant right eigenvectors, `T v = lambda v`; parameters as for [`super::krylov_schur::schur`].
///
/// Complex ones come in pairs, the one with the positive imaginary part first; as there, one more may be
/// returned than was asked for. At a multiple eigenvalue the vectors are one basis among many.
///
/// # Errors
/// As [`super::krylov_schur::schur`].
pub fn right(t: &TransitionMatrix<'_>, params: &Params, run: &Run) -> Result<Vectors> {
    let n = t.n_rows();
    check(n, params)?;
    let one = vec![(1.0 / n as f64).sqrt(); n];
    run.install(|| {
        let op = Operator::weighted(t, None, run.threads() > 1);
        let found = dominant(&op, Some(&one), params, run)?;
        Ok(vectors(&found, &op))
    })
}

/// Dominant left eigenvectors, `v T = lambda v`; else as [`right`].
///
/// # Errors
/// As [`super::krylov_schur::schur`].
pub fn left(t: &TransitionMatrix<'_>, params: &Params, run: &Run) -> Result<Vectors> {
    check(t.n_rows(), params)?;
    let transposed = transposed(t);
    run.install(|| {
        let op = Operator::plain(&transposed, run.threads() > 1);
        let found = dominant(&op, None, params, run)?;
        Ok(vectors(&found, &op))
    })
}

/// The transpose of `t` with its rows divided by their sums.
fn transposed(t: &TransitionMatrix<'_>) -> Csr<'static> {
    let mut values = t.values().to_vec();
    for i in 0..t.n_rows() {
        let sum: f64 = t.row(i).1.iter().sum();
        values[t.range(i)].iter_mut().for_each(|v| *v /= sum);
    }
    t.with_values(values).transpose()
}

type Complex = (f64, f64);

fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn over(a: Complex, b: Complex) -> Complex {
    // Scaled, so that squares neither overflow nor vanish.
    let scale = b.0.abs().max(b.1.abs());
    let (x, y) = (b.0 / scale, b.1 / scale);
    let square = (x * x + y * y) * scale;
    ((a.0 * x + a.1 * y) / square, (a.1 * x - a.0 * y) / square)
}

fn vectors(found: &Invariant, op: &Operator) -> Vectors {
    let (n, m) = (op.n(), found.matrix.n_rows());
    let values = eigenvalues(&found.matrix);
    let mut out = vec![0.0; n * m * 2];
    let mut residuals = vec![0.0; m];
    let mut i = 0;
    while i < m {
        let size = block_size(&found.matrix, i);
        let y = triangular_eigenvector(&found.matrix, i, values[i]);
        let mut v = combine(&found.basis, n, &y);
        normalise(&mut v);
        residuals[i] = residual(op, &v, values[i]);
        for (&row, &(re, im)) in op.order().iter().zip(&v) {
            let row = row as usize;
            out[(row * m + i) * 2] = re;
            out[(row * m + i) * 2 + 1] = im;
            if size == 2 {
                out[(row * m + i + 1) * 2] = re;
                out[(row * m + i + 1) * 2 + 1] = -im;
            }
        }
        if size == 2 {
            residuals[i + 1] = residuals[i];
        }
        i += size;
    }
    Vectors { values: out, eigenvalues: values, residuals }
}

/// `V y` for the leading columns of the basis.
fn combine(basis: &Basis, n: usize, y: &[Complex]) -> Vec<Complex> {
    let mut out = vec![(0.0, 0.0); n];
    let mut column = vec![0.0; n];
    for (j, &(re, im)) in y.iter().enumerate() {
        basis.read(j, &mut column);
        for (out, x) in out.iter_mut().zip(&column) {
            out.0 += re * x;
            out.1 += im * x;
        }
    }
    out
}

/// Norm 1, the largest entry real and positive.
fn normalise(v: &mut [Complex]) {
    let square = |v: &Complex| v.0 * v.0 + v.1 * v.1;
    let norm = v.iter().map(square).sum::<f64>().sqrt();
    let Some(&largest) = v.iter().max_by(|a, b| square(a).total_cmp(&square(b))) else { return };
    let length = square(&largest).sqrt();
    let phase = (largest.0 / length / norm, -largest.1 / length / norm);
    v.iter_mut().for_each(|v| *v = times(*v, phase));
}

fn residual(op: &Operator, v: &[Complex], value: Complex) -> f64 {
    let product = |part: fn(&Complex) -> f64| {
        let (mut x, mut out) = (op.argument(), vec![0.0; v.len()]);
        x.iter_mut().zip(v).for_each(|(x, v)| *x = part(v));
        op.apply(&x, &mut out);
        out
    };
    let (re, im) = (product(|v| v.0), product(|v| v.1));
    let mut sum = 0.0;
    for ((re, im), &v) in re.iter().zip(&im).zip(v) {
        let expected = times(value, v);
        sum += (re - expected.0).powi(2) + (im - expected.1).powi(2);
    }
    sum.sqrt()
}

/// Eigenvector of a quasi-triangular matrix for the eigenvalue at `i`, by substitution from below; its
/// entries after the block at `i` are zero and left out.
fn triangular_eigenvector(s: &Mat, i: usize, value: Complex) -> Vec<Complex> {
    let size = block_size(s, i);
    let smallest = f64::EPSILON * s.norm();
    let mut y = vec![(0.0, 0.0); i + size];
    if size == 2 {
        y[i] = (s[(i, i + 1)], 0.0);
        y[i + 1] = (0.0, value.1);
    } else {
        y[i] = (1.0, 0.0);
    }
    let known = |y: &[Complex], row: usize, from: usize| {
        (from..i + size)
            .fold((0.0, 0.0), |sum: Complex, k| (sum.0 - s[(row, k)] * y[k].0, sum.1 - s[(row, k)] * y[k].1))
    };
    // A divisor of 0 belongs to a multiple eigenvalue: rounding decides which of its vectors we get.
    let safe = |d: Complex| if d.0.hypot(d.1) < smallest { (smallest, 0.0) } else { d };
    let mut row = i;
    while row > 0 {
        let pair = row >= 2 && s[(row - 1, row - 2)] != 0.0;
        if !pair {
            row -= 1;
            let rhs = known(&y, row, row + 1);
            y[row] = over(rhs, safe((s[(row, row)] - value.0, -value.1)));
            continue;
        }
        row -= 2;
        let (top, low) = (known(&y, row, row + 2), known(&y, row + 1, row + 2));
        let diagonal = (s[(row, row)] - value.0, -value.1);
        let (b, c) = (s[(row, row + 1)], s[(row + 1, row)]);
        let square = times(diagonal, diagonal);
        let determinant = safe((square.0 - b * c, square.1));
        let (p, q) = (times(diagonal, top), times(diagonal, low));
        y[row] = over((p.0 - b * low.0, p.1 - b * low.1), determinant);
        y[row + 1] = over((q.0 - c * top.0, q.1 - c * top.1), determinant);
    }
    y
}
