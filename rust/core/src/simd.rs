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

/// Partial sums of a reduction over one vector: enough to hide the latency of the addition.
const CHAINS: usize = 4;

/// `sum_g a_g`
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, a: &[f64]) -> f64 {
    let (body, tail) = S::as_simd_f64s(a);
    let mut sums = [simd.splat_f64s(0.0); CHAINS];
    let (chunks, rest) = body.as_chunks::<CHAINS>();
    for chunk in chunks {
        for k in 0..CHAINS {
            sums[k] = simd.add_f64s(sums[k], chunk[k]);
        }
    }
    for &a in rest {
        sums[0] = simd.add_f64s(sums[0], a);
    }
    total::<S>(simd.add_f64s(join(simd, sums), load(simd, tail)))
}

/// `sum_g a_g b_g`
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let (a_body, a_tail) = S::as_simd_f64s(&a[..b.len()]);
    let (b_body, b_tail) = S::as_simd_f64s(b);
    let mut sums = [simd.splat_f64s(0.0); CHAINS];
    let (a_chunks, a_rest) = a_body.as_chunks::<CHAINS>();
    let (b_chunks, b_rest) = b_body.as_chunks::<CHAINS>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for k in 0..CHAINS {
            sums[k] = simd.mul_add_e_f64s(a[k], b[k], sums[k]);
        }
    }
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        sums[0] = simd.mul_add_e_f64s(a, b, sums[0]);
    }
    let tail = simd.mul_f64s(load(simd, a_tail), load(simd, b_tail));
    total::<S>(simd.add_f64s(join(simd, sums), tail))
}

#[inline(always)]
fn join<S: Simd>(simd: S, sums: [S::f64s; CHAINS]) -> S::f64s {
    simd.add_f64s(simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3]))
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
    let lanes = S::F64_LANES;
    let (mut sums, mut squares) = ([simd.splat_f64s(0.0); CHAINS], [simd.splat_f64s(0.0); CHAINS]);
    let mut chunks = row.chunks_exact(lanes * CHAINS);
    for chunk in &mut chunks {
        for k in 0..CHAINS {
            let a = load(simd, &chunk[k * lanes..(k + 1) * lanes]);
            sums[k] = simd.add_f64s(sums[k], a);
            squares[k] = simd.mul_add_e_f64s(a, a, squares[k]);
        }
    }
    let (mut sum, mut square) = (total::<S>(join(simd, sums)), total::<S>(join(simd, squares)));
    for &a in chunks.remainder() {
        let a: f64 = a.into();
        sum += a;
        square += a * a;
    }
    (sum, square)
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
    if !c_tail.is_empty() {
        let (c, x) = (load(simd, c_tail), load(simd, x_tail));
        for k in 0..K {
            let row = load(simd, &rows[k][body * lanes..n]);
            with_c[k] = simd.mul_add_e_f64s(row, c, with_c[k]);
            if BOTH {
                with_x[k] = simd.mul_add_e_f64s(row, x, with_x[k]);
            }
        }
    }
    let mut out = [(0.0, 0.0); K];
    for k in 0..K {
        out[k].0 = total::<S>(with_c[k]);
        if BOTH {
            out[k].1 = total::<S>(with_x[k]);
        }
    }
    out
}

/// `(sum_g d_g c_g, sum_g d_g^2)` of the displacement `d = row - x - shift`.
#[inline(always)]
pub(crate) fn displacement<S: Simd, E: Element>(
    simd: S,
    row: &[E],
    x: &[E],
    shift: f64,
    c: &[f64],
) -> (f64, f64) {
    let lanes = S::F64_LANES;
    let step = lanes * CHAINS;
    let whole = c.len() - c.len() % step;
    let shifts = simd.splat_f64s(shift);
    let (mut dots, mut squares) = ([simd.splat_f64s(0.0); CHAINS], [simd.splat_f64s(0.0); CHAINS]);
    for start in (0..whole).step_by(step) {
        for k in 0..CHAINS {
            let lane = start + k * lanes..start + (k + 1) * lanes;
            let d = simd.sub_f64s(load(simd, &row[lane.clone()]), load(simd, &x[lane.clone()]));
            let d = simd.sub_f64s(d, shifts);
            dots[k] = simd.mul_add_e_f64s(d, load(simd, &c[lane]), dots[k]);
            squares[k] = simd.mul_add_e_f64s(d, d, squares[k]);
        }
    }
    let (mut dot, mut square) = (total::<S>(join(simd, dots)), total::<S>(join(simd, squares)));
    for g in whole..c.len() {
        let d = (row[g].into() - x[g].into()) - shift;
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

/// Replaces each value, none above 0, by its exponential; to about 1 unit in the last place.
///
/// `exp(x) = 2^k exp(r)` with `k` the integer next to `x / ln 2` and `|r| <= ln(2) / 2`, where the Taylor
/// series to order 13 is exact to 1e-17. Below -708 the result is 0. NaN counts as minus infinity.
#[inline(always)]
pub(crate) fn exp_in_place<S: Simd>(_: S, values: &mut [f64]) {
    let (chunks, rest) = values.as_chunks_mut::<8>();
    for chunk in chunks {
        exp_of_eight::<S>(chunk);
    }
    // The last few go through the same vector code: one by one they would take longer than all others.
    let mut last = [0.0; 8];
    last[..rest.len()].copy_from_slice(rest);
    exp_of_eight::<S>(&mut last);
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
fn exp_of_eight<S: Simd>(values: &mut [f64; 8]) {
    // Adding this leaves the nearest integer in the last bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8; // the leading 33 bits, so that k times it is exact
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const INVERSE_FACTORIALS: [f64; 14] = {
        let mut out = [1.0; 14];
        let mut i = 1;
        while i < 14 {
            out[i] = out[i - 1] / i as f64;
            i += 1;
        }
        out
    };
    for value in values {
        let x = *value;
        let shifted = multiply_add::<S>(x, std::f64::consts::LOG2_E, ROUND);
        let k = shifted - ROUND;
        let r = multiply_add::<S>(-k, LN_2_LOW, multiply_add::<S>(-k, LN_2_HIGH, x));
        let mut sum = INVERSE_FACTORIALS[13];
        let mut i = 13;
        while i > 0 {
            i -= 1;
            sum = multiply_add::<S>(sum, r, INVERSE_FACTORIALS[i]);
        }
        let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
        *value = if x > -708.0 { sum * power } else { 0.0 };
    }
}

#[inline(always)]
fn multiply_add<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::IS_SCALAR {
        a * b + c
    } else {
        a.mul_add(b, c)
    }
}
