//! Inner loops over genes, with the widest vector instructions that the machine has.
//!
//! The package is built for the baseline CPU; [`pulp`] compiles each operation for several instruction
//! sets and picks one at run time. They differ in how many partial sums a reduction keeps and in
//! whether `a * b + c` is rounded once or twice, so results agree to 1e-15 or so, not to the bit.
//! Everything here is `#[inline(always)]`: a function that is not would be compiled for the baseline.

use std::slice;

use pulp::{bytemuck, Simd, WithSimd};

use crate::features::Element;

/// Runs `operation` with the widest instructions of this machine.
pub(crate) fn dispatch<O: WithSimd>(operation: O) -> O::Output {
    pulp::Arch::new().dispatch(operation)
}

/// One register from the first elements of `row`; lanes beyond its end are 0.
#[inline(always)]
fn load<S: Simd, E: Element>(simd: S, row: &[E]) -> S::f64s {
    let mut register = simd.splat_f64s(0.0);
    let lanes: &mut [f64] = bytemuck::cast_slice_mut(slice::from_mut(&mut register));
    for (lane, &x) in lanes.iter_mut().zip(row) {
        *lane = x.into();
    }
    register
}

/// The sum over the lanes. Plain loops here and below: closures given to `array::map` are not inlined
/// into the vectorised function, and would be compiled for the baseline.
#[inline(always)]
fn total<S: Simd>(register: S::f64s) -> f64 {
    let mut sum = 0.0;
    for &lane in bytemuck::cast_slice::<S::f64s, f64>(slice::from_ref(&register)) {
        sum += lane;
    }
    sum
}

/// `sum_g a_g`
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, a: &[f64]) -> f64 {
    let (body, tail) = S::as_simd_f64s(a);
    let mut sum = load(simd, tail);
    for &a in body {
        sum = simd.add_f64s(sum, a);
    }
    total::<S>(sum)
}

/// `sum_g a_g b_g`
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let (a_body, a_tail) = S::as_simd_f64s(&a[..b.len()]);
    let (b_body, b_tail) = S::as_simd_f64s(b);
    let mut sum = simd.mul_f64s(load(simd, a_tail), load(simd, b_tail));
    for (&a, &b) in a_body.iter().zip(b_body) {
        sum = simd.mul_add_e_f64s(a, b, sum);
    }
    total::<S>(sum)
}

/// Writes `row` to `out` as float64.
#[inline(always)]
pub(crate) fn widen<E: Element>(row: &[E], out: &mut [f64]) {
    for (out, &x) in out.iter_mut().zip(row) {
        *out = x.into();
    }
}

/// `(sum_g a_g, sum_g a_g^2)`
#[inline(always)]
pub(crate) fn sum_and_square<S: Simd, E: Element>(simd: S, row: &[E]) -> (f64, f64) {
    let mut sum = simd.splat_f64s(0.0);
    let mut square = sum;
    let mut chunks = row.chunks_exact(S::F64_LANES);
    for chunk in &mut chunks {
        let a = load(simd, chunk);
        sum = simd.add_f64s(sum, a);
        square = simd.mul_add_e_f64s(a, a, square);
    }
    let a = load(simd, chunks.remainder());
    (total::<S>(simd.add_f64s(sum, a)), total::<S>(simd.mul_add_e_f64s(a, a, square)))
}

/// `(sum_g r_g c_g, sum_g r_g x_g)` for each of `K` rows `r`; the second only if `BOTH`.
///
/// Reading `c` and `x` once for several rows makes the loop bound by arithmetic, not by the cache.
#[inline(always)]
pub(crate) fn products<S: Simd, E: Element, const K: usize, const BOTH: bool>(
    simd: S,
    rows: [&[E]; K],
    c: &[f64],
    x: &[f64],
) -> [(f64, f64); K] {
    let n = c.len();
    let lanes = S::F64_LANES;
    let (c_body, c_tail) = S::as_simd_f64s(c);
    let (x_body, x_tail) = S::as_simd_f64s(&x[..n]);
    let body = c_body.len();
    let x_body = &x_body[..body];
    let zero = simd.splat_f64s(0.0);
    let (mut with_c, mut with_x) = ([zero; K], [zero; K]);
    for g in 0..body {
        let (c, x) = (c_body[g], x_body[g]);
        for k in 0..K {
            let row = load(simd, &rows[k][g * lanes..(g + 1) * lanes]);
            with_c[k] = simd.mul_add_e_f64s(row, c, with_c[k]);
            if BOTH {
                with_x[k] = simd.mul_add_e_f64s(row, x, with_x[k]);
            }
        }
    }
    let mut out = [(0.0, 0.0); K];
    let (c, x) = (load(simd, c_tail), load(simd, x_tail));
    for k in 0..K {
        let row = load(simd, &rows[k][body * lanes..n]);
        out[k].0 = total::<S>(simd.mul_add_e_f64s(row, c, with_c[k]));
        if BOTH {
            out[k].1 = total::<S>(simd.mul_add_e_f64s(row, x, with_x[k]));
        }
    }
    out
}

/// `(sum_g d_g c_g, sum_g d_g^2)` of the displacement `d = row - x - shift`.
#[inline(always)]
pub(crate) fn displacement<S: Simd, E: Element>(
    simd: S,
    row: &[E],
    x: &[f64],
    shift: f64,
    c: &[f64],
) -> (f64, f64) {
    let lanes = S::F64_LANES;
    let whole = x.len() - x.len() % lanes;
    let shift = simd.splat_f64s(shift);
    let (mut dot, mut square) = (simd.splat_f64s(0.0), simd.splat_f64s(0.0));
    for g in (0..whole).step_by(lanes) {
        let [row, x, c] =
            [load(simd, &row[g..g + lanes]), load(simd, &x[g..g + lanes]), load(simd, &c[g..g + lanes])];
        let d = simd.sub_f64s(simd.sub_f64s(row, x), shift);
        dot = simd.mul_add_e_f64s(d, c, dot);
        square = simd.mul_add_e_f64s(d, d, square);
    }
    let (mut dot, mut square) = (total::<S>(dot), total::<S>(square));
    let shift = bytemuck::cast_slice::<S::f64s, f64>(slice::from_ref(&shift))[0];
    for g in whole..x.len() {
        let d = (row[g].into() - x[g]) - shift;
        dot += d * c[g];
        square += d * d;
    }
    (dot, square)
}

/// `(sum_g w_g a_g u_g, sum_g w_g (a_g - b_g - slope u_g)^2)` for weights `w`.
#[inline(always)]
pub(crate) fn weighted_deviation<S: Simd>(
    simd: S,
    a: &[f64],
    u: &[f64],
    w: &[f64],
    b: &[f64],
    slope: f64,
) -> (f64, f64) {
    let lanes = S::F64_LANES;
    let n = a.len();
    let whole = n - n % lanes;
    let (u, w, b) = (&u[..n], &w[..n], &b[..n]);
    let minus_slope = simd.splat_f64s(-slope);
    let (mut cross, mut square) = (simd.splat_f64s(0.0), simd.splat_f64s(0.0));
    for g in (0..whole).step_by(lanes) {
        let [a, u] = [load(simd, &a[g..g + lanes]), load(simd, &u[g..g + lanes])];
        let [w, b] = [load(simd, &w[g..g + lanes]), load(simd, &b[g..g + lanes])];
        cross = simd.mul_add_e_f64s(simd.mul_f64s(w, a), u, cross);
        let deviation = simd.mul_add_e_f64s(minus_slope, u, simd.sub_f64s(a, b));
        square = simd.mul_add_e_f64s(simd.mul_f64s(w, deviation), deviation, square);
    }
    let (mut cross, mut square) = (total::<S>(cross), total::<S>(square));
    for g in whole..n {
        cross += w[g] * a[g] * u[g];
        let deviation = (a[g] - b[g]) - slope * u[g];
        square += w[g] * deviation * deviation;
    }
    (cross, square)
}
