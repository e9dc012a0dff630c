//! From similarities to probabilities, and the scale between them.

/// Writes `exp(scale * l) / sum` for every logit; NaN marks a neighbor that takes no part.
///
/// Neighbors without a part get probability 0; if none has one, nothing is known about the direction
/// and all get the same probability.
pub(super) fn probabilities(logits: &[f64], scale: f64, out: &mut [f64]) {
    let top = logits.iter().map(|l| scale * l).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        out.fill(1.0 / out.len() as f64);
        return;
    }
    let mut sum = 0.0;
    for (p, &l) in out.iter_mut().zip(logits) {
        *p = if l.is_nan() { 0.0 } else { (scale * l - top).exp() };
        sum += *p;
    }
    out.iter_mut().for_each(|p| *p /= sum);
}

/// `1 / median |l|` over the nonzero logits; 1 when there is none.
///
/// A row of typical similarities then spreads over one unit of the exponent.
pub(super) fn default_scale(logits: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = logits.iter().map(|l| l.abs()).filter(|&l| l > 0.0).collect();
    if sizes.is_empty() {
        return 1.0;
    }
    let middle = sizes.len() / 2;
    let odd = sizes.len() % 2 == 1;
    let (below, &mut upper, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = if odd { upper } else { below.iter().copied().fold(0.0, f64::max) };
    2.0 / (lower + upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softmax(logits: &[f64], scale: f64) -> Vec<f64> {
        let mut out = vec![0.0; logits.len()];
        probabilities(logits, scale, &mut out);
        out
    }

    #[test]
    fn odds_are_exponentials() {
        let p = softmax(&[0.0, 2.0_f64.ln()], 1.0);
        assert!((p[0] - 1.0 / 3.0).abs() < 1e-15 && (p[1] - 2.0 / 3.0).abs() < 1e-15);
        assert_eq!(softmax(&[1e6, -1e6, 1e6], 4.0), [0.5, 0.0, 0.5]);
    }

    #[test]
    fn masked_neighbors_get_nothing_and_all_masked_share_alike() {
        assert_eq!(softmax(&[f64::NAN, 0.3, 0.3], 9.0), [0.0, 0.5, 0.5]);
        assert_eq!(softmax(&[f64::NAN; 4], 9.0), [0.25; 4]);
    }

    #[test]
    fn the_median_ignores_zeros_and_signs() {
        assert_eq!(default_scale(&[0.0, -0.5, 0.25, f64::NAN, 0.0, 1.0]), 2.0);
        assert_eq!(default_scale(&[0.25, -0.75]), 2.0);
        assert_eq!(default_scale(&[0.0, f64::NAN]), 1.0);
    }
}
