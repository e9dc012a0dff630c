//! Dominant invariant subspace of a sparse matrix by the Krylov-Schur method (Stewart 2001, *A
//! Krylov-Schur algorithm for large eigenproblems*), with thick restart and locking.
//!
//! The method keeps `A V = V S + v b^T` with orthonormal `V` and `v`: `S` is brought to ordered Schur
//! form, its dominant part is kept, the rest thrown away, and `V` is extended by products with `A`. The
//! entries of `b` are the residuals of the Schur vectors.

use super::basis::{Basis, Panel};
use super::dense::Mat;
use super::operator::Operator;
use super::ordered_schur::{block_size, eigenvalue, eigenvalues, order, Which};
use super::panel::PANEL;
use super::real_schur::real_schur;
use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::run::Run;

/// What is to be found, and how accurately.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Number of Schur vectors; one more is found if this one would split a complex pair.
    pub n_components: usize,
    /// Which eigenvalues count as dominant.
    pub which: Which,
    /// Largest norm of `T x - X r` accepted for a Schur vector `x`.
    pub tol: f64,
    /// Restarts after which to give up.
    pub max_restarts: usize,
    /// Seed of the start vector.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { n_components: 20, which: Which::LargestReal, tol: 1e-10, max_restarts: 3000, seed: 0 }
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// Norm of `T x - X r` of each Schur vector, computed anew from the result.
    pub residuals: Vec<f64>,
    /// Products with the matrix.
    pub products: usize,
    /// Times the basis was cut back.
    pub restarts: usize,
}

/// A dominant real Schur basis: `T X = X R`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Schur {
    /// `X`, `(n, m)` row after row; `X^T D X = I` and the first column is 1.
    pub vectors: Vec<f64>,
    /// `R`, `(m, m)` row after row: upper triangular but for the 2 x 2 blocks of complex pairs.
    pub matrix: Vec<f64>,
    /// Eigenvalues of `R` in the order of its diagonal, real and imaginary parts.
    pub eigenvalues: Vec<(f64, f64)>,
    /// How it went.
    pub info: Info,
}

/// Real Schur basis of the dominant eigenvalues of a chain, orthonormal in the product weighted by `D =
/// diag(initial)`, as GPCCA needs it (Reuter et al. 2018, *Generalized Markov State Modeling Method for
/// Nonequilibrium Biomolecular Dynamics*, section III).
///
/// * `t`: transition matrix, `(n, n)`.
/// * `initial`: distribution over the states, all entries positive; uniform if `None`. Its scale does
///   not matter.
///
/// Returns `n_components` columns in decreasing order of their eigenvalues, or one more where a complex
/// pair would be cut in two; the first is the constant 1. The result depends on the seed to within the
/// tolerance, and not on the number of threads.
///
/// # Errors
/// [`Error::Parameter`] for a number of components outside `1..=n`, a tolerance that is not positive or an
/// initial distribution that is not positive everywhere, [`Error::Shape`] for one of another length,
/// [`Error::NotConverged`], [`Error::Cancelled`].
pub fn schur(t: &TransitionMatrix<'_>, initial: Option<&[f64]>, params: &Params, run: &Run) -> Result<Schur> {
    let n = t.n_rows();
    check(n, params)?;
    let roots = initial.map(|d| roots(d, n)).transpose()?;
    let ones = vec![(1.0 / n as f64).sqrt(); n];
    let parallel = run.threads() > 1;
    run.install(|| {
        let op = Operator::weighted(t, roots.as_deref(), parallel);
        let start = roots.as_deref().unwrap_or(&ones);
        let mut found = dominant(&op, Some(&op.ordered(start)), params, run)?;
        let m = found.matrix.n_rows();
        let residuals = found.residuals(&op);
        let mut vectors = vec![0.0; n * m];
        for (k, &i) in op.order().iter().enumerate() {
            let i = i as usize;
            found.basis.row(k, &mut vectors[i * m..(i + 1) * m]);
            vectors[i * m..(i + 1) * m].iter_mut().for_each(|x| *x /= start[i]);
            vectors[i * m] = 1.0;
        }
        let signs = positive_peaks(&mut vectors, m);
        let matrix = Mat::from_fn(m, m, |i, j| signs[i] * signs[j] * found.matrix[(i, j)]);
        let info = Info { residuals, products: found.products, restarts: found.restarts };
        let eigenvalues = eigenvalues(&matrix);
        Ok(Schur { vectors, matrix: matrix.row_major(), eigenvalues, info })
    })
}

/// Turns the columns of `vectors`, `m` of them, so that their largest entries are positive; the sign of a Schur
/// vector is nobody's choice and must not depend on how it was found. Returns what each was multiplied with.
fn positive_peaks(vectors: &mut [f64], m: usize) -> Vec<f64> {
    let mut peaks = vec![0.0_f64; m];
    for row in vectors.chunks(m) {
        for (peak, &x) in peaks.iter_mut().zip(row) {
            if x.abs() > peak.abs() {
                *peak = x;
            }
        }
    }
    let signs: Vec<f64> = peaks.iter().map(|peak| 1.0_f64.copysign(*peak)).collect();
    vectors.chunks_mut(m).for_each(|row| row.iter_mut().zip(&signs).for_each(|(x, sign)| *x *= sign));
    signs
}

/// Checks the parameters for a matrix of `n` rows.
pub(super) fn check(n: usize, params: &Params) -> Result<()> {
    if params.n_components == 0 || params.n_components > n {
        let range = format!("between 1 and the number of states ({n})");
        return Err(Error::parameter("n_components", range, params.n_components));
    }
    if params.tol.is_nan() || params.tol <= 0.0 {
        return Err(Error::parameter("tol", "positive", params.tol));
    }
    Ok(())
}

/// Square roots of the distribution, scaled to sum to 1.
fn roots(d: &[f64], n: usize) -> Result<Vec<f64>> {
    if d.len() != n {
        return Err(Error::shape("the initial distribution", format!("one entry per state ({n})"), d.len()));
    }
    if let Some((i, d)) = d.iter().enumerate().find(|(_, d)| !(d.is_finite() && **d > 0.0)) {
        let found = format!("{d} at state {i}");
        return Err(Error::parameter("initial_distribution", "positive and finite everywhere", found));
    }
    let sum: f64 = d.iter().sum();
    Ok(d.iter().map(|d| (d / sum).sqrt()).collect())
}

/// An invariant subspace: `A V = V S`.
#[derive(Debug)]
pub(super) struct Invariant {
    /// `V`, in the leading columns.
    pub(super) basis: Basis,
    /// `S`, in ordered Schur form.
    pub(super) matrix: Mat,
    pub(super) products: usize,
    pub(super) restarts: usize,
}

impl Invariant {
    /// Norms of the columns of `A V - V S`.
    pub(super) fn residuals(&mut self, op: &Operator) -> Vec<f64> {
        let (n, m) = (op.n(), self.matrix.n_rows());
        let (mut x, mut y) = (op.argument(), vec![0.0; n]);
        let mut out = Vec::with_capacity(m);
        for j in 0..m {
            self.basis.read(j, &mut x[..n]);
            op.apply(&x, &mut y);
            out.push(self.basis.rest(self.matrix.col(j), &mut y));
        }
        self.products += m;
        out
    }
}

/// Number of basis vectors between restarts: room for as many again as are wanted, so that those just
/// below the wanted ones are kept and convergence depends on a wider gap. Where that is too narrow a gap, the
/// room grows, see [`Search::widen`]; more from the beginning costs more than the restarts it saves.
fn subspace(n_components: usize) -> usize {
    (2 * n_components + 12).max(n_components + 24)
}

/// The dominant invariant subspace of `op`, in its order of the states; `first` is an eigenvector of eigenvalue
/// 1 and norm 1, in the same order, that is known beforehand and comes first.
///
/// Inside the pool of `run`.
pub(super) fn dominant(
    op: &Operator,
    first: Option<&[f64]>,
    params: &Params,
    run: &Run,
) -> Result<Invariant> {
    let n = op.n();
    let width = subspace(params.n_components).min(n);
    let basis = Basis::new(n, width + 1, run.threads() > 1);
    let mut search = Search {
        op,
        params,
        run,
        width,
        basis,
        s: Mat::zeros(width + 1, width),
        known: 0,
        locked: 0,
        size: 0,
        step: PANEL,
        stream: 0,
        x: op.argument(),
        y: op.argument(),
        products: 0,
        restarts: 0,
    };
    if let Some(first) = first {
        search.basis.write(0, first);
        search.s[(0, 0)] = 1.0;
        (search.known, search.locked, search.size) = (1, 1, 1);
    }
    search.converge()?;
    while search.width < n && search.finds_more()? {}
    Ok(search.finish())
}

/// Restarts without a newly converged vector after which the basis is made wider.
const STALL: usize = 60;
/// How much wider the basis may become.
const WIDEST: usize = 8;

struct Search<'a> {
    op: &'a Operator,
    params: &'a Params,
    run: &'a Run,
    /// Columns of the basis between restarts.
    width: usize,
    basis: Basis,
    /// `S`; its row `size` is `b`.
    s: Mat,
    /// Leading columns that were known beforehand.
    known: usize,
    /// Leading columns that have converged and are left as they are.
    locked: usize,
    /// Columns of the basis that `S` describes.
    size: usize,
    /// Columns that the basis is extended by at once.
    step: usize,
    /// Random vectors used.
    stream: u64,
    /// The vector to be multiplied.
    x: Vec<f64>,
    y: Vec<f64>,
    products: usize,
    restarts: usize,
}

/// What the first of the columns that are not locked looks like.
struct Next {
    key: f64,
    residual: f64,
}

impl Search<'_> {
    /// Finds the wanted number of columns, or a few more.
    fn converge(&mut self) -> Result<()> {
        self.fresh();
        let (mut progress, mut since) = (self.locked, self.restarts);
        loop {
            if self.locked > progress {
                (progress, since) = (self.locked, self.restarts);
            } else if self.restarts - since >= STALL {
                self.widen();
                since = self.restarts;
            }
            self.extend()?;
            let Some(next) = self.restart()? else { return Ok(()) };
            if self.locked >= self.params.n_components && self.least_wanted() >= next.key {
                return Ok(());
            }
            if self.restarts >= self.params.max_restarts {
                return Err(Error::NotConverged {
                    what: "the Schur decomposition",
                    iterations: self.restarts,
                    residual: next.residual,
                    tol: self.params.tol,
                    remedy: "ask for fewer components, or for a larger tolerance",
                });
            }
        }
    }

    /// Looks for eigenvalues that one start vector can not show: further copies of multiple ones.
    ///
    /// A random vector, orthogonal to what was found, is followed until it is clear that it leads nowhere
    /// better. Returns whether it did lead somewhere.
    fn finds_more(&mut self) -> Result<bool> {
        // Orthogonal also to what was nearly found and is not wanted: what was missed stands out the more.
        self.size = (self.size + 1).min(self.width);
        let found = self.randomize();
        self.sort();
        let wanted = self.locked;
        let least = self.least_wanted();
        let start = self.products;
        // What was missed shows about as fast as what was found.
        let patience = start + (2 * self.width).max(start / 2);
        self.begin();
        if found {
            self.basis.write(self.size, &self.y[..self.op.n()]);
        } else {
            self.randomize();
        }
        loop {
            self.extend()?;
            let Some(next) = self.restart()? else { return Ok(false) };
            if self.locked > wanted {
                let key = self.params.which.key(eigenvalue(&self.s, wanted));
                return Ok(key > least + self.params.tol.sqrt().min(1e-8));
            }
            let hopeless =
                next.key + next.residual < least || self.products - start >= self.visible(&next, least);
            if (hopeless && next.key < least)
                || (next.key <= least && self.products >= patience)
                || self.restarts >= 2 * self.params.max_restarts
            {
                return Ok(false);
            }
        }
    }

    /// Products after which a random vector's part along an eigenvector of key `least` outweighs the others.
    ///
    /// Chebyshev polynomials on the keys from -1 to that of `next`, the largest seen, are at most 1 there; at
    /// `least` they must make up for the part of one direction among all, ten times over.
    fn visible(&self, next: &Next, least: f64) -> usize {
        let beyond = 1.0 + 2.0 * (least - next.key) / (next.key + 1.0).max(f64::EPSILON);
        let products = (10.0 * (self.op.n() as f64).sqrt()).acosh() / beyond.max(1.0).acosh();
        // Infinity, where nothing lies between, becomes the largest number.
        products.ceil() as usize
    }

    /// Begins a new sequence with a random vector.
    fn fresh(&mut self) {
        self.begin();
        self.randomize();
    }

    /// Forgets all but the locked columns.
    fn begin(&mut self) {
        (self.size, self.step) = (self.locked, PANEL);
        (0..self.width).for_each(|j| self.s[(self.size, j)] = 0.0);
    }

    /// A random vector as the next column of the basis, and in `y`; `false` if there is no room for one.
    fn randomize(&mut self) -> bool {
        // Of a few random vectors one is independent of fewer columns than there are rows.
        (0..4).any(|_| {
            self.stream += 1;
            self.basis.randomize(self.size, self.params.seed, self.stream, &mut self.y[..self.op.n()])
        })
    }

    /// Doubles the room of the basis: where eigenvalues lie close together compared with the extent of the
    /// spectrum, a short sequence of products tells them apart too slowly.
    fn widen(&mut self) {
        let largest = (WIDEST * subspace(self.params.n_components)).min(self.op.n());
        let width = (2 * self.width).min(largest);
        if width > self.width {
            self.basis.widen(width + 1);
            let mut s = Mat::zeros(width + 1, width);
            s.set_block(0, 0, &self.s);
            (self.s, self.width) = (s, width);
        }
    }

    /// Extends the basis to its full width by products with the matrix.
    fn extend(&mut self) -> Result<()> {
        while self.size < self.width {
            // Not the last vector that there is room for among `n`: there must be something left of it.
            let most = self.step.min(self.width - self.size).min(self.op.n() - 1 - self.size);
            if most < 2 || !self.extend_by_panel(most) {
                self.extend_by_one();
            }
            self.run.tick(1)?;
        }
        Ok(())
    }

    /// Extends the basis by up to `width` columns at once; `false` if the first of them is none.
    ///
    /// With the last column `v` these are `p_j = T_j(A) v` for Chebyshev polynomials `T_j`, which lie in the span of
    /// `v, A v, A^2 v, ...` and are far less parallel than these. The columns of `S` follow from `A p_0 = p_1` and
    /// `2 A p_j = p_(j+1) + p_(j-1)`, with the coordinates of the `p_j` in the basis.
    fn extend_by_panel(&mut self, width: usize) -> bool {
        let (n, last) = (self.op.n(), self.size);
        self.basis.read(last, &mut self.x[..n]);
        self.op.apply(&self.x, &mut self.y);
        self.basis.write(last + 1, &self.y[..n]);
        for j in 2..=width {
            std::mem::swap(&mut self.x, &mut self.y);
            self.op.recur(&self.x, &mut self.y);
            self.basis.write(last + j, &self.y[..n]);
        }
        self.products += width;
        let Some(Panel { coefficients, triangle }) = self.basis.orthogonalise_panel(last + 1, width) else {
            self.step = 1;
            return false;
        };
        let kept = triangle.n_cols();
        if kept < width {
            self.step = kept;
        }
        let coordinate = |i: usize, j: usize| match (i <= last, j) {
            (true, 0) => f64::from(u8::from(i == last)),
            (true, j) => coefficients[(i, j - 1)],
            (false, j) if i <= last + j => triangle[(i - last - 1, j - 1)],
            _ => 0.0,
        };
        for j in 0..kept {
            let next = last + j;
            let mut column = vec![0.0; self.s.n_rows()];
            for (i, out) in column[..=next + 1].iter_mut().enumerate() {
                *out = match j {
                    0 => coordinate(i, 1),
                    _ => 0.5 * (coordinate(i, j + 1) + coordinate(i, j - 1)),
                };
            }
            if j > 0 {
                for i in 0..next {
                    let factor = coordinate(i, j);
                    column.iter_mut().zip(self.s.col(i)).for_each(|(out, s)| *out -= factor * s);
                }
                column.iter_mut().for_each(|out| *out /= coordinate(next, j));
            }
            self.s.col_mut(next).copy_from_slice(&column);
        }
        self.size = last + kept;
        true
    }

    /// Extends the basis by one column; where there is none, because the space is invariant, in another
    /// direction.
    fn extend_by_one(&mut self) {
        let n = self.op.n();
        self.basis.read(self.size, &mut self.x[..n]);
        self.op.apply(&self.x, &mut self.y);
        let (h, beta) = self.basis.orthogonalise(self.size + 1, &mut self.y[..n]);
        self.s.col_mut(self.size)[..h.len()].copy_from_slice(&h);
        self.s.col_mut(self.size)[h.len()..].fill(0.0);
        self.size += 1;
        if beta > 1e-14 && self.size < n {
            self.y[..n].iter_mut().for_each(|y| *y /= beta);
            self.basis.write(self.size, &self.y[..n]);
            self.s[(self.size, self.size - 1)] = beta;
        } else {
            self.randomize();
        }
        self.products += 1;
    }

    /// Brings `S` to ordered Schur form, locks what has converged, and cuts the basis back.
    ///
    /// Returns the first column that has not converged, if there is one.
    fn restart(&mut self) -> Result<Option<Next>> {
        let (from, to) = (self.locked, self.width);
        let mut active = self.s.block(from..to, from..to);
        let mut u = real_schur(&mut active)?;
        order(&mut active, &mut u, self.params.which, 0, to - from);
        let beta = self.s[(to, to - 1)];
        let coupling = self.s.block(0..from, from..to).times(&u);
        let mut b: Vec<f64> = (0..to - from).map(|j| beta * u[(to - from - 1, j)]).collect();
        // A third of the tolerance: what is cut off here adds up.
        let mut next = None;
        let mut converged = 0;
        while converged < to - from {
            let size = block_size(&active, converged);
            let block = &mut b[converged..converged + size];
            let residual = block.iter().map(|b| b * b).sum::<f64>().sqrt();
            if residual > 0.3 * self.params.tol {
                next = Some(Next { key: self.params.which.key(eigenvalue(&active, converged)), residual });
                break;
            }
            block.fill(0.0);
            converged += size;
        }
        self.locked += converged;
        let mut keep = (self.params.n_components + 2 * (self.width - self.params.n_components) / 5)
            .max(self.locked + 1 + (self.width - self.locked) / 4)
            .min(self.width.saturating_sub(2).max(self.locked))
            - from;
        if keep > 0 && keep < to - from && active[(keep, keep - 1)] != 0.0 {
            keep -= 1;
        }
        keep = keep.max(converged);
        self.basis.rotate(from, &u.block(0..to - from, 0..keep));
        self.basis.read(to, &mut self.y[..self.op.n()]);
        self.size = from + keep;
        self.basis.write(self.size, &self.y[..self.op.n()]);
        self.s.set_block(0, from, &coupling);
        self.s.set_block(from, from, &active);
        (0..=to).for_each(|i| {
            (0..to).for_each(|j| {
                if i >= self.size || j >= self.size {
                    self.s[(i, j)] = 0.0
                }
            })
        });
        (0..keep).for_each(|j| self.s[(self.size, from + j)] = b[j]);
        self.restarts += 1;
        // Too little room is left to go on.
        Ok(if self.locked + 2 >= self.width && self.locked >= self.params.n_components { None } else { next })
    }

    /// Key of the last of the wanted columns that are locked.
    fn least_wanted(&self) -> f64 {
        let locked = self.s.block(0..self.locked, 0..self.locked);
        let mut keys: Vec<f64> = eigenvalues(&locked).iter().map(|&e| self.params.which.key(e)).collect();
        keys.sort_by(|a, b| b.total_cmp(a));
        keys.get(self.params.n_components - 1).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// Orders the locked columns and forgets those that are not wanted.
    fn sort(&mut self) {
        let mut locked = self.s.block(0..self.locked, 0..self.locked);
        let mut u = Mat::identity(self.locked);
        order(&mut locked, &mut u, self.params.which, self.known, self.locked - self.known);
        let mut keep = self.params.n_components.min(self.locked);
        if keep < self.locked && locked[(keep, keep - 1)] != 0.0 {
            keep += 1;
        }
        self.basis.rotate(0, &u.block(0..self.locked, 0..keep));
        self.s = Mat::zeros(self.width + 1, self.width);
        self.s.set_block(0, 0, &locked.block(0..keep, 0..keep));
        self.locked = keep;
    }

    fn finish(mut self) -> Invariant {
        self.sort();
        let matrix = self.s.block(0..self.locked, 0..self.locked);
        Invariant { basis: self.basis, matrix, products: self.products, restarts: self.restarts }
    }
}
