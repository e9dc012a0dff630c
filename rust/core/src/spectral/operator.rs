//! The matrix whose dominant subspace is wanted: a chain seen through the weights of its states.
//!
//! A product with it is what an iteration does most, so the matrix is copied once into a form that is read
//! fast: states in an order in which neighbors lie close to one another, rows in slices of [`LANES`] that
//! are worked through side by side, entry by entry, and columns in 16 bits where a tile's neighbors lie
//! within reach (Kreutzer et al. 2014, *A unified sparse matrix data format*, SIAM Journal on Scientific
//! Computing 36).

use super::basis::{for_tiles, TILE};
use crate::csr::Csr;
use crate::order::by_locality;

/// Rows worked on side by side.
const LANES: usize = 8;
/// Reach of a column of 16 bits.
const WINDOW: usize = 1 << 16;

/// Columns of the entries.
#[derive(Debug)]
enum Columns {
    /// From the first column of each tile.
    Near {
        base: Vec<u32>,
        columns: Vec<[u16; LANES]>,
    },
    Far(Vec<[u32; LANES]>),
}

/// `x -> L T R x` with diagonal `L` and `R`, on states in an order of its own.
#[derive(Debug)]
pub(super) struct Operator {
    /// The state at each place.
    order: Vec<u32>,
    /// Where the entries of each slice end.
    ends: Vec<usize>,
    columns: Columns,
    values: Vec<[f64; LANES]>,
    parallel: bool,
}

impl Operator {
    /// `t` as it is.
    pub(super) fn plain(t: &Csr<'_>, parallel: bool) -> Self {
        Self::new(t, |_| 1.0, |_| 1.0, parallel)
    }

    /// `D^(1/2) T D^(-1/2)` with `D = diag(roots^2)`, rows of `t` divided by their sums: its eigenvector of
    /// eigenvalue 1 is `roots` to the last bit or so, also if rows sum to 1 only roughly. Its orthonormal
    /// Schur vectors, divided by `roots`, are those of `T` that are orthonormal in the product with `D`.
    pub(super) fn weighted(t: &Csr<'_>, roots: Option<&[f64]>, parallel: bool) -> Self {
        let root = |i: usize| roots.map_or(1.0, |d| d[i]);
        let sum = |i: usize| t.row(i).1.iter().sum::<f64>();
        Self::new(t, |i| root(i) / sum(i), |j| 1.0 / root(j), parallel)
    }

    fn new(t: &Csr<'_>, left: impl Fn(usize) -> f64, right: impl Fn(usize) -> f64, parallel: bool) -> Self {
        let n = t.n_rows();
        let length = |i: u32| t.range(i as usize).len();
        let mut order = by_locality(t);
        // Rows of one slice are filled up to the longest.
        order.chunks_mut(TILE).for_each(|tile| tile.sort_by_key(|&i| std::cmp::Reverse(length(i))));
        let mut place = vec![0_u32; n];
        order.iter().enumerate().for_each(|(k, &i)| place[i as usize] = k as u32);
        // First and last place that the rows of a tile point to; a tile without entries points nowhere.
        let reach: Vec<(u32, u32)> = order
            .chunks(TILE)
            .map(|tile| {
                let places = tile.iter().flat_map(|&i| t.cols(i as usize)).map(|&j| place[j as usize]);
                places.fold((u32::MAX, 0), |(low, high), j| (low.min(j), high.max(j)))
            })
            .collect();
        let near = reach.iter().all(|&(low, high)| (high.saturating_sub(low) as usize) < WINDOW);
        let base: Vec<u32> = reach.iter().map(|&(low, high)| low.min(high)).collect();
        let (mut ends, mut values) = (vec![], vec![]);
        let (mut near_columns, mut far_columns) = (vec![], vec![]);
        for (slice, rows) in order.chunks(LANES).enumerate() {
            let depth = rows.first().map_or(0, |&i| length(i));
            let base = base[slice * LANES / TILE];
            for k in 0..depth {
                // What fills up a slice points to a place that is in reach.
                let (mut column, mut value) = ([base; LANES], [0.0; LANES]);
                for (lane, &i) in rows.iter().enumerate().filter(|(_, &i)| k < length(i)) {
                    let (cols, weights) = t.row(i as usize);
                    let j = cols[k] as usize;
                    column[lane] = place[j];
                    value[lane] = left(i as usize) * weights[k] * right(j);
                }
                values.push(value);
                if near {
                    near_columns.push(column.map(|j| (j - base) as u16));
                } else {
                    far_columns.push(column);
                }
            }
            ends.push(values.len());
        }
        let columns =
            if near { Columns::Near { base, columns: near_columns } } else { Columns::Far(far_columns) };
        Self { order, ends, columns, values, parallel }
    }

    pub(super) fn n(&self) -> usize {
        self.order.len()
    }

    /// The state at each place of the vectors that the operator works on.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// A vector over states, brought into the order of the operator.
    pub(super) fn ordered(&self, x: &[f64]) -> Vec<f64> {
        self.order.iter().map(|&i| x[i as usize]).collect()
    }

    /// Room for a vector to be multiplied: some more than its length.
    pub(super) fn argument(&self) -> Vec<f64> {
        vec![0.0; self.n() + WINDOW]
    }

    /// Writes the product with the vector at the beginning of `x`, made by [`Operator::argument`], to `y`.
    pub(super) fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.tiles(x, y, |y, sums| y.copy_from_slice(&sums[..y.len()]));
    }

    /// Writes twice the product with `x` less what is in `y` to `y`: the next Chebyshev polynomial of the matrix
    /// after those in `y` and `x`, times the same vector.
    pub(super) fn recur(&self, x: &[f64], y: &mut [f64]) {
        self.tiles(x, y, |y, sums| y.iter_mut().zip(sums).for_each(|(y, sum)| *y = 2.0 * sum - *y));
    }

    fn tiles(&self, x: &[f64], y: &mut [f64], store: impl Fn(&mut [f64], [f64; LANES]) + Sync + Send) {
        let mut none = vec![(); self.n().div_ceil(TILE)];
        for_tiles(self.parallel, (&mut y[..self.n()], TILE), (&mut none, 1), |tile, y, _| {
            self.tile(tile, x, y, &store);
        });
    }

    /// The rows of a tile of the product.
    ///
    /// Compiled for the baseline: loads one by one are faster than the gather instructions that newer
    /// machines would be given, and any machine gives the same bits.
    fn tile(&self, tile: usize, x: &[f64], y: &mut [f64], store: impl Fn(&mut [f64], [f64; LANES])) {
        let first = tile * (TILE / LANES);
        let mut from = if first == 0 { 0 } else { self.ends[first - 1] };
        for (y, &end) in y.chunks_mut(LANES).zip(&self.ends[first..]) {
            let values = &self.values[from..end];
            let sums = match &self.columns {
                Columns::Near { base, columns } => {
                    let Some(x) = x[base[tile] as usize..].first_chunk::<WINDOW>() else { return };
                    products(values, &columns[from..end], |j| x[j as usize])
                }
                Columns::Far(columns) => products(values, &columns[from..end], |j| x[j as usize]),
            };
            store(y, sums);
            from = end;
        }
    }
}

/// Products of the rows of a slice.
#[inline(always)]
fn products<C: Copy>(values: &[[f64; LANES]], columns: &[[C; LANES]], x: impl Fn(C) -> f64) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    for (v, c) in values.iter().zip(columns) {
        for k in 0..LANES {
            sums[k] += v[k] * x(c[k]);
        }
    }
    sums
}
