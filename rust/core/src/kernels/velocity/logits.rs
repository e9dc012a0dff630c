//! Similarities of displacements and velocities for all edges of a graph.

use pulp::{Simd, WithSimd};

use super::{Inputs, Similarity};
use crate::csr::Csr;
use crate::error::Result;
use crate::features::{Element, Matrix, RowCache};
use crate::order::by_locality;
use crate::run::Run;
use crate::simd;
use crate::with_matrix;

/// Cells per block: few enough to share neighbors, enough to make the bookkeeping cheap.
pub(super) const BLOCK: usize = 64;

/// Neighbors whose rows are read side by side: more would not fit into the registers.
const TOGETHER: usize = 4;

/// `|d|^2` is found as `|x_i|^2 + |x_j|^2 - 2 x_i . x_j`, unless what is left is smaller than this share
/// of `|x_i|^2 + |x_j|^2`: then so many digits have cancelled that it is summed up from `d` itself.
/// Keeps similarities exact to about 1e-12.
const CANCELLED: f64 = 1e-4;

/// `l_ij` for each stored edge of `graph` with the velocity of the row's cell; NaN where the product of
/// the norms is zero, so that a direction does not exist.
pub(super) fn forward(
    graph: &Csr<'_>,
    inputs: &Inputs<'_>,
    similarity: Similarity,
    run: &Run,
) -> Result<Vec<f64>> {
    run.expect_steps(graph.n_rows());
    with_matrix!(inputs.x, x => forward_typed(graph, x, inputs, similarity, run))
}

/// What a thread keeps between cells.
struct Scratch<'m, 'a, E: Element> {
    rows: RowCache<'m, 'a, E>,
    /// `(sum x_j, sum x_j^2)` of the cells met so far; NaN before.
    sums: Vec<(f64, f64)>,
    x: Vec<f64>,
    c: Vec<f64>,
    out: Vec<f64>,
}

fn forward_typed<E: Element>(
    graph: &Csr<'_>,
    x: &Matrix<'_, E>,
    inputs: &Inputs<'_>,
    similarity: Similarity,
    run: &Run,
) -> Result<Vec<f64>> {
    let (cells, genes) = (x.n_rows(), x.width());
    let order = by_locality(graph);
    let mut logits = vec![0.0; graph.nnz()];
    run.blocks(
        graph.n_rows(),
        BLOCK,
        || Scratch {
            rows: RowCache::new(x),
            sums: vec![(f64::NAN, f64::NAN); cells],
            x: vec![0.0; genes],
            c: vec![0.0; genes],
            out: Vec::new(),
        },
        |scratch, range| {
            let cells = &order[range];
            let neighbors = |&i: &u32| graph.cols(i as usize).iter().map(|&j| j as usize);
            scratch.rows.load(cells.iter().flat_map(neighbors).chain(cells.iter().map(|&i| i as usize)));
            simd::dispatch(Block { graph, inputs, similarity, cells, scratch });
            Ok(())
        },
        |scratch, range| {
            let mut at = 0;
            for &i in &order[range] {
                let row = graph.range(i as usize);
                let len = row.len();
                logits[row].copy_from_slice(&scratch.out[at..at + len]);
                at += len;
            }
        },
    )?;
    Ok(logits)
}

struct Block<'b, 'm, 'a, 'g, E: Element> {
    graph: &'b Csr<'g>,
    inputs: &'b Inputs<'b>,
    similarity: Similarity,
    cells: &'b [u32],
    scratch: &'b mut Scratch<'m, 'a, E>,
}

impl<E: Element> WithSimd for Block<'_, '_, '_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.similarity {
            Similarity::DotProduct => self.logits::<S, false>(simd),
            Similarity::Cosine | Similarity::Correlation => self.logits::<S, true>(simd),
        }
    }
}

impl<E: Element> Block<'_, '_, '_, '_, E> {
    #[inline(always)]
    fn logits<S: Simd, const NORMS: bool>(self, simd: S) {
        let Self { graph, inputs, similarity, cells, scratch } = self;
        let Scratch { rows, sums, x, c, out } = scratch;
        out.clear();
        for &i in cells {
            let i = i as usize;
            simd::widen(rows.row(i), x);
            inputs.v.copy_row(i, c);
            let norm = prepare(simd, c, similarity);
            if NORMS {
                for j in graph.cols(i).iter().map(|&j| j as usize).chain([i]) {
                    if sums[j].0.is_nan() {
                        sums[j] = simd::sum_and_square(simd, rows.row(j));
                    }
                }
            }
            let cell = Cell { i, x, c, norm, dot: simd::dot(simd, x, c), similarity };
            let (fours, rest) = graph.cols(i).as_chunks::<TOGETHER>();
            for four in fours {
                let [a, b, c, d] = four.map(|j| j as usize);
                let four = [rows.row(a), rows.row(b), rows.row(c), rows.row(d)];
                let products = simd::products::<S, E, TOGETHER, NORMS>(simd, four, cell.c, cell.x);
                for (k, j) in [a, b, c, d].into_iter().enumerate() {
                    out.push(cell.logit(simd, j, four[k], products[k], sums));
                }
            }
            for &j in rest {
                let j = j as usize;
                let row = rows.row(j);
                let [products] = simd::products::<S, E, 1, NORMS>(simd, [row], cell.c, cell.x);
                out.push(cell.logit(simd, j, row, products, sums));
            }
        }
    }
}

/// Centers the velocity if the similarity asks for it and returns its norm.
#[inline(always)]
pub(super) fn prepare<S: Simd>(simd: S, c: &mut [f64], similarity: Similarity) -> f64 {
    match similarity {
        Similarity::DotProduct => 1.0,
        Similarity::Cosine => simd::dot(simd, c, c).sqrt(),
        Similarity::Correlation => center(simd, c),
    }
}

/// A cell whose neighbors are compared with its velocity.
struct Cell<'c> {
    i: usize,
    /// Expression.
    x: &'c [f64],
    /// Velocity, centered for the correlation.
    c: &'c [f64],
    /// `|c|`
    norm: f64,
    /// `x . c`
    dot: f64,
    similarity: Similarity,
}

impl Cell<'_> {
    /// The similarity to neighbor `j` from `(x_j . c, x_j . x_i)`.
    #[inline(always)]
    fn logit<S: Simd, E: Element>(
        &self,
        simd: S,
        j: usize,
        row: &[E],
        (with_c, with_x): (f64, f64),
        sums: &[(f64, f64)],
    ) -> f64 {
        let mut dot = with_c - self.dot;
        if self.similarity == Similarity::DotProduct {
            return if j == self.i { 0.0 } else { dot };
        }
        let [(sum_i, square_i), (sum_j, square_j)] = [sums[self.i], sums[j]];
        let n = self.x.len() as f64;
        let shift = if self.similarity == Similarity::Correlation { (sum_j - sum_i) / n } else { 0.0 };
        let mut square = square_i + square_j - 2.0 * with_x - n * shift * shift;
        if square < CANCELLED * (square_i + square_j) {
            (dot, square) = simd::displacement(simd, row, self.x, shift, self.c);
            // Entries of d are differences of numbers of the size of x: the last digit of those is all
            // that is left when d is constant over genes.
            let size = ((square_i + square_j) / n).sqrt();
            if j == self.i || (shift != 0.0 && square <= n * (4.0 * f64::EPSILON * size).powi(2)) {
                return f64::NAN;
            }
        }
        let norm = self.norm * square.sqrt();
        if norm == 0.0 {
            f64::NAN
        } else {
            (dot / norm).clamp(-1.0, 1.0)
        }
    }
}

/// Subtracts the mean and returns the norm that is left; exactly 0 when that is only round-off.
#[inline(always)]
pub(super) fn center<S: Simd>(simd: S, values: &mut [f64]) -> f64 {
    let n = values.len() as f64;
    let mean = simd::sum(simd, values) / n;
    for x in values.iter_mut() {
        *x -= mean;
    }
    let square = simd::dot(simd, values, values);
    if square <= n * (4.0 * f64::EPSILON * mean).powi(2) {
        return 0.0;
    }
    square.sqrt()
}
