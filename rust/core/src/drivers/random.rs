//! Permutations and bootstraps of cells, each from a random stream of its own.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws number 0, 1, ... of one seed; which threads ask for which does not matter.
#[derive(Debug, Clone)]
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn stream(&self, number: u64) -> ChaCha8Rng {
        let mut rng = self.0.clone();
        rng.set_stream(number);
        rng
    }

    /// Writes a permutation of `0..out.len()`, all equally likely (Durstenfeld's shuffle).
    pub(super) fn permutation(&self, draw: usize, out: &mut [u32]) {
        let mut rng = self.stream(2 * draw as u64);
        for (i, o) in out.iter_mut().enumerate() {
            *o = i as u32;
        }
        for last in (1..out.len()).rev() {
            out.swap(last, below(&mut rng, last + 1));
        }
    }

    /// Writes how often each item is among `out.len()` drawn with replacement.
    pub(super) fn bootstrap(&self, draw: usize, out: &mut [u32]) {
        let mut rng = self.stream(2 * draw as u64 + 1);
        out.fill(0);
        for _ in 0..out.len() {
            out[below(&mut rng, out.len())] += 1;
        }
    }
}

/// A number in `0..n`: the high half of a 64 x 64 bit product, uniform to one part in `2^64 / n`.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_what_they_say() {
        let draws = Draws::new(3);
        let (mut p, mut w) = (vec![0; 100], vec![0; 100]);
        draws.permutation(5, &mut p);
        draws.bootstrap(5, &mut w);
        assert_eq!(w.iter().sum::<u32>(), 100);
        let again = {
            let mut other = vec![9; 100];
            draws.permutation(4, &mut other);
            assert_ne!(other, p);
            Draws::new(3).permutation(5, &mut other);
            other
        };
        assert_eq!(again, p);
        p.sort_unstable();
        assert_eq!(p, (0..100).collect::<Vec<_>>());
    }

    /// Over 6000 draws each of the 6 orders of three items is expected 1000 times, give or take 29.
    #[test]
    fn all_orders_are_equally_likely() {
        let mut count = std::collections::HashMap::new();
        let draws = Draws::new(0);
        for draw in 0..6000 {
            let mut p = [0; 3];
            draws.permutation(draw, &mut p);
            *count.entry(p).or_insert(0) += 1;
        }
        assert_eq!(count.len(), 6);
        assert!(count.values().all(|&c: &i32| (c - 1000).abs() < 150), "{count:?}");
    }
}
