//! Chains as rates of exchange, and the multilevel cycle over ever smaller ones.

use crate::csr::TransitionMatrix;
use crate::error::Result;
use crate::run::Run;

/// Chains of up to this many states are solved by elimination.
pub(super) const DIRECT: usize = 250;
/// Groups of so many states grow only by those that have nobody else to join.
const GROUP: usize = 6;

/// The transitions between different states of a chain, by their targets: row `j` lists who moves to `j`.
///
/// Staying put is left out and never needed: what a state loses is the sum of what it sends elsewhere, so
/// that nothing is ever found by subtraction.
#[derive(Debug, Default)]
pub(super) struct Rates {
    ends: Vec<usize>,
    from: Vec<u32>,
    rate: Vec<f64>,
    /// Sum of what each state sends.
    leave: Vec<f64>,
}

impl Rates {
    /// A closed class; `place[state]` is its position in `states`.
    pub(super) fn of_class(t: &TransitionMatrix<'_>, states: &[usize], place: &[usize]) -> Self {
        let n = states.len();
        let mut counts = vec![0_usize; n + 1];
        let mut leave = vec![0.0; n];
        let edges = |k: usize| {
            let (cols, values) = t.row(states[k]);
            cols.iter()
                .zip(values)
                .map(|(&j, &p)| (place[j as usize], p))
                .filter(move |&(j, p)| j != k && p > 0.0)
        };
        for (k, leave) in leave.iter_mut().enumerate() {
            for (j, p) in edges(k) {
                counts[j + 1] += 1;
                *leave += p;
            }
        }
        (0..n).for_each(|j| counts[j + 1] += counts[j]);
        let mut next = counts.clone();
        let (mut from, mut rate) = (vec![0; counts[n]], vec![0.0; counts[n]]);
        for k in 0..n {
            for (j, p) in edges(k) {
                from[next[j]] = k as u32;
                rate[next[j]] = p;
                next[j] += 1;
            }
        }
        counts.remove(0);
        Self { ends: counts, from, rate, leave }
    }

    pub(super) fn len(&self) -> usize {
        self.leave.len()
    }

    fn row(&self, j: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let start = if j == 0 { 0 } else { self.ends[j - 1] };
        let range = start..self.ends[j];
        self.from[range.clone()].iter().map(|&i| i as usize).zip(self.rate[range].iter().copied())
    }

    fn inflow(&self, j: usize, x: &[f64]) -> f64 {
        self.row(j).map(|(i, p)| x[i] * p).sum()
    }

    /// `x T - x`
    pub(super) fn residual(&self, x: &[f64]) -> Vec<f64> {
        (0..self.len()).map(|j| self.inflow(j, x) - x[j] * self.leave[j]).collect()
    }

    /// Whether the residual `r` is below `share` of the flow through each state.
    pub(super) fn balanced(&self, x: &[f64], r: &[f64], share: f64) -> bool {
        r.iter().zip(x).zip(&self.leave).all(|((r, x), leave)| r.abs() <= share * x * leave)
    }

    /// Gauss-Seidel: each state in turn gets what balances its in- and outflow.
    fn sweep(&self, x: &mut [f64], backwards: bool) {
        let n = self.len();
        for k in 0..n {
            let j = if backwards { n - 1 - k } else { k };
            x[j] = self.inflow(j, x) / self.leave[j];
        }
    }

    /// The stationary distribution by elimination.
    pub(super) fn eliminate(&self) -> Vec<f64> {
        let n = self.len();
        let mut a = vec![0.0; n * n];
        for j in 0..n {
            self.row(j).for_each(|(i, p)| a[i * n + j] += p);
        }
        let mut leave = vec![0.0; n];
        for k in (1..n).rev() {
            leave[k] = a[k * n..k * n + k].iter().sum();
            let (above, here) = a.split_at_mut(k * n);
            for row in above.chunks_exact_mut(n) {
                let share = row[k] / leave[k];
                if share > 0.0 {
                    row[..k].iter_mut().zip(&here[..k]).for_each(|(x, p)| *x += share * p);
                }
            }
        }
        let mut x = vec![0.0; n];
        x[0] = 1.0;
        for k in 1..n {
            let inflow: f64 = (0..k).map(|i| x[i] * a[i * n + k]).sum();
            x[k] = inflow / leave[k];
            if x[k] > 1e200 {
                x[..=k].iter_mut().for_each(|x| *x *= 1e-200);
            }
        }
        let sum: f64 = x.iter().sum();
        x.iter_mut().for_each(|x| *x /= sum);
        x
    }

    /// Groups of states that exchange much: each state with the one that sends it most. None is left alone, so
    /// that there are at most half as many groups as states.
    fn groups(&self, x: &[f64]) -> (Vec<u32>, usize) {
        const NONE: u32 = u32::MAX;
        let n = self.len();
        let mut group = vec![NONE; n];
        let mut sizes: Vec<usize> = vec![];
        for j in 0..n {
            if group[j] != NONE {
                continue;
            }
            // Below any flow, also one too small for a number: a state of a class has a neighbor.
            let (mut most, mut free) = ((-1.0, j), (-1.0, j));
            for (i, p) in self.row(j) {
                let flow = x[i] * p;
                if flow > most.0 {
                    most = (flow, i);
                }
                if flow > free.0 && group[i] == NONE {
                    free = (flow, i);
                }
            }
            let joined = group[most.1];
            let full = joined != NONE && sizes[joined as usize] >= GROUP;
            if free.1 != j && (free.0 >= 0.3 * most.0 || full) {
                group[j] = sizes.len() as u32;
                group[free.1] = sizes.len() as u32;
                sizes.push(2);
            } else if joined != NONE {
                group[j] = joined;
                sizes[joined as usize] += 1;
            } else {
                group[j] = sizes.len() as u32;
                sizes.push(1);
            }
        }
        (group, sizes.len())
    }

    /// Groups of groups: some four states each. Were they pairs, a W-cycle would do as much on each of the many
    /// levels as on the first.
    fn groups_of_groups(&self, x: &[f64]) -> (Vec<u32>, usize) {
        let (mut group, n_groups) = self.groups(x);
        if n_groups <= DIRECT || n_groups == self.len() {
            return (group, n_groups);
        }
        let (pairs, weights) = self.merge(x, &group, n_groups);
        let (second, n_groups) = pairs.groups(&weights);
        group.iter_mut().for_each(|g| *g = second[*g as usize]);
        (group, n_groups)
    }

    /// The chain between groups whose states are weighted by `x`, and the weights of the groups.
    fn merge(&self, x: &[f64], group: &[u32], n_groups: usize) -> (Self, Vec<f64>) {
        let mut weights = vec![0.0; n_groups];
        let mut starts = vec![0_usize; n_groups + 1];
        for (x, &g) in x.iter().zip(group) {
            weights[g as usize] += x;
            starts[g as usize + 1] += 1;
        }
        (0..n_groups).for_each(|g| starts[g + 1] += starts[g]);
        let mut members = vec![0_u32; self.len()];
        let mut next = starts.clone();
        for (j, &g) in group.iter().enumerate() {
            members[next[g as usize]] = j as u32;
            next[g as usize] += 1;
        }
        let mut out = Self { leave: vec![0.0; n_groups], ..Self::default() };
        // Where the rate from each group lies in the row under way.
        let mut place = vec![usize::MAX; n_groups];
        for g in 0..n_groups {
            let start = out.from.len();
            for &j in &members[starts[g]..starts[g + 1]] {
                for (i, p) in self.row(j as usize) {
                    let h = group[i] as usize;
                    if h == g {
                        continue;
                    }
                    if place[h] == usize::MAX
                        || place[h] < start
                        || out.from.get(place[h]) != Some(&(h as u32))
                    {
                        place[h] = out.from.len();
                        out.from.push(h as u32);
                        out.rate.push(0.0);
                    }
                    out.rate[place[h]] += x[i] / weights[h] * p;
                }
            }
            out.ends.push(out.from.len());
            for k in start..out.from.len() {
                out.leave[out.from[k] as usize] += out.rate[k];
            }
        }
        (out, weights)
    }
}

/// Groups of each level, kept from cycle to cycle.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    levels: Vec<(Vec<u32>, usize)>,
}

impl Workspace {
    /// Improves `x` by one W-cycle, or less of one where chains fill up; groups are chosen anew if `regroup`.
    pub(super) fn cycle(&mut self, rates: &Rates, x: &mut [f64], regroup: bool, run: &Run) -> Result<()> {
        if regroup {
            self.levels.clear();
        }
        self.visit(rates, x, 0, run)?;
        let sum: f64 = x.iter().sum();
        x.iter_mut().for_each(|x| *x /= sum);
        Ok(())
    }

    fn visit(&mut self, rates: &Rates, x: &mut [f64], level: usize, run: &Run) -> Result<()> {
        run.tick(0)?;
        if rates.len() <= DIRECT {
            x.copy_from_slice(&rates.eliminate());
            return Ok(());
        }
        rates.sweep(x, false);
        if self.levels.len() == level {
            self.levels.push(rates.groups_of_groups(x));
        }
        let (group, n_groups) = self.levels[level].clone();
        if n_groups < rates.len() {
            let (coarse, weights) = rates.merge(x, &group, n_groups);
            let mut y = weights.clone();
            self.visit(&coarse, &mut y, level + 1, run)?;
            // Twice, unless the smaller chain has filled up so much that this would cost more than all else.
            if coarse.len() > DIRECT && 2 * coarse.from.len() <= rates.from.len() {
                self.visit(&coarse, &mut y, level + 1, run)?;
            }
            for (x, &g) in x.iter_mut().zip(&group) {
                *x *= y[g as usize] / weights[g as usize];
            }
        }
        rates.sweep(x, true);
        run.tick(0)?;
        rates.sweep(x, false);
        Ok(())
    }
}
