//! A chain with target states, prepared for solving: checked, ordered, targets cut off.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::run::Run;
use crate::solve::Chain;

/// States between two looks at the cancel flag.
const CHECK: usize = 4096;
const NONE: u32 = u32::MAX;

/// In which order transient states are taken, beginning with those next to the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By the number of jumps it takes at least to get to a target.
    Jumps,
    /// By their strongest transitions.
    Links,
}

/// The transient states in the order in which they are eliminated.
#[derive(Debug)]
pub(crate) struct Absorbing {
    /// Number of target sets.
    pub(crate) k: usize,
    /// State at each place.
    pub(crate) states: Vec<u32>,
    /// Jumps among the transient states.
    pub(crate) chain: Chain,
    /// Probability of jumping from each place into each target set; `(n, k)`, row after row.
    pub(crate) hits: Vec<f64>,
    /// Expected number of steps that the chain stays before it jumps, less one.
    pub(crate) stay: Vec<f64>,
}

impl Absorbing {
    /// # Errors
    /// [`Error::Shape`], [`Error::NoTarget`], [`Error::Unreachable`], [`Error::Cancelled`].
    pub(crate) fn new(
        t: &TransitionMatrix<'_>,
        target: &[Option<usize>],
        order: Order,
        run: &Run,
    ) -> Result<Self> {
        let n = t.n_rows();
        if target.len() != n {
            return Err(Error::shape("`target`", format!("one entry per state ({n})"), target.len()));
        }
        let k = target.iter().flatten().max().map_or(0, |last| last.saturating_add(1));
        // Checked first: a number far too large must not be allocated.
        let mut present = vec![false; k.min(n + 1)];
        target.iter().flatten().filter(|&&c| c < n).for_each(|&c| present[c] = true);
        if k == 0 {
            return Err(Error::NoTarget);
        }
        if let Some(c) = present.iter().position(|p| !p) {
            return Err(Error::parameter("target", "numbered without gaps", format!("no state in set {c}")));
        }
        let mut states = match order {
            Order::Jumps => by_jumps(t, target, run)?,
            Order::Links => by_links(t, target, run)?,
        };
        if states.len() + target.iter().flatten().count() < n {
            let mut left: Vec<bool> = target.iter().map(Option::is_none).collect();
            states.iter().for_each(|&i| left[i as usize] = false);
            return Err(Error::Unreachable { rows: (0..n).filter(|&i| left[i]).collect() });
        }
        states.reverse();
        let mut place = vec![NONE; n];
        states.iter().enumerate().for_each(|(at, &i)| place[i as usize] = at as u32);

        let (mut indptr, mut cols, mut p) =
            (vec![0], Vec::with_capacity(t.nnz()), Vec::with_capacity(t.nnz()));
        let (mut exit, mut stay) = (Vec::with_capacity(states.len()), Vec::with_capacity(states.len()));
        let mut hits = vec![0.0; states.len() * k];
        let mut row: Vec<(u32, f64)> = Vec::new();
        for (at, &i) in states.iter().enumerate() {
            if at % CHECK == 0 {
                run.tick(0)?;
            }
            let hits = &mut hits[at * k..(at + 1) * k];
            let mut diagonal = 0.0;
            let (row_cols, values) = t.row(i as usize);
            for (&j, &w) in row_cols.iter().zip(values) {
                match target[j as usize] {
                    _ if w == 0.0 => {}
                    Some(c) => hits[c] += w,
                    None if j as u32 == i => diagonal = w,
                    None => row.push((place[j as usize], w)),
                }
            }
            row.sort_unstable_by_key(|entry| entry.0);
            for (j, w) in row.drain(..) {
                cols.push(j);
                p.push(w);
            }
            indptr.push(cols.len());
            exit.push(hits.iter().sum());
            stay.push(diagonal);
        }
        let (chain, sums) = Chain::new(indptr, cols, p, exit);
        let chain = chain.threaded(run.threads() > 1);
        for (at, sum) in sums.iter().enumerate() {
            hits[at * k..(at + 1) * k].iter_mut().for_each(|h| *h /= sum);
            stay[at] /= sum;
        }
        Ok(Self { k, states, chain, hits, stay })
    }

    /// Number of transient states.
    pub(crate) fn n(&self) -> usize {
        self.states.len()
    }
}

/// A state and its strongest transition into the states already taken.
#[derive(Debug, PartialEq)]
struct Link {
    weight: f64,
    state: u32,
}

impl Eq for Link {}

impl Ord for Link {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.total_cmp(&other.weight).then(other.state.cmp(&self.state))
    }
}

impl PartialOrd for Link {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Breadth first against the direction of the transitions: states that jump to each other come close to
/// each other. States that reach no target are left out.
fn by_jumps(t: &TransitionMatrix<'_>, target: &[Option<usize>], run: &Run) -> Result<Vec<u32>> {
    let backward = t.transpose();
    run.tick(0)?;
    let mut taken: Vec<bool> = target.iter().map(Option::is_some).collect();
    let mut queue: VecDeque<usize> = (0..target.len()).filter(|&j| taken[j]).collect();
    let mut next = Vec::with_capacity(target.len());
    while let Some(j) = queue.pop_front() {
        let (cols, values) = backward.row(j);
        for (&i, _) in cols.iter().zip(values).filter(|(_, &w)| w != 0.0) {
            let i = i as usize;
            if !taken[i] {
                taken[i] = true;
                queue.push_back(i);
                next.push(i as u32);
            }
        }
    }
    Ok(next)
}

/// Beginning with the targets, the state with the strongest transition into those already taken comes
/// next (Prim's algorithm against the direction of the transitions). Each state so has a transition to a
/// later one, a strong one except where there is none: an elimination in this order has good pivots,
/// and enters a region that is hard to leave by a single weak link. States that reach no target are left
/// out.
fn by_links(t: &TransitionMatrix<'_>, target: &[Option<usize>], run: &Run) -> Result<Vec<u32>> {
    let n = t.n_rows();
    let backward = t.transpose();
    run.tick(0)?;
    let mut leaving: Vec<f64> = vec![1.0; n]; // probability of a jump, to compare states that often stay
    for (i, leaving) in leaving.iter_mut().enumerate() {
        let (cols, values) = t.row(i);
        let others = cols.iter().zip(values).filter(|(&j, _)| j as usize != i);
        *leaving = others.map(|(_, w)| w).sum();
    }
    let mut best = vec![0.0; n];
    let mut heap = BinaryHeap::new();
    let mut taken: Vec<bool> = target.iter().map(Option::is_some).collect();
    let mut next = Vec::with_capacity(n);
    let push = |j: usize, taken: &[bool], best: &mut [f64], heap: &mut BinaryHeap<Link>| {
        let (cols, values) = backward.row(j);
        for (&i, &w) in cols.iter().zip(values) {
            let i = i as usize;
            if taken[i] || w == 0.0 {
                continue;
            }
            let weight = w / leaving[i];
            if weight > best[i] {
                best[i] = weight;
                heap.push(Link { weight, state: i as u32 });
            }
        }
    };
    (0..n).filter(|&j| target[j].is_some()).for_each(|j| push(j, &taken, &mut best, &mut heap));
    while let Some(Link { state, .. }) = heap.pop() {
        let i = state as usize;
        if taken[i] {
            continue;
        }
        taken[i] = true;
        next.push(state);
        if next.len() % CHECK == 0 {
            run.tick(0)?;
        }
        push(i, &taken, &mut best, &mut heap);
    }
    Ok(next)
}
