//! A tall orthonormal basis of long vectors, kept in tiles of rows.
//!
//! A tile holds `TILE` rows of all columns, column after column, so that a pass over the basis reads each
//! tile once while it is in cache, and threads take tiles. Sums over rows are made per tile and added in
//! the order of the tiles: the number of threads changes no bit.

use pulp::{Simd, WithSimd};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::dense::Mat;
use crate::simd::{dispatch, dot};

/// Rows per tile.
pub(super) const TILE: usize = 512;

/// What is left of a vector after one round is accurate enough if it is not shorter by more than this.
const SHRUNK: f64 = 0.5;

/// Vectors in a row that one round may be enough for.
const SKIPS: usize = 2;
/// Rounds after the first, at most.
const ROUNDS: usize = 6;

/// Calls `f(tile number, chunk of a, chunk of b, chunk of c)` for each tile, on all threads of the pool.
pub(super) fn for_tiles(
    parallel: bool,
    (a, a_size): (&mut [f64], usize),
    (b, b_size): (&mut [f64], usize),
    (c, c_size): (&mut [f64], usize),
    f: impl Fn(usize, &mut [f64], &mut [f64], &mut [f64]) + Sync + Send,
) {
    if parallel {
        a.par_chunks_mut(a_size)
            .zip(b.par_chunks_mut(b_size))
            .zip(c.par_chunks_mut(c_size))
            .enumerate()
            .for_each(|(t, ((a, b), c))| f(t, a, b, c));
    } else {
        a.chunks_mut(a_size)
            .zip(b.chunks_mut(b_size))
            .zip(c.chunks_mut(c_size))
            .enumerate()
            .for_each(|(t, ((a, b), c))| f(t, a, b, c));
    }
}

/// Up to `width` vectors of length `n`.
#[derive(Debug)]
pub(super) struct Basis {
    n: usize,
    width: usize,
    parallel: bool,
    /// Whether the last vector lay almost in the span of those before.
    shrinks: bool,
    /// Vectors since the last that was made orthogonal twice.
    skipped: usize,
    tiles: Vec<f64>,
    partial: Vec<f64>,
}

impl Basis {
    pub(super) fn new(n: usize, width: usize, parallel: bool) -> Self {
        let n_tiles = n.div_ceil(TILE);
        let (tiles, partial) = (vec![0.0; n_tiles * TILE * width], vec![0.0; n_tiles * (width + 1)]);
        Self { n, width, parallel, shrinks: true, skipped: 0, tiles, partial }
    }

    /// Makes room for `width` vectors in all.
    pub(super) fn widen(&mut self, width: usize) {
        let mut wider = Self::new(self.n, width, self.parallel);
        for (to, from) in wider.tiles.chunks_mut(TILE * width).zip(self.tiles.chunks(TILE * self.width)) {
            to[..from.len()].copy_from_slice(from);
        }
        *self = wider;
    }

    /// Copies column `j` to `out`.
    pub(super) fn read(&self, j: usize, out: &mut [f64]) {
        for (tile, out) in self.tiles.chunks(TILE * self.width).zip(out.chunks_mut(TILE)) {
            out.copy_from_slice(&tile[j * TILE..j * TILE + out.len()]);
        }
    }

    /// Copies the leading entries of row `i` to `out`.
    pub(super) fn row(&self, i: usize, out: &mut [f64]) {
        let first = i / TILE * TILE * self.width + i % TILE;
        out.iter_mut().zip(self.tiles[first..].iter().step_by(TILE)).for_each(|(out, x)| *out = *x);
    }

    /// Copies `values` to column `j`.
    pub(super) fn write(&mut self, j: usize, values: &[f64]) {
        for (tile, values) in self.tiles.chunks_mut(TILE * self.width).zip(values.chunks(TILE)) {
            tile[j * TILE..j * TILE + values.len()].copy_from_slice(values);
        }
    }

    /// Makes `w` orthogonal to the first `count` columns, by classical Gram-Schmidt, twice where once would
    /// lose digits (Daniel et al. 1976).
    ///
    /// Returns its coefficients in them and the norm of what is left.
    pub(super) fn orthogonalise(&mut self, count: usize, w: &mut [f64]) -> (Vec<f64>, f64) {
        let mut h = self.pass(count, w, &[]);
        let before = h[count].sqrt();
        h.truncate(count);
        // What one vector keeps of those before it grows from vector to vector, unless every few of them
        // are made orthogonal in earnest.
        let due = self.skipped >= SKIPS;
        // Products for the second round cost no further pass if they are made at once: worth it where the
        // last vector needed them.
        let mut eager = self.shrinks || due;
        let mut again = self.pass(if eager { count } else { 0 }, w, &h);
        let mut after = again.last().map_or(0.0, |square| square.sqrt());
        self.shrinks = after < SHRUNK * before;
        // Two rounds do, unless nothing but rounding errors are left: then until what is left is none.
        let mut left = before;
        self.skipped = if self.shrinks || due { 0 } else { self.skipped + 1 };
        for round in 0..ROUNDS {
            if after >= SHRUNK * left && !(due && round == 0) {
                break;
            }
            if !eager {
                again = self.pass(count, w, &[]);
            }
            again.truncate(count);
            h.iter_mut().zip(&again).for_each(|(h, c)| *h += c);
            left = after;
            after = self.pass(0, w, &again)[0].sqrt();
            eager = false;
        }
        (h, after)
    }

    /// Norm of `w - V coefficients`, which `w` becomes.
    pub(super) fn rest(&mut self, coefficients: &[f64], w: &mut [f64]) -> f64 {
        self.pass(0, w, coefficients)[0].sqrt()
    }

    /// `w -= V subtract`, then the products of `w` with the first `count` columns and with itself.
    fn pass(&mut self, count: usize, w: &mut [f64], subtract: &[f64]) -> Vec<f64> {
        let slots = self.width + 1;
        for_tiles(
            self.parallel,
            (&mut self.tiles, TILE * self.width),
            (w, TILE),
            (&mut self.partial, slots),
            |_, tile, w, sums| dispatch(Pass { tile, w, subtract, sums: &mut sums[..=count] }),
        );
        let mut out = vec![0.0; count + 1];
        for sums in self.partial.chunks(slots) {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
        out
    }

    /// Replaces the `u.n_rows()` columns from `first` on by their products with `u`.
    pub(super) fn rotate(&mut self, first: usize, u: &Mat) {
        let width = self.width;
        let n = self.n;
        let (mut none, mut nothing) = (vec![0.0; n.div_ceil(TILE)], vec![0.0; n.div_ceil(TILE)]);
        for_tiles(
            self.parallel,
            (&mut self.tiles, TILE * width),
            (&mut none, 1),
            (&mut nothing, 1),
            |_, tile, _, _| {
                let mut out = vec![0.0; TILE * u.n_cols()];
                let tile = &mut tile[first * TILE..(first + u.n_rows()) * TILE];
                dispatch(Product { tile, u, out: &mut out });
                tile[..out.len()].copy_from_slice(&out);
            },
        );
    }

    /// Writes a random unit vector, orthogonal to the first `count` columns, to column `count`; it depends
    /// on `seed` and `stream` alone. `false` if there is no such vector.
    pub(super) fn randomize(&mut self, count: usize, seed: u64, stream: u64, w: &mut [f64]) -> bool {
        if count >= self.n {
            return false;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        for x in w.iter_mut() {
            *x = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        let before = self.orthogonalise(0, w).1;
        let mut norm = self.orthogonalise(count, w).1;
        if norm <= 1e-13 * before {
            return false;
        }
        w.iter_mut().for_each(|x| *x /= norm);
        norm = self.orthogonalise(count, w).1;
        w.iter_mut().for_each(|x| *x /= norm);
        self.write(count, w);
        true
    }
}

struct Pass<'a> {
    tile: &'a [f64],
    w: &'a mut [f64],
    subtract: &'a [f64],
    sums: &'a mut [f64],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, w, subtract, sums } = self;
        let n = w.len();
        let col = |j: usize| &tile[j * TILE..j * TILE + n];
        let mut j = 0;
        while j + 4 <= subtract.len() {
            let (a, b, c, d) = (col(j), col(j + 1), col(j + 2), col(j + 3));
            let [fa, fb, fc, fd] = [subtract[j], subtract[j + 1], subtract[j + 2], subtract[j + 3]];
            for i in 0..n {
                w[i] -= (fa * a[i] + fb * b[i]) + (fc * c[i] + fd * d[i]);
            }
            j += 4;
        }
        while j < subtract.len() {
            let (a, factor) = (col(j), subtract[j]);
            for i in 0..n {
                w[i] -= factor * a[i];
            }
            j += 1;
        }
        let last = sums.len() - 1;
        for (j, sum) in sums[..last].iter_mut().enumerate() {
            *sum = dot(simd, col(j), w);
        }
        sums[last] = dot(simd, w, w);
    }
}

struct Product<'a> {
    tile: &'a [f64],
    u: &'a Mat,
    out: &'a mut [f64],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { tile, u, out } = self;
        let col = |k: usize| &tile[k * TILE..(k + 1) * TILE];
        for (j, out) in out.chunks_exact_mut(TILE).enumerate() {
            let factors = u.col(j);
            let mut k = 0;
            while k + 4 <= factors.len() {
                let (a, b, c, d) = (col(k), col(k + 1), col(k + 2), col(k + 3));
                let [fa, fb, fc, fd] = [factors[k], factors[k + 1], factors[k + 2], factors[k + 3]];
                for i in 0..TILE {
                    out[i] += (fa * a[i] + fb * b[i]) + (fc * c[i] + fd * d[i]);
                }
                k += 4;
            }
            while k < factors.len() {
                let (a, factor) = (col(k), factors[k]);
                for i in 0..TILE {
                    out[i] += factor * a[i];
                }
                k += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_vectors_are_orthonormal_and_rotations_keep_the_span() {
        let n = 1300;
        for parallel in [false, true] {
            let mut basis = Basis::new(n, 6, parallel);
            let mut w = vec![0.0; n];
            (0..5).for_each(|j| assert!(basis.randomize(j, 7, j as u64, &mut w)));
            let column = |basis: &Basis, j| {
                let mut out = vec![0.0; n];
                basis.read(j, &mut out);
                out
            };
            let first = column(&basis, 1);
            // Exchange columns 1 and 2, negate 3.
            let u = Mat::from_fn(3, 3, |i, j| [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]][i][j]);
            basis.rotate(1, &u);
            assert_eq!(first, column(&basis, 2));
            let mut w = first.clone();
            let (h, rest) = basis.orthogonalise(5, &mut w);
            assert!(rest < 1e-14);
            for (h, expected) in h.iter().zip([0.0, 0.0, 1.0, 0.0, 0.0]) {
                assert!((h - expected).abs() < 1e-14);
            }
        }
    }
}
