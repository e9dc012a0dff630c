//! Similarities of displacements and velocities for all edges of a graph.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

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

/// Cells whose velocities are prepared, and whose neighbors are read for the first time, in one go.
const AHEAD: usize = 8;

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

/// `(sum x_j, sum x_j^2)` of cells, found by whichever thread meets one first; all would find the same bits.
struct Sums(Vec<[AtomicU64; 2]>);

impl Sums {
    fn new(cells: usize) -> Self {
        Self((0..cells).map(|_| [0, f64::NAN.to_bits()].map(AtomicU64::new)).collect())
    }

    #[inline(always)]
    fn known(&self, j: usize) -> bool {
        !f64::from_bits(self.0[j][1].load(Acquire)).is_nan()
    }

    /// The two sums of a cell that is known.
    #[inline(always)]
    fn of(&self, j: usize) -> (f64, f64) {
        let [sum, square] = &self.0[j];
        (f64::from_bits(sum.load(Relaxed)), f64::from_bits(square.load(Relaxed)))
    }

    #[inline(always)]
    fn set(&self, j: usize, (sum, square): (f64, f64)) {
        self.0[j][0].store(sum.to_bits(), Relaxed);
        self.0[j][1].store(square.to_bits(), Release);
    }
}

/// What a thread keeps between cells.
struct Scratch<'m, 'a, E: Element> {
    rows: RowCache<'m, 'a, E>,
    sums: &'m Sums,
    /// Cells that this thread has met.
    met: Vec<bool>,
    /// Cells that no thread has met before.
    new: Vec<u32>,
    /// (Centered) velocities of the next cells and their norms.
    ahead: Vec<f64>,
    norms: Vec<f64>,
    /// Expression of one cell.
    x: Vec<f64>,
    /// The neighbors of one cell, and last the cell itself.
    members: Vec<i32>,
    /// `(x_j . c, x_j . x_i)` for the members.
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
    let sums = Sums::new(cells);
    let mut logits = vec![0.0; graph.nnz()];
    run.blocks(
        graph.n_rows(),
        BLOCK,
        || Scratch {
            rows: RowCache::new(x),
            sums: &sums,
            met: vec![false; cells],
            new: Vec::new(),
            ahead: vec![0.0; AHEAD * genes],
            norms: Vec::new(),
            x: vec![0.0; genes],
            members: Vec::new(),
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
        let genes = inputs.v.width();
        for cells in cells.chunks(AHEAD) {
            scratch.read_ahead(simd, graph, inputs.v, similarity, cells)?;
            for (k, &i) in cells.iter().enumerate() {
                let i = i as usize;
                let neighbors = graph.cols(i);
                let c = k * genes..(k + 1) * genes;
                if similarity == Similarity::DotProduct {
                    scratch.multiply::<S, false>(simd, i, neighbors, c);
                    scratch.dot_products(simd, i, neighbors)?;
                } else {
                    simd::widen(scratch.rows.row(i), &mut scratch.x);
                    scratch.multiply::<S, true>(simd, i, neighbors, c.clone());
                    let norm = scratch.norms[k];
                    scratch.cosines(simd, i, neighbors, c, norm, similarity == Similarity::Correlation);
                }
            }
        }
        Ok(())
    }
}

impl<E: Element> Scratch<'_, '_, E> {
    /// Prepares the velocities of `cells` and sums up the rows of neighbors that are met for the first time.
    ///
    /// Both are read in one go before anything is computed from them: that is several times faster than
    /// waiting for them where [`Scratch::multiply`] reads rows side by side.
    #[inline(always)]
    fn read_ahead<S: Simd>(
        &mut self,
        simd: S,
        graph: &Csr<'_>,
        v: &Features<'_>,
        similarity: Similarity,
        cells: &[u32],
    ) -> Result<()> {
        let Self { rows, sums, met, new, members, ahead, norms, .. } = self;
        members.clear(); // all at once: what is looked up for one does not wait for the next ones to be read
        for &i in cells {
            members.extend_from_slice(graph.cols(i as usize));
            members.push(i as i32);
        }
        new.clear();
        for &j in &*members {
            let j = j as usize;
            if !met[j] {
                met[j] = true;
                if !sums.known(j) {
                    new.push(j as u32);
                }
            }
        }
        let mut seen = 0;
        for &i in cells {
            seen ^= with_matrix!(v, m => simd::touch(simd, m.row_slices(i as usize).1));
        }
        for &j in &*new {
            seen ^= simd::touch(simd, rows.row(j as usize));
        }
        std::hint::black_box(seen);
        for &j in &*new {
            let j = j as usize;
            let found = simd::sum_and_square(simd, rows.row(j));
            if !found.1.is_finite() {
                return Err(Error::NotFinite { what: "the expression".into(), row: j });
            }
            sums.set(j, found);
        }
        norms.clear();
        for (&i, c) in cells.iter().zip(ahead.chunks_exact_mut(v.width())) {
            let i = i as usize;
            widen_row(v, i, c);
            let norm = prepare(simd, c, similarity);
            if !norm.is_finite() {
                return Err(Error::NotFinite { what: "the velocity".into(), row: i });
            }
            norms.push(norm);
        }
        Ok(())
    }

    /// Multiplies the rows of the neighbors and of cell `i` itself with its `c` (where `ahead` holds it) and,
    /// if `NORMS`, with `x`.
    #[inline(always)]
    fn multiply<S: Simd, const NORMS: bool>(
        &mut self,
        simd: S,
        i: usize,
        neighbors: &[i32],
        c: Range<usize>,
    ) {
        let Self { rows, ahead, x, members, products, .. } = self;
        let (rows, c) = (&*rows, &ahead[c]);
        members.clear();
        members.extend_from_slice(neighbors);
        members.push(i as i32);
        products.clear();
        let mut rest = &members[..];
        if simd::rows_at_once::<S>(NORMS) == 8 {
            rest = multiply_by::<S, E, 8, NORMS>(simd, rows, rest, 5, c, x, products);
        }
        multiply_by::<S, E, 4, NORMS>(simd, rows, rest, 1, c, x, products);
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
        c: Range<usize>,
        norm: f64,
        centered: bool,
    ) {
        let Self { rows, sums, ahead, products, squares, out, .. } = self;
        let c = &ahead[c];
        let own = products[neighbors.len()].0;
        let share = if centered { 1.0 / c.len() as f64 } else { 0.0 };
        let (sum_i, square_i) = sums.of(i);
        let start = out.len();
        squares.clear();
        for (&j, &(with_c, with_x)) in neighbors.iter().zip(products.iter()) {
            let (sum_j, square_j) = sums.of(j as usize);
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
            } else if square < E::CANCELLED * (square_i + sums.of(j).1) {
                *l = from_displacement(
                    simd,
                    [rows.row(i), rows.row(j)],
                    c,
                    norm,
                    [sums.of(i), sums.of(j)],
                    share,
                );
            }
        }
    }
}

/// Multiplies the rows of `members`, `K` at once, as long as there are at least `fewest`; returns those left.
///
/// The last group is filled up with its last row: that is faster than a loop over fewer rows, in which the
/// additions wait for one another.
#[inline(always)]
fn multiply_by<'m, S: Simd, E: Element, const K: usize, const NORMS: bool>(
    simd: S,
    rows: &RowCache<'_, '_, E>,
    mut members: &'m [i32],
    fewest: usize,
    c: &[f64],
    x: &[f64],
    products: &mut Vec<(f64, f64)>,
) -> &'m [i32] {
    while members.len() >= fewest {
        let (group, rest) = members.split_at(members.len().min(K));
        let mut chosen: [&[E]; K] = [&[]; K];
        for k in 0..K {
            chosen[k] = rows.row(group[k.min(group.len() - 1)] as usize);
        }
        let found = simd::products::<S, E, K, NORMS>(simd, chosen, c, x);
        products.extend_from_slice(&found[..group.len()]);
        members = rest;
    }
    members
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
    let square = simd::center(simd, values, mean);
    if square <= n * (4.0 * f64::EPSILON * mean).powi(2) {
        return 0.0;
    }
    square.sqrt()
}
