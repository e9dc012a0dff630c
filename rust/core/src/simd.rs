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

/// Values that a row is read by; a multiple of every number of lanes.
const CHUNK: usize = 8;

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
    simd.reduce_sum_f64s(simd.add_f64s(join(simd, sums), load(simd, tail)))
}

/// The largest value that is not NaN; minus infinity when there is none.
#[inline(always)]
pub(crate) fn largest<S: Simd>(simd: S, a: &[f64]) -> f64 {
    let (body, tail) = S::as_simd_f64s(a);
    let mut top = [simd.splat_f64s(f64::NEG_INFINITY)];
    for &a in body {
        top[0] = simd.select_f64s(simd.greater_than_f64s(a, top[0]), a, top[0]);
    }
    let lanes: &[f64] = bytemuck::cast_slice(&top);
    lanes.iter().chain(tail).copied().fold(f64::NEG_INFINITY, f64::max)
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
    simd.reduce_sum_f64s(simd.add_f64s(join(simd, sums), tail))
}

/// Subtracts `mean` from each value and returns the sum of the squares that are left.
#[inline(always)]
pub(crate) fn center<S: Simd>(simd: S, values: &mut [f64], mean: f64) -> f64 {
    let means = simd.splat_f64s(mean);
    let (body, tail) = S::as_mut_simd_f64s(values);
    let mut squares = [simd.splat_f64s(0.0); CHAINS];
    let (chunks, rest) = body.as_chunks_mut::<CHAINS>();
    for chunk in chunks {
        for k in 0..CHAINS {
            chunk[k] = simd.sub_f64s(chunk[k], means);
            squares[k] = simd.mul_add_e_f64s(chunk[k], chunk[k], squares[k]);
        }
    }
    for a in rest {
        *a = simd.sub_f64s(*a, means);
        squares[0] = simd.mul_add_e_f64s(*a, *a, squares[0]);
    }
    let mut square = simd.reduce_sum_f64s(join(simd, squares));
    for a in tail {
        *a -= mean;
        square += *a * *a;
    }
    square
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
    let (mut sum, mut square) =
        (simd.reduce_sum_f64s(join(simd, sums)), simd.reduce_sum_f64s(join(simd, squares)));
    for &a in chunks.remainder() {
        let a: f64 = a.into();
        sum += a;
        square += a * a;
    }
    (sum, square)
}

/// How many rows [`products`] takes at best: enough sums to hide the latency of the multiply-add and to share
/// what is read of `c` and `x`, few enough to stay in registers with the two and a row.
pub(crate) const fn rows_at_once<S: Simd>(both: bool) -> usize {
    if both && S::REGISTER_COUNT < 32 {
        4
    } else {
        8
    }
}

/// Reads all of `row` in one go; what is returned is of no use but to have it read.
///
/// Memory serves a loop that does nothing else several times faster than one that computes.
#[inline(always)]
pub(crate) fn touch<S: Simd, E: Element>(simd: S, row: &[E]) -> u32 {
    let (body, rest) = S::as_simd_u32s(bytemuck::cast_slice(row));
    let mut seen = [simd.splat_u32s(0); CHAINS];
    for chunk in body.as_chunks::<CHAINS>().0 {
        for k in 0..CHAINS {
            seen[k] = simd.xor_u32s(seen[k], chunk[k]);
        }
    }
    let seen = simd.xor_u32s(simd.xor_u32s(seen[0], seen[1]), simd.xor_u32s(seen[2], seen[3]));
    let lanes: &[u32] = bytemuck::cast_slice(slice::from_ref(&seen));
    lanes[0] ^ rest.first().copied().unwrap_or(0)
}

/// `(sum_g r_g c_g, sum_g r_g x_g)` for each of `K` rows `r`; the second only if `BOTH`.
///
/// The sums of a row do not depend on which rows are with it, not in the last bit.
#[inline(always)]
pub(crate) fn products<S: Simd, E: Element, const K: usize, const BOTH: bool>(
    simd: S,
    rows: [&[E]; K],
    c: &[f64],
    x: &[f64],
) -> [(f64, f64); K] {
    let lanes = S::F64_LANES;
    let (c_body, c_tail) = c.as_chunks::<CHUNK>();
    let (x_body, x_tail) = x[..c.len()].as_chunks::<CHUNK>();
    // All bodies get the length of the first, so that nothing is checked in the loop.
    let x_body = &x_body[..c_body.len()];
    let mut bodies: [&[[E; CHUNK]]; K] = [&[]; K];
    for k in 0..K {
        bodies[k] = &rows[k].as_chunks().0[..c_body.len()];
    }
    let zero = simd.splat_f64s(0.0);
    let (mut with_c, mut with_x) = ([zero; K], [zero; K]);
    for g in 0..c_body.len() {
        for lane in (0..CHUNK).step_by(lanes) {
            let (c, x) =
                (load(simd, &c_body[g][lane..lane + lanes]), load(simd, &x_body[g][lane..lane + lanes]));
            for k in 0..K {
                let row = load(simd, &bodies[k][g][lane..lane + lanes]);
                with_c[k] = simd.mul_add_e_f64s(row, c, with_c[k]);
                if BOTH {
                    with_x[k] = simd.mul_add_e_f64s(row, x, with_x[k]);
                }
            }
        }
    }
    let mut done = c.len() - c_tail.len();
    for (c, x) in c_tail.chunks(lanes).zip(x_tail.chunks(lanes)) {
        let end = done + c.len();
        let (c, x) = (load(simd, c), load(simd, x));
        for k in 0..K {
            let row = load(simd, &rows[k][done..end]);
            with_c[k] = simd.mul_add_e_f64s(row, c, with_c[k]);
            if BOTH {
                with_x[k] = simd.mul_add_e_f64s(row, x, with_x[k]);
            }
        }
        done = end;
    }
    let mut out = [(0.0, 0.0); K];
    for k in 0..K {
        out[k].0 = simd.reduce_sum_f64s(with_c[k]);
        if BOTH {
            out[k].1 = simd.reduce_sum_f64s(with_x[k]);
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
    let (mut dot, mut square) =
        (simd.reduce_sum_f64s(join(simd, dots)), simd.reduce_sum_f64s(join(simd, squares)));
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
    let (mut cross, mut square) = (simd.reduce_sum_f64s(cross), simd.reduce_sum_f64s(square));
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
pub(crate) fn exp_in_place<S: Simd>(simd: S, values: &mut [f64]) {
    let (body, rest) = S::as_mut_simd_f64s(values);
    for register in body {
        *register = exp(simd, *register);
    }
    // The last few go through the same vector code: one by one they would take longer than all others.
    let mut last = [exp(simd, load(simd, rest))];
    let lanes: &mut [f64] = bytemuck::cast_slice_mut(&mut last);
    rest.copy_from_slice(&lanes[..rest.len()]);
}

#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
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
    let round = simd.splat_f64s(ROUND);
    let shifted = simd.mul_add_e_f64s(x, simd.splat_f64s(std::f64::consts::LOG2_E), round);
    let minus_k = simd.sub_f64s(round, shifted);
    let r = simd.mul_add_e_f64s(minus_k, simd.splat_f64s(LN_2_HIGH), x);
    let r = simd.mul_add_e_f64s(minus_k, simd.splat_f64s(LN_2_LOW), r);
    let mut sum = simd.splat_f64s(INVERSE_FACTORIALS[13]);
    for i in (0..13).rev() {
        sum = simd.mul_add_e_f64s(sum, r, simd.splat_f64s(INVERSE_FACTORIALS[i]));
    }
    let mut power = shifted;
    let lanes: &mut [u64] = bytemuck::cast_slice_mut(slice::from_mut(&mut power));
    for lane in lanes {
        *lane = lane.wrapping_add(1023) << 52;
    }
    let in_range = simd.greater_than_f64s(x, simd.splat_f64s(-708.0));
    simd.select_f64s(in_range, simd.mul_f64s(sum, power), simd.splat_f64s(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of this for one set of instructions, the one that the machine picks.
    struct Check;

    impl WithSimd for Check {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for genes in [1, 7, 8, 9, 31, 64, 101] {
                let row = |k: usize| -> Vec<f32> { (0..genes).map(|g| ((g * 7 + k) % 11) as f32).collect() };
                let rows: Vec<Vec<f32>> = (0..4).map(row).collect();
                let c: Vec<f64> = (0..genes).map(|g| g as f64 - 3.0).collect();
                let x: Vec<f64> = (0..genes).map(|g| (g % 5) as f64).collect();
                let four = [&rows[0][..], &rows[1], &rows[2], &rows[3]];
                let both = products::<S, f32, 4, true>(simd, four, &c, &x);
                for k in 0..4 {
                    // Small integers: every order of summation gives the same.
                    let with = |b: &[f64]| rows[k].iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum::<f64>();
                    assert_eq!(both[k], (with(&c), with(&x)));
                    let alone = products::<S, f32, 1, false>(simd, [four[k]], &c, &x);
                    assert_eq!(alone[0].0, both[k].0);
                }
                let mut left = c.clone();
                let square = center(simd, &mut left, 2.0);
                assert_eq!(left, c.iter().map(|c| c - 2.0).collect::<Vec<_>>());
                assert_eq!(square, left.iter().map(|c| c * c).sum::<f64>());
                assert_eq!(largest(simd, &c), genes as f64 - 4.0);
                let mut some = c.clone();
                some[genes - 1] = f64::NAN;
                let second = if genes == 1 { f64::NEG_INFINITY } else { genes as f64 - 5.0 };
                assert_eq!(largest(simd, &some), second);
            }
        }
    }

    #[test]
    fn any_number_of_genes_is_summed_whole() {
        dispatch(Check);
    }
}
