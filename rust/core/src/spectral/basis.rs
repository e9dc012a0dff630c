//! A tall orthonormal basis of long vectors, kept in tiles of rows.
//!
//! A tile holds `TILE` rows of all columns, column after column, so that a pass over the basis reads each
//! tile once while it is in cache, and threads take tiles. Sums over rows are made per tile and added in
//! the order of the tiles: the number of threads changes no bit.

use pulp::{Simd, WithSimd};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::aligned::Aligned;
use super::dense::Mat;
use super::panel::{Products, Project, Rotate};
use crate::simd::{dispatch, dot};

/// Rows per tile.
///
/// An odd number of cache lines, so that the rows of a tile do not compete for the same places in the cache.
pub(super) const TILE: usize = 504;

/// What is left of a vector after one round is accurate enough if it is not shorter by more than this.
const SHRUNK: f64 = 0.5;

/// Rounds, at most.
const ROUNDS: usize = 8;
/// Square of the part of a column of a panel that must be new.
const INDEPENDENT: f64 = 1e-6;
/// Square of a norm that is nothing but rounding errors of vectors of norm 1.
const NOTHING: f64 = 1e-28;

/// Calls `f(tile number, chunk of a, chunk of b)` for each tile, on all threads of the pool.
pub(super) fn for_tiles<A: Send, B: Send>(
    parallel: bool,
    (a, a_size): (&mut [A], usize),
    (b, b_size): (&mut [B], usize),
    f: impl Fn(usize, &mut [A], &mut [B]) + Sync + Send,
) {
    if parallel {
        a.par_chunks_mut(a_size).zip(b.par_chunks_mut(b_size)).enumerate().for_each(|(t, (a, b))| f(t, a, b));
    } else {
        a.chunks_mut(a_size).zip(b.chunks_mut(b_size)).enumerate().for_each(|(t, (a, b))| f(t, a, b));
    }
}

/// Up to `width` vectors of length `n`.
#[derive(Debug)]
pub(super) struct Basis {
    n: usize,
    width: usize,
    parallel: bool,
    tiles: Aligned,
}

/// A panel in terms of an orthonormal basis: `P = V C + Q R`.
#[derive(Debug)]
pub(super) struct Panel {
    /// `C`
    pub(super) coefficients: Mat,
    /// `R`, upper triangular with a positive diagonal.
    pub(super) triangle: Mat,
}

impl Basis {
    pub(super) fn new(n: usize, width: usize, parallel: bool) -> Self {
        Self { n, width, parallel, tiles: Aligned::zeros(n.div_ceil(TILE) * TILE * width) }
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

    /// Makes `w` orthogonal to the first `count` columns, by classical Gram-Schmidt, twice, and again where
    /// hardly more than rounding errors are left.
    ///
    /// Returns its coefficients in them and the norm of what is left.
    pub(super) fn orthogonalise(&mut self, count: usize, w: &mut [f64]) -> (Vec<f64>, f64) {
        let mut h = vec![0.0; count];
        let (mut left, mut products) = (f64::INFINITY, vec![]);
        for round in 0..ROUNDS {
            let mut next = self.pass(count, w, &products);
            let norm = next.pop().map_or(0.0, f64::sqrt);
            h.iter_mut().zip(&products).for_each(|(h, c)| *h += c);
            if round > 1 && norm >= SHRUNK * left {
                left = norm;
                break;
            }
            (left, products) = (norm, next);
        }
        (h, left)
    }

    /// Norm of `w - V coefficients`, which `w` becomes.
    pub(super) fn rest(&mut self, coefficients: &[f64], w: &mut [f64]) -> f64 {
        self.pass(0, w, coefficients)[0].sqrt()
    }

    /// `w -= V subtract`, then the products of `w` with the first `count` columns and with itself.
    fn pass(&self, count: usize, w: &mut [f64], subtract: &[f64]) -> Vec<f64> {
        let mut partial = vec![0.0; self.n.div_ceil(TILE) * (count + 1)];
        for_tiles(self.parallel, (w, TILE), (&mut partial, count + 1), |t, w, sums| {
            let tile = &self.tiles[t * TILE * self.width..];
            dispatch(Pass { tile, w, subtract, sums });
        });
        added(&partial, count + 1)
    }

    /// Makes the `width` columns behind the first `count` orthonormal to these and to one another.
    ///
    /// Classical Gram-Schmidt for all of them at once, twice, the part within the panel by Cholesky factors of
    /// its Gram matrix less that of its projection (Carson, Lund & Rozloznik 2021, *The stability of block
    /// variants of classical Gram-Schmidt*, SIAM Journal on Matrix Analysis and Applications 42). The first column
    /// that hardly differs from a combination of those before is given up with all behind it; `None` if that
    /// leaves nothing.
    pub(super) fn orthogonalise_panel(&mut self, count: usize, width: usize) -> Option<Panel> {
        let (mut c, gram) = self.panel_products(count, width, None);
        let first = rest(&gram, &c).cholesky(|j| (INDEPENDENT * gram[(j, j)]).max(NOTHING));
        let mut kept = first.n_cols();
        if kept == 0 {
            return None;
        }
        c = c.block(0..count, 0..kept);
        let (mut again, gram) = self.panel_products(count, kept, Some((&c, &first)));
        let mut second = rest(&gram, &again).cholesky(|_| SHRUNK);
        kept = second.n_cols();
        if kept == 0 {
            return None;
        }
        let first = first.block(0..kept, 0..kept);
        again = again.block(0..count, 0..kept);
        self.project(count, &again, &second);
        c = c.block(0..count, 0..kept);
        let more = again.times(&first);
        let coefficients = Mat::from_fn(count, kept, |i, j| c[(i, j)] + more[(i, j)]);
        second = second.times(&first);
        Some(Panel { coefficients, triangle: second })
    }

    /// Products of the `width` columns behind the first `count` with those and among themselves, after they were
    /// projected.
    fn panel_products(&mut self, count: usize, width: usize, by: Option<(&Mat, &Mat)>) -> (Mat, Mat) {
        let all = count + width;
        let mut partial = vec![0.0; self.n.div_ceil(TILE) * all * width];
        for_tiles(
            self.parallel,
            (&mut self.tiles, TILE * self.width),
            (&mut partial, all * width),
            |_, tile, out| {
                let columns = &mut tile[..all * TILE];
                if let Some((coefficients, triangle)) = by {
                    let (columns, panel) = columns.split_at_mut(count * TILE);
                    dispatch(Project { columns, panel, coefficients, triangle });
                }
                dispatch(Products { columns, width, out });
            },
        );
        let sums = added(&partial, all * width);
        let at = |i: usize, j: usize| sums[j * all + i];
        (Mat::from_fn(count, width, at), Mat::from_fn(width, width, |i, j| at(count + i, j)))
    }

    /// `(P - V coefficients) triangle^-1` in the place of the columns `P` behind the first `count`.
    fn project(&mut self, count: usize, coefficients: &Mat, triangle: &Mat) {
        let size = TILE * self.width;
        let mut none = vec![(); self.n.div_ceil(TILE)];
        for_tiles(self.parallel, (&mut self.tiles, size), (&mut none, 1), |_, tile, _| {
            let (columns, panel) = tile.split_at_mut(count * TILE);
            dispatch(Project { columns, panel, coefficients, triangle });
        });
    }

    /// Replaces the `u.n_rows()` columns from `first` on by their products with `u`.
    pub(super) fn rotate(&mut self, first: usize, u: &Mat) {
        let size = TILE * self.width;
        let factors = &Mat::from_fn(u.n_rows(), u.n_cols(), |i, j| -u[(i, j)]);
        let mut none = vec![(); self.n.div_ceil(TILE)];
        for_tiles(self.parallel, (&mut self.tiles, size), (&mut none, 1), |_, tile, _| {
            let columns = &mut tile[first * TILE..(first + u.n_rows()) * TILE];
            dispatch(Rotate { columns, factors });
        });
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

/// Sums over the tiles, in their order, of what each has.
fn added(partial: &[f64], each: usize) -> Vec<f64> {
    let mut out = vec![0.0; each];
    for sums in partial.chunks(each) {
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
    }
    out
}

/// Gram matrix of what is left of a panel without its projection.
fn rest(gram: &Mat, coefficients: &Mat) -> Mat {
    let projected = coefficients.transpose().times(coefficients);
    Mat::from_fn(gram.n_rows(), gram.n_cols(), |i, j| gram[(i, j)] - projected[(i, j)])
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

    /// Panels of all widths, of which the third column is the sum of the first and a column of the basis.
    #[test]
    fn panels_are_orthonormal_and_their_factors_give_them_back() {
        let (n, count) = (1300, 5);
        let column = |basis: &Basis, j| {
            let mut out = vec![0.0; n];
            basis.read(j, &mut out);
            out
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for width in 1..=4 {
            let mut basis = Basis::new(n, count + width, width % 2 == 0);
            let mut w = vec![0.0; n];
            (0..count).for_each(|j| assert!(basis.randomize(j, 7, j as u64, &mut w)));
            let mut given: Vec<Vec<f64>> = (0..width)
                .map(|j| (0..n).map(|i| ((i * 31 + j * 17 + i * i % 7) % 23) as f64 - 9.0).collect())
                .collect();
            if width > 2 {
                given[2] = given[0].iter().zip(column(&basis, 1)).map(|(a, b)| a + b).collect();
            }
            (0..width).for_each(|j| basis.write(count + j, &given[j]));
            let Panel { coefficients, triangle } = basis.orthogonalise_panel(count, width).unwrap();
            let kept = triangle.n_cols();
            assert_eq!(kept, width.min(2));
            for j in 0..kept {
                let q = column(&basis, count + j);
                for k in 0..=count + j {
                    let expected = f64::from(u8::from(k == count + j));
                    assert!((dot(&q, &column(&basis, k)) - expected).abs() < 1e-14);
                }
                let mut back = vec![0.0; n];
                for k in 0..count + kept {
                    let factor = if k < count { coefficients[(k, j)] } else { triangle[(k - count, j)] };
                    back.iter_mut().zip(column(&basis, k)).for_each(|(back, v)| *back += factor * v);
                }
                assert!(back.iter().zip(&given[j]).all(|(a, b)| (a - b).abs() < 1e-11));
            }
        }
    }

    #[test]
    fn a_panel_within_the_span_is_given_up() {
        let (n, count) = (900, 3);
        let mut basis = Basis::new(n, count + 2, false);
        let mut w = vec![0.0; n];
        (0..count).for_each(|j| assert!(basis.randomize(j, 3, j as u64, &mut w)));
        basis.read(0, &mut w);
        basis.write(count, &w);
        w.fill(0.0);
        basis.write(count + 1, &w);
        assert!(basis.orthogonalise_panel(count, 2).is_none());
    }
}
