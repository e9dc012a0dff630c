//! Aggregation multigrid: strongly linked states are lumped, again and again, until a handful is left.
//!
//! What mixes slowly in a chain is how probability is shared between regions that are hard to leave.
//! Lumping along the strongest links keeps such regions apart to the end, where elimination is complete,
//! so the slow part is solved exactly. A lumped absorbing chain is an absorbing chain: sums of positive
//! numbers all the way down (Horton & Leutenegger, *ACM SIGMETRICS* 22, 1994; Notay, *ETNA* 37, 2010).

use super::chain::{Chain, Rows};
use super::ilu::Ilu;
use super::vectors::add;
use crate::error::Result;
use crate::run::Run;

/// Number of states that are eliminated completely.
const COARSEST: usize = 256;
/// Largest lump of one level.
const LUMP: u32 = 8;
/// Steps that even out the weights within a lump.
const STEPS: usize = 8;
/// Share of the transitions that a level may have for the next to be visited twice.
const SMALL: f64 = 0.45;
const NONE: u32 = u32::MAX;

/// A W-cycle with an incomplete elimination after each coarse correction.
///
/// The elimination is so strong that a second one, before the correction, would cost more than it saves.
/// Lumps are coarse: without visiting levels twice, each level would be solved worse than the one above,
/// and the number of iterations would grow with the size of the chain.
#[derive(Debug)]
pub(crate) struct Multilevel {
    /// From fine to coarse.
    levels: Vec<Level>,
    bottom: Bottom,
}

#[derive(Debug)]
struct Level {
    smoother: Ilu,
    /// Lump of each state, and how often the chain is there.
    lump: Vec<u32>,
    weights: Vec<f64>,
    /// Outflow of each lump before its row was divided by it.
    outflow: Vec<f64>,
    /// The lumped chain.
    coarse: Chain,
    /// How often it is visited in a cycle: twice if it is small enough.
    visits: usize,
}

#[derive(Debug)]
enum Bottom {
    Exact(Elimination),
    /// Where lumping made no progress.
    Smooth(Ilu),
}

impl Multilevel {
    /// Around `first`, the incomplete elimination of `chain` itself.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`].
    pub(crate) fn new(chain: &Chain, first: Ilu, run: &Run) -> Result<Self> {
        let mut first = Some(first);
        let mut levels: Vec<Level> = Vec::new();
        loop {
            run.tick(0)?;
            let fine = levels.last().map_or(chain, |level| &level.coarse);
            if fine.n() <= COARSEST {
                let bottom = Bottom::Exact(Elimination::new(fine));
                return Ok(Self { levels, bottom });
            }
            let smoother = match first.take() {
                Some(first) => first,
                None => Ilu::new(fine, run)?,
            };
            let (lump, n_lumps) = lump(fine);
            if n_lumps * 5 > fine.n() * 4 {
                return Ok(Self { levels, bottom: Bottom::Smooth(smoother) });
            }
            let start = levels.last().map_or_else(|| vec![1.0; fine.n()], |level| level.outflow.clone());
            let weights = occupancy(fine, start);
            run.tick(0)?;
            let (coarse, outflow) = lumped(fine, &lump, &weights, n_lumps);
            let coarse = coarse.threaded(fine.is_threaded());
            let small = (coarse.nnz() as f64) < SMALL * fine.nnz() as f64;
            let visits = if small && coarse.n() > COARSEST { 2 } else { 1 };
            levels.push(Level { smoother, lump, weights, outflow, coarse, visits });
        }
    }

    /// Replaces `x` by `A^-1 x`, approximately.
    pub(crate) fn solve<const W: usize>(&self, chain: &Chain, x: &mut Rows<W>) {
        self.descend(0, chain, x);
    }

    fn descend<const W: usize>(&self, depth: usize, chain: &Chain, x: &mut Rows<W>) {
        let Some(level) = self.levels.get(depth) else {
            return match &self.bottom {
                Bottom::Exact(elimination) => elimination.solve(x),
                Bottom::Smooth(ilu) => ilu.solve(x),
            };
        };
        let right = x.to_vec();
        let mut r = vec![[0.0; W]; x.len()];
        let mut coarse = vec![[0.0; W]; level.coarse.n()];
        for ((right, &lump), weight) in right.iter().zip(&level.lump).zip(&level.weights) {
            let out = &mut coarse[lump as usize];
            for c in 0..W {
                out[c] += weight * right[c];
            }
        }
        for (right, outflow) in coarse.iter_mut().zip(&level.outflow) {
            right.iter_mut().for_each(|r| *r /= outflow);
        }
        let coarse_right = if level.visits > 1 { coarse.clone() } else { Vec::new() };
        self.descend(depth + 1, &level.coarse, &mut coarse);
        for _ in 1..level.visits {
            let mut rest = vec![[0.0; W]; coarse.len()];
            level.coarse.residual(&coarse_right, &coarse, &mut rest);
            self.descend(depth + 1, &level.coarse, &mut rest);
            add([1.0; W], &rest, &mut coarse);
        }
        for (x, &lump) in x.iter_mut().zip(&level.lump) {
            *x = coarse[lump as usize];
        }
        chain.residual(&right, x, &mut r);
        level.smoother.solve(&mut r);
        add([1.0; W], &r, x);
    }
}

/// Joins every state with the one it most often jumps to, unless that lump is full. Lumps are numbered
/// by their last state: then each of them has a later neighbor, as [`Ilu`] needs, if each state has.
fn lump(chain: &Chain) -> (Vec<u32>, usize) {
    let n = chain.n();
    let (mut lump, mut sizes) = (vec![NONE; n], Vec::new());
    for i in 0..n {
        if lump[i] != NONE {
            continue;
        }
        let (cols, p) = chain.row(i);
        let mut best = (0.0, NONE);
        for (&j, &p) in cols.iter().zip(p) {
            let open = lump[j as usize] == NONE || sizes[lump[j as usize] as usize] < LUMP;
            if p > best.0 && open {
                best = (p, j);
            }
        }
        let into = if best.1 == NONE { NONE } else { lump[best.1 as usize] };
        if into == NONE {
            let new = sizes.len() as u32;
            sizes.push(0);
            lump[i] = new;
            if best.1 != NONE {
                lump[best.1 as usize] = new;
                sizes[new as usize] += 1;
            }
        } else {
            lump[i] = into;
        }
        sizes[lump[i] as usize] += 1;
    }
    let (mut name, mut next) = (vec![NONE; sizes.len()], sizes.len() as u32);
    for label in lump.iter_mut().rev() {
        let name = &mut name[*label as usize];
        if *name == NONE {
            next -= 1;
            *name = next;
        }
        *label = *name;
    }
    (lump, sizes.len())
}

/// How often the chain is in each state, relative to its neighbors: a few lazy steps from `start` even
/// out what is next to each other, which is all that lumps need.
fn occupancy(chain: &Chain, start: Vec<f64>) -> Vec<f64> {
    let mut weights = start;
    let mut next = vec![0.0; weights.len()];
    for _ in 0..STEPS {
        for (next, weight) in next.iter_mut().zip(&weights) {
            *next = 0.5 * weight;
        }
        for (i, weight) in weights.iter().enumerate() {
            let (cols, p) = chain.row(i);
            for (&j, &p) in cols.iter().zip(p) {
                next[j as usize] += 0.5 * weight * p;
            }
        }
        std::mem::swap(&mut weights, &mut next);
    }
    weights
}

/// The chain between lumps, and their outflows.
fn lumped(chain: &Chain, lump: &[u32], weights: &[f64], n_lumps: usize) -> (Chain, Vec<f64>) {
    let mut members = vec![Vec::new(); n_lumps];
    for (i, &label) in lump.iter().enumerate() {
        members[label as usize].push(i);
    }
    let mut sum = vec![0.0; n_lumps];
    let mut found: Vec<u32> = Vec::new();
    let (mut indptr, mut cols, mut p) = (vec![0], Vec::new(), Vec::new());
    let mut exit = Vec::with_capacity(n_lumps);
    for (label, members) in members.iter().enumerate() {
        let mut out = 0.0;
        for &i in members {
            let weight = weights[i];
            out += weight * chain.exit()[i];
            let (row_cols, row) = chain.row(i);
            for (&j, &p) in row_cols.iter().zip(row) {
                let to = lump[j as usize];
                if to as usize == label || p == 0.0 {
                    continue;
                }
                if sum[to as usize] == 0.0 {
                    found.push(to);
                }
                sum[to as usize] += weight * p;
            }
        }
        found.sort_unstable();
        for to in found.drain(..) {
            cols.push(to);
            p.push(std::mem::take(&mut sum[to as usize]));
        }
        indptr.push(cols.len());
        exit.push(out);
    }
    Chain::new(indptr, cols, p, exit)
}

/// Complete elimination of a small chain, without subtractions (Grassmann, Taksar & Heyman, 1985).
#[derive(Debug)]
struct Elimination {
    n: usize,
    /// `l_ik` below, `u_ij` above the diagonal, row after row.
    values: Vec<f64>,
    inverse_pivots: Vec<f64>,
}

impl Elimination {
    fn new(chain: &Chain) -> Self {
        let n = chain.n();
        let mut values = vec![0.0; n * n];
        let mut exit = chain.exit().to_vec();
        let mut inverse_pivots = Vec::with_capacity(n);
        for i in 0..n {
            let (done, rest) = values.split_at_mut(i * n);
            let row = &mut rest[..n];
            let (cols, p) = chain.row(i);
            cols.iter().zip(p).for_each(|(&j, &p)| row[j as usize] = p);
            for k in 0..i {
                if row[k] == 0.0 {
                    continue;
                }
                for j in k + 1..n {
                    row[j] += row[k] * done[k * n + j];
                }
                row[k] *= inverse_pivots[k];
                exit[i] += row[k] * exit[k];
            }
            row[i] = 0.0; // a way back to the same state is no jump
            let pivot = row[i..].iter().sum::<f64>() + exit[i];
            let inverse = if pivot > 0.0 { 1.0 / pivot } else { 1.0 };
            row[i..].iter_mut().for_each(|u| *u *= inverse);
            inverse_pivots.push(inverse);
        }
        Self { n, values, inverse_pivots }
    }

    fn solve<const W: usize>(&self, x: &mut Rows<W>) {
        for i in 0..self.n {
            let mut sum = x[i];
            for (l, x) in self.values[i * self.n..i * self.n + i].iter().zip(&*x) {
                for c in 0..W {
                    sum[c] += l * x[c];
                }
            }
            x[i] = sum;
        }
        for i in (0..self.n).rev() {
            let mut sum = x[i].map(|x| x * self.inverse_pivots[i]);
            let row = &self.values[i * self.n..(i + 1) * self.n];
            for (u, x) in row[i + 1..].iter().zip(&x[i + 1..]) {
                for c in 0..W {
                    sum[c] += u * x[c];
                }
            }
            x[i] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of `n` states with a way out of the last one.
    fn ring(n: usize) -> Chain {
        let (mut indptr, mut cols, mut p, mut exit) = (vec![0], vec![], vec![], vec![0.0; n]);
        for i in 0..n {
            let mut next = [((i + 1) % n) as u32, ((i + n - 1) % n) as u32];
            next.sort_unstable();
            cols.extend(next);
            p.extend([1.0 + 0.5 * (i as f64).sin(), 1.0 + 0.5 * (i as f64).cos()]);
            indptr.push(cols.len());
        }
        exit[n - 1] = 0.5;
        Chain::new(indptr, cols, p, exit).0
    }

    fn apply(chain: &Chain, x: &[[f64; 1]]) -> Vec<[f64; 1]> {
        let mut y = vec![[0.0]; x.len()];
        chain.apply(x, &mut y);
        y
    }

    #[test]
    fn complete_elimination_is_exact() {
        let chain = ring(40);
        let x: Vec<[f64; 1]> = (0..40).map(|i| [(f64::from(i) * 0.7).sin()]).collect();
        let mut found = apply(&chain, &x);
        Elimination::new(&chain).solve(&mut found);
        for (found, x) in found.iter().zip(&x) {
            assert!((found[0] - x[0]).abs() < 1e-11, "{found:?} {x:?}");
        }
    }

    /// The lumped system is the restriction of the full one.
    #[test]
    fn lumping_keeps_flows() {
        let chain = ring(40);
        let (lump, n_lumps) = lump(&chain);
        let weights = occupancy(&chain, vec![1.0; 40]);
        let (coarse, outflow) = lumped(&chain, &lump, &weights, n_lumps);
        let small: Vec<[f64; 1]> = (0..n_lumps).map(|i| [(i as f64 * 0.3).cos()]).collect();
        let full: Vec<[f64; 1]> = lump.iter().map(|&l| small[l as usize]).collect();
        let mut sums = vec![0.0; n_lumps];
        for ((y, &l), w) in apply(&chain, &full).iter().zip(&lump).zip(&weights) {
            sums[l as usize] += w * y[0];
        }
        for ((y, sum), out) in apply(&coarse, &small).iter().zip(&sums).zip(&outflow) {
            assert!((y[0] * out - sum).abs() < 1e-13, "{y:?} {sum} {out}");
        }
    }
}
