//! The exponential of many numbers at once.

/// Replaces each value by its exponential; relative error below 3e-16, results are 0 below -708 and cut at
/// `exp(709)`.
///
/// Written without branches, so that it is compiled to vector instructions: the log link takes one
/// exponential for every cell, gene and step, which is most of the work of a fit.
#[inline(always)]
pub(crate) fn exp_in_place(values: &mut [f64]) {
    for value in values {
        *value = exp(*value);
    }
}

const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fefa_3800); // the first 42 bits of log 2
const LN2_LOW: f64 = 5.497_923_018_708_371e-14; // log 2 less these
/// Adding this rounds to the nearest whole number and leaves it in the last bits (for |x| < 2^51).
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

#[inline(always)]
fn exp(x: f64) -> f64 {
    // exp(x) = 2^n exp(r) with x = n log 2 + r and |r| <= log(2) / 2; Taylor's series to r^13.
    let t = x.clamp(-708.0, 709.0);
    let shifted = t * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (t - n * LN2_HIGH) - n * LN2_LOW;
    const C: [f64; 12] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    let mut p = C[0];
    for c in &C[1..] {
        p = p * r + c;
    }
    let y = 1.0 + (r + r * r * p);
    let scale = f64::from_bits((shifted.to_bits().wrapping_add(1023)) << 52);
    if x < -708.0 {
        0.0
    } else {
        y * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_library_says() {
        let mut largest: f64 = 0.0;
        for i in -70_000..=70_000 {
            let x = f64::from(i) * 0.010_123_4;
            let mut value = [x];
            exp_in_place(&mut value);
            if (-708.0..709.0).contains(&x) {
                largest = largest.max((value[0] / x.exp() - 1.0).abs());
            }
        }
        assert!(largest < 5e-16, "{largest:e}");
        let mut ends = [0.0, -1000.0, f64::NEG_INFINITY, 1000.0, f64::NAN];
        exp_in_place(&mut ends);
        assert_eq!(ends[..3], [1.0, 0.0, 0.0]);
        assert!(ends[3] > 8e307 && ends[4].is_nan());
    }
}
