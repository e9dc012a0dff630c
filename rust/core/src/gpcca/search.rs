//! The search for the crispest states.
//!
//! First up to the best mixture of all corners around it, then of the corners that promise most as far as
//! there is time: with few states these are all there are, and the mixture is the crispest possible. If a
//! state in it is nowhere the most likely one, what has to be exchanged for that, at the least cost.

use super::cells::Cells;
use super::mixture::{Mixture, Pivot};
use super::polar::Polar;
use super::pool::{held, Pool};
use super::start;
use crate::error::Result;
use crate::run::Run;

/// Multiplications that a search may spend on corners beyond those that lead straight up.
const WORK: usize = 30_000_000;
/// Multiplications of each search for states that hold their peaks, and of all of them.
const HOLDING: usize = 150_000_000;
const ALL_HOLDING: usize = 1_000_000_000;
/// Multiplications after which a search goes no further up.
const MOST: usize = 2_000_000_000;
/// Part of a value that a step has to gain.
const GAIN: f64 = 1e-12;
/// Part of a value that a corner has to promise, per weight.
const PROMISE: f64 = 1e-11;
/// Corners tried for one step; only where many coincide do they fail.
const TRIES: usize = 24;
/// First pivots of pairs.
const PAIRS: usize = 16;
/// An outcome must be better by this part to replace an earlier one.
const SAME: f64 = 1e-9;
/// Times that cells outside of the polytope are added to those that bound it.
const ROUNDS: usize = 40;
/// A membership below minus this is outside.
const OUTSIDE: f64 = 1e-9;

/// The states that a search ended with.
pub(super) struct Outcome {
    /// Times the number of states, the crispness.
    pub(super) value: f64,
    pub(super) rotation: Vec<f64>,
    /// States that enough cells prefer.
    pub(super) held: usize,
    pub(super) steps: usize,
}

/// One search: over all cells, from fixed beginnings.
pub(super) struct Search<'a> {
    all: &'a Cells,
    bounds: Vec<usize>,
    pool: Pool,
    /// Feasible rotations, as mixtures.
    starts: Vec<Mixture>,
    steps: usize,
    /// Multiplications for corners beyond those that lead straight up.
    wide: usize,
    run: &'a Run,
}

impl<'a> Search<'a> {
    pub(super) fn new(all: &'a Cells, bounds: Vec<usize>, starts: &[Vec<f64>], run: &'a Run) -> Self {
        let m = all.m;
        let starts: Vec<Mixture> = starts
            .iter()
            .filter_map(|start| Mixture::of_rotation(&start::feasible(all, start)?, m))
            .collect();
        let pool = Pool::new(Polar::new(all, &bounds));
        // Many states have far too many corners to look at a good part of them.
        let wide = WORK.min(WORK * 1000 / (m * m * m));
        Self { all, bounds, pool, starts, steps: 0, wide, run }
    }

    /// The crispest states found of which each is the most likely one of the cell where it is most likely; or
    /// else those of which most are.
    ///
    /// Not `wide`: from the first start alone, and never less crisp.
    pub(super) fn best(mut self, wide: bool) -> Result<Option<Outcome>> {
        let m = self.all.m;
        let Some(first) = self.starts.first().cloned() else { return Ok(None) };
        for k in 0..self.starts.len() {
            if k == 0 || self.pool.work < self.wide / 4 {
                let start = self.starts[k].clone();
                self.pool.seed(&start);
            }
        }
        let (mut best, top) = self.settle(first.clone(), |search, from| search.climb(from, false))?;
        if wide {
            best = self.settle(top, |search, from| search.climb(from, true))?.0;
        }
        let start = self.outcome(first.rotation());
        let from = start.value;
        if best.held < m {
            // Simplices hold their peaks; the crispest mixture is farther from one that does.
            let mut starts = self.starts.clone();
            if wide {
                starts.extend(Mixture::of_rotation(&best.rotation, m));
            }
            let mut spent = 0;
            for begin in starts {
                self.pool.work = 0;
                let (found, _) = self.settle(begin, |search, from| {
                    let from = if wide { search.repair(from)? } else { from };
                    search.climb_holding(from)
                })?;
                let worse = !wide && found.value < from;
                if !worse && (found.held, found.value) > (best.held, best.value * (1.0 + SAME)) {
                    best = found;
                }
                spent += self.pool.work;
                if spent > ALL_HOLDING {
                    break;
                }
            }
        }
        // Nearly perfect simplices leave no room but for round-off.
        if (start.held, start.value) > (best.held, best.value) {
            best = start;
        }
        best.steps = self.steps;
        Ok(Some(best))
    }

    /// Climbs until the points reached are within the bounds of all cells.
    fn settle(
        &mut self,
        mut mixture: Mixture,
        climb: impl Fn(&mut Self, Mixture) -> Result<Mixture>,
    ) -> Result<(Outcome, Mixture)> {
        let m = self.all.m;
        let mut round = 0;
        loop {
            mixture = climb(self, mixture)?;
            let points: Vec<f64> = (0..m * m).map(|k| mixture.points[k % m][k / m]).collect();
            let mut outside: Vec<usize> = vec![];
            if self.bounds.len() < self.all.len() {
                let minima = self.all.minima(&points, m);
                outside.extend(minima.into_iter().filter(|&(chi, _)| chi < -OUTSIDE).map(|(_, cell)| cell));
            }
            let within = start::feasible(self.all, &self.exact(&mixture).rotation());
            round += 1;
            if outside.is_empty() || round > ROUNDS {
                return Ok((self.outcome(within.unwrap_or_else(|| mixture.rotation())), mixture));
            }
            self.bounds.extend(&outside);
            self.bounds.sort_unstable();
            self.bounds.dedup();
            let pool = std::mem::replace(&mut self.pool, Pool::new(Polar::new(self.all, &[])));
            self.pool = pool.bounded_by(self.all, &self.bounds, &outside);
            let again = within.and_then(|a| Mixture::of_rotation(&a, m));
            mixture = again.unwrap_or_else(|| self.starts[0].clone());
        }
    }

    /// Without the small distances by which the bounds were moved.
    fn exact(&self, mixture: &Mixture) -> Mixture {
        let corner = |id: &Option<usize>| self.pool.polar.exact(&self.pool.corners[(*id)?]);
        let points = mixture.ids.iter().map(corner).collect::<Option<Vec<_>>>();
        let exact = points.and_then(|points| Mixture::new(points, mixture.ids.clone()));
        exact.unwrap_or_else(|| mixture.clone())
    }

    fn outcome(&self, rotation: Vec<f64>) -> Outcome {
        let m = self.all.m;
        let value = super::value(&rotation, m);
        let chi = self.all.times(&rotation, m);
        let mut peaks = vec![0; m];
        for (l, row) in chi.chunks_exact(m).enumerate() {
            (0..m).for_each(|j| {
                if row[j] > chi[peaks[j] * m + j] {
                    peaks[j] = l
                }
            });
        }
        let at_peaks: Vec<f64> = peaks.iter().flat_map(|&l| &chi[l * m..(l + 1) * m]).copied().collect();
        let held = held(&at_peaks, &vec![1.0; m]);
        Outcome { value, rotation, held, steps: 0 }
    }

    /// Up to the best mixture of all corners that are known then.
    fn climb(&mut self, mut mixture: Mixture, wide: bool) -> Result<Mixture> {
        loop {
            self.run.tick(0)?;
            if self.pool.work > MOST {
                return Ok(mixture);
            }
            let mut profits: Vec<f64> = self.pool.corners.iter().map(|c| mixture.profit(&c.point)).collect();
            let (mut tried, mut looked) = (0, false);
            // The corners around first, then those that promise most.
            let next = loop {
                let improved = self.improve(&mixture, &profits, tried);
                tried = profits.len();
                if improved.is_some() {
                    break improved;
                }
                let before = self.pool.corners.len();
                self.pool.work += profits.len();
                if looked || !self.pool.look_around(&mixture) {
                    if !wide || self.pool.work > self.wide {
                        break None;
                    }
                    let best = (0..profits.len())
                        .filter(|&id| !self.pool.expanded[id])
                        .max_by(|&a, &b| profits[a].total_cmp(&profits[b]).then(b.cmp(&a)));
                    let Some(best) = best else { break None };
                    self.pool.expand(best);
                }
                looked = true;
                profits.extend(self.pool.corners[before..].iter().map(|c| mixture.profit(&c.point)));
            };
            match next {
                Some(next) => mixture = next,
                None => return Ok(mixture),
            }
            self.steps += 1;
        }
    }

    /// The pivots away from a mixture whose points promise more than `least`, the one that gains most first.
    fn pivots(&mut self, mixture: &Mixture, least: f64) -> Vec<Pivot> {
        let m = self.all.m;
        let points = &self.pool.points;
        self.pool.work += points.x.len() * m;
        let falls = points.times(&mixture.rates(), m);
        let mut out: Vec<Pivot> = points
            .x
            .chunks_exact(m)
            .zip(falls.chunks_exact(m))
            .enumerate()
            .filter(|(_, (point, _))| mixture.profit(point) > least)
            .filter_map(|(id, (point, falls))| mixture.pivot(id, point, falls))
            .filter(|p| p.gain != 0.0 && mixture.ids[p.leaves] != Some(p.enters))
            .collect();
        out.sort_by(|a, b| b.gain.total_cmp(&a.gain).then(a.enters.cmp(&b.enters)));
        out
    }

    fn after(&self, mixture: &Mixture, pivot: Pivot, gain: f64) -> Option<Mixture> {
        mixture.after(pivot, &self.pool.corners[pivot.enters].point, gain)
    }

    fn held(&mut self, mixture: &Mixture) -> usize {
        held(&self.pool.at_peaks(mixture), &mixture.weights)
    }

    /// The pivots, or pairs of pivots, that cost least and after which more states hold their peaks, until all
    /// do.
    fn repair(&mut self, mut mixture: Mixture) -> Result<Mixture> {
        let mut now = self.held(&mixture);
        while now < self.all.m {
            let mut found = self.more_held(&mixture, now)?;
            if found.is_none() {
                for pivot in self.pivots(&mixture, f64::NEG_INFINITY).into_iter().take(PAIRS) {
                    if self.pool.work > HOLDING {
                        break;
                    }
                    let Some(next) = self.after(&mixture, pivot, f64::NEG_INFINITY) else { continue };
                    if let Some(pair) = self.more_held(&next, now)? {
                        if found.as_ref().is_none_or(|found| pair.value() > found.value()) {
                            found = Some(pair);
                        }
                    }
                }
            }
            let Some(next) = found else { break };
            mixture = next;
            now = self.held(&mixture);
        }
        Ok(mixture)
    }

    fn more_held(&mut self, mixture: &Mixture, now: usize) -> Result<Option<Mixture>> {
        self.run.tick(0)?;
        let at_peaks = self.pool.at_peaks(mixture);
        for pivot in self.pivots(mixture, f64::NEG_INFINITY) {
            if self.pool.work > HOLDING {
                break;
            }
            if self.pool.held_after(mixture, &at_peaks, pivot) > now {
                let next = self.after(mixture, pivot, f64::NEG_INFINITY);
                if next.is_some() {
                    return Ok(next);
                }
            }
        }
        Ok(None)
    }

    fn improve(&self, mixture: &Mixture, profits: &[f64], tried: usize) -> Option<Mixture> {
        let least = PROMISE * mixture.value();
        let mut worth: Vec<usize> = (tried..profits.len()).filter(|&id| profits[id] > least).collect();
        worth.sort_by(|&a, &b| profits[b].total_cmp(&profits[a]).then(a.cmp(&b)));
        worth.into_iter().take(TRIES).find_map(|id| {
            let point = &self.pool.corners[id].point;
            mixture.after(mixture.pivot(id, point, &mixture.falls(point))?, point, GAIN)
        })
    }

    /// Up by steps after which no fewer states hold their peaks, the largest gain first.
    fn climb_holding(&mut self, mut mixture: Mixture) -> Result<Mixture> {
        let mut now = self.held(&mixture);
        loop {
            self.run.tick(0)?;
            if self.pool.work > HOLDING {
                return Ok(mixture);
            }
            let at_peaks = self.pool.at_peaks(&mixture);
            let mut next = None;
            for pivot in self.pivots(&mixture, PROMISE * mixture.value()) {
                let held = self.pool.held_after(&mixture, &at_peaks, pivot);
                if held >= now {
                    if let Some(after) = self.after(&mixture, pivot, GAIN) {
                        next = Some((after, held));
                        break;
                    }
                }
            }
            match next {
                Some((next, held)) => (mixture, now) = (next, held),
                None if self.pool.work > HOLDING => return Ok(mixture),
                None if self.pool.look_around(&mixture) => {}
                None => return Ok(mixture),
            }
            self.steps += 1;
        }
    }
}
