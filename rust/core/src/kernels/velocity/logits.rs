//! Similarities of displacements and velocities for all edges of a graph.

use pulp::{Simd, WithSimd};

use super::{Inputs, Similarity};
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::features::{Element, Features, Matrix, RowCache};
use crate::order::by_locality;
use crate::run::Run;
use crate::simd;
use crate::with_matrix;

/// Cells per block: enough to make the bookkeeping cheap, few enough to react to a cancel quickly.
const BLOCK: usize = 64;

/// `l_ij` for each stored edge of `graph` with the velocity of the row's cell; NaN where the product of
/// the norms is zero, so that a direction does not exist.
///
/// With `c` the (centered) velocity, `d . c = x_j . c - x_i . c` and
/// `|d|^2 = |x_i|^2 + |x_j|^2 - 2 x_i . x_j`, less `(sum d)^2 / genes` when centered: two products for
/// each edge. Where too many digits cancel in `|d|^2` (see [`Element::CANCELLED`]), both are summed up
/// from `d` itself.
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
    /// Expression and (centered) velocity of one cell.
    x: Vec<f64>,
    c: Vec<f64>,
    /// `(x_j . c, x_j . x_i)` for the neighbors of one cell.
    products: Vec<(f64, f64)>,
    squares: Vec<f64>,
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
            sums: vec![(f64::NAN, f64::NAN); if similarity == Similarity::DotProduct { 0 } else { cells }],
            x: vec![0.0; genes],
            c: vec![0.0; genes],
            products: Vec::new(),
            squares: Vec::new(),
            out: Vec::new(),
        },
        |scratch, range| {
            let cells = &order[range];
            let neighbors = cells.iter().flat_map(|&i| graph.cols(i as usize)).map(|&j| j as usize);
            scratch.rows.load(neighbors.chain(cells.iter().map(|&i| i as usize)));
            simd::dispatch(Block { graph, inputs, similarity, cells, scratch })
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
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Self { graph, inputs, similarity, cells, scratch } = self;
        scratch.out.clear();
        for &i in cells {
            let i = i as usize;
            widen_row(inputs.v, i, &mut scratch.c);
            let norm = prepare(simd, &mut scratch.c, similarity);
            if !norm.is_finite() {
                return Err(Error::NotFinite { what: "the velocity".into(), row: i });
            }
            let neighbors = graph.cols(i);
            if similarity == Similarity::DotProduct {
                scratch.multiply::<S, false>(simd, i, neighbors);
                scratch.dot_products(simd, i, neighbors)?;
            } else {
                simd::widen(scratch.rows.row(i), &mut scratch.x);
                scratch.multiply::<S, true>(simd, i, neighbors);
                scratch.cosines(simd, i, neighbors, norm, similarity == Similarity::Correlation)?;
            }
        }
        Ok(())
    }
}

impl<E: Element> Scratch<'_, '_, E> {
    /// Multiplies the rows of the neighbors with `c` and, if `NORMS`, with `x`.
    #[inline(always)]
    fn multiply<S: Simd, const NORMS: bool>(&mut self, simd: S, i: usize, neighbors: &[i32]) {
        let Self { rows, c, x, products, .. } = self;
        let row = |j: i32| rows.row(j as usize);
        products.clear();
        let (fours, rest) = neighbors.as_chunks::<4>();
        for &[p, q, r, s] in fours {
            let four = [row(p), row(q), row(r), row(s)];
            products.extend_from_slice(&simd::products::<S, E, 4, NORMS>(simd, four, c, x));
        }
        match *rest {
            [p, q, r] => {
                let three = [row(p), row(q), row(r)];
                products.extend_from_slice(&simd::products::<S, E, 3, NORMS>(simd, three, c, x));
            }
            [p, q] => {
                products.extend_from_slice(&simd::products::<S, E, 2, NORMS>(simd, [row(p), row(q)], c, x));
            }
            [p] => products.extend_from_slice(&simd::products::<S, E, 1, NORMS>(simd, [row(p)], c, x)),
            _ => {}
        }
        products.extend_from_slice(&simd::products::<S, E, 1, false>(simd, [rows.row(i)], c, x));
    }

    #[inline(always)]
    fn dot_products<S: Simd>(&mut self, _: S, i: usize, neighbors: &[i32]) -> Result<()> {
        let Self { products, out, .. } = self;
        let own = products[neighbors.len()].0;
        for (&j, &(with_c, _)) in neighbors.iter().zip(products.iter()) {
            // Exactly 0 with itself, whatever rounding says.
            let l = if j as usize == i { 0.0 } else { with_c - own };
            if !l.is_finite() {
                return Err(Error::NotFinite { what: "the expression".into(), row: i });
            }
            out.push(l);
        }
        Ok(())
    }

    #[inline(always)]
    fn cosines<S: Simd>(
        &mut self,
        simd: S,
        i: usize,
        neighbors: &[i32],
        norm: f64,
        centered: bool,
    ) -> Result<()> {
        let Self { rows, sums, c, products, squares, out, .. } = self;
        for j in neighbors.iter().map(|&j| j as usize).chain([i]) {
            if sums[j].0.is_nan() {
                sums[j] = simd::sum_and_square(simd, rows.row(j));
                if !sums[j].1.is_finite() {
                    return Err(Error::NotFinite { what: "the expression".into(), row: j });
                }
            }
        }
        let own = products[neighbors.len()].0;
        let share = if centered { 1.0 / c.len() as f64 } else { 0.0 };
        let (sum_i, square_i) = sums[i];
        let start = out.len();
        squares.clear();
        for (&j, &(with_c, with_x)) in neighbors.iter().zip(products.iter()) {
            let (sum_j, square_j) = sums[j as usize];
            let difference = sum_j - sum_i;
            squares.push(square_i + square_j - 2.0 * with_x - difference * difference * share);
            out.push(with_c - own);
        }
        for (l, &square) in out[start..].iter_mut().zip(squares.iter()) {
            *l = (*l / (norm * square.sqrt())).clamp(-1.0, 1.0);
        }
        for ((l, &square), &j) in out[start..].iter_mut().zip(squares.iter()).zip(neighbors) {
            let j = j as usize;
            if norm == 0.0 || j == i {
                *l = f64::NAN;
            } else if square < E::CANCELLED * (square_i + sums[j].1) {
                *l = from_displacement(simd, [rows.row(i), rows.row(j)], c, norm, [sums[i], sums[j]], share);
            }
        }
        Ok(())
    }
}

/// The similarity to a neighbor that is close by, from the displacement itself.
#[inline(always)]
fn from_displacement<S: Simd, E: Element>(
    simd: S,
    [x, row]: [&[E]; 2],
    c: &[f64],
    norm: f64,
    [(sum_i, square_i), (sum_j, square_j)]: [(f64, f64); 2],
    share: f64,
) -> f64 {
    let (dot, square) = simd::displacement(simd, row, x, (sum_j - sum_i) * share, c);
    // Entries of d are differences of numbers of the size of x: the last digit of those is all that is
    // left when a centered d is constant over genes, and that is no direction.
    let round_off = share * (4.0 * f64::EPSILON).powi(2) * (square_i + square_j) * c.len() as f64;
    if square == 0.0 || square <= round_off {
        return f64::NAN;
    }
    (dot / (norm * square.sqrt())).clamp(-1.0, 1.0)
}

/// Row `i` as float64, vectorised where it lies in one piece.
#[inline(always)]
pub(super) fn widen_row(features: &Features<'_>, i: usize, out: &mut [f64]) {
    match features {
        Features::F32(m) if m.in_place(i).is_some() => simd::widen(m.in_place(i).unwrap_or(&[]), out),
        _ => features.copy_row(i, out),
    }
}

/// Centers a vector if the similarity asks for it and returns its norm (1 for the dot product, which
/// divides by none; NaN when a value is not finite).
#[inline(always)]
pub(super) fn prepare<S: Simd>(simd: S, c: &mut [f64], similarity: Similarity) -> f64 {
    match similarity {
        Similarity::DotProduct if simd::sum(simd, c).is_finite() => 1.0,
        Similarity::DotProduct => f64::NAN,
        Similarity::Cosine => simd::dot(simd, c, c).sqrt(),
        Similarity::Correlation => center(simd, c),
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
