//! Random walks on a transition matrix.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::in_order::InOrder;
use crate::run::Run;

/// Walks that one thread advances together: while one waits for its row to arrive from memory, the
/// others move. Each has its own random numbers, so the outcome is that of walking one by one.
const LANES: usize = 8;
/// Steps between two looks at the cancel flag.
const CHECK: usize = 1024;

/// Where walks start and end.
#[derive(Debug, Clone, Copy)]
pub struct Params<'a> {
    /// Cells to start from; one is drawn uniformly for each walk.
    pub starts: &'a [i64],
    /// Marks the cells of the stop set; length `n_cells`.
    pub stops: Option<&'a [bool]>,
    /// Number of walks.
    pub n_sims: usize,
    /// Longest walk, in steps; a walk of `s` steps visits `s + 1` cells.
    pub max_steps: usize,
    /// A walk ends once it has visited `successive_hits + 1` cells of the stop set in a row; the start
    /// cell does not count.
    pub successive_hits: usize,
    /// Walk `s` draws from the random stream of `seed + s` (wrapping), hence it is the same walk as the
    /// only one made with that seed.
    pub seed: u64,
}

/// Walks one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Walks {
    /// Cells visited, start included.
    pub cells: Vec<i64>,
    /// Where each walk begins in `cells`, and a last entry for the end; length `n_sims + 1`.
    pub offsets: Vec<i64>,
}

/// Draws neighbors in proportion to their transition probability.
#[derive(Debug)]
struct Sampler<'t, 'a> {
    t: &'t TransitionMatrix<'a>,
    /// Running sums of every row.
    cumulative: Vec<f64>,
}

impl<'t, 'a> Sampler<'t, 'a> {
    fn new(t: &'t TransitionMatrix<'a>) -> Self {
        let mut cumulative = Vec::with_capacity(t.nnz());
        for i in 0..t.n_rows() {
            let mut sum = 0.0;
            cumulative.extend(t.row(i).1.iter().map(|p| {
                sum += p;
                sum
            }));
        }
        Self { t, cumulative }
    }

    /// The neighbor of `i` at the share `u` in `[0, 1)` of its row.
    ///
    /// The first running sum beyond `u` belongs to an entry that made it grow, so an entry of
    /// probability zero is never drawn. Should `u * total` round up to the total itself, the first
    /// entry to reach the total is taken, which made it grow as well.
    fn draw(&self, i: usize, u: f64) -> usize {
        let range = self.t.range(i);
        let row = &self.cumulative[range.clone()];
        // A checked row sums to 1, so it is not empty.
        let total = row.last().copied().unwrap_or(0.0);
        let at = count_up_to(row, u * total);
        let at = if at < row.len() { at } else { row.partition_point(|&sum| sum < total) };
        self.t.cols(i)[at] as usize
    }
}

/// How many of the `sorted` numbers are `<= x`: halving without branches, then counting what is left,
/// which is faster than halving to the end because the few cache lines load side by side.
fn count_up_to(sorted: &[f64], x: f64) -> usize {
    let (mut base, mut size) = (0, sorted.len());
    while size > 64 {
        let half = size / 2;
        base += if sorted[base + half - 1] <= x { half } else { 0 };
        size -= half;
    }
    base + sorted[base..base + size].iter().map(|&s| usize::from(s <= x)).sum::<usize>()
}

/// A number in `[0, 1)` with 53 random bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// The random stream of `seed`. The key is the plain seed, so that the stream depends on nothing but the
/// published ChaCha algorithm.
fn stream(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// One walk under way.
struct Walk {
    rng: ChaCha8Rng,
    cells: Vec<i64>,
    at: usize,
    hits: usize,
}

impl Walk {
    fn begin(params: &Params<'_>, walk: usize) -> Self {
        let mut rng = stream(params.seed.wrapping_add(walk as u64));
        // The high half of a 64 x 64 bit product: uniform to one part in 2^64 / n_starts.
        let draw = (u128::from(rng.next_u64()) * params.starts.len() as u128) >> 64;
        let start = params.starts[draw as usize];
        // Checked to be a cell, so the cast is exact.
        Self { rng, cells: vec![start], at: start as usize, hits: 0 }
    }

    /// Takes a step and tells whether the walk goes on.
    fn step(&mut self, sampler: &Sampler<'_, '_>, params: &Params<'_>) -> bool {
        self.at = sampler.draw(self.at, unit(&mut self.rng));
        self.cells.push(self.at as i64);
        let hit = params.stops.is_some_and(|stops| stops[self.at]);
        self.hits = if hit { self.hits + 1 } else { 0 };
        self.hits <= params.successive_hits
    }
}

/// Simulates `params.n_sims` walks on `t`.
///
/// # Errors
/// [`Error::Parameter`] without walks or start cells, for a start that is not a cell, and for walks that
/// could not be held in memory; [`Error::Shape`] when `stops` has another length than there are cells;
/// [`Error::Cancelled`].
pub fn simulate(t: &TransitionMatrix<'_>, params: &Params<'_>, run: &Run) -> Result<Walks> {
    check(t.n_rows(), params)?;
    run.expect_steps(params.n_sims);
    let sampler = Sampler::new(t);
    let mut walks = Walks { cells: Vec::new(), offsets: vec![0] };
    let mut parts = InOrder::new(|lanes: &mut Vec<Walk>| {
        for walk in lanes.drain(..) {
            walks.cells.extend_from_slice(&walk.cells);
            walks.offsets.push(walks.cells.len() as i64);
        }
    });
    run.blocks(
        params.n_sims,
        LANES,
        Vec::new,
        |lanes: &mut Vec<Walk>, block| {
            lanes.clear();
            lanes.extend(block.map(|walk| Walk::begin(params, walk)));
            advance(lanes, &sampler, params, run)
        },
        |lanes, block| parts.put(block, lanes),
    )?;
    Ok(walks)
}

fn advance(lanes: &mut [Walk], sampler: &Sampler<'_, '_>, params: &Params<'_>, run: &Run) -> Result<()> {
    let mut active: Vec<&mut Walk> = lanes.iter_mut().collect();
    for step in 1..=params.max_steps {
        if step % CHECK == 0 {
            run.tick(0)?;
        }
        active.retain_mut(|walk| walk.step(sampler, params));
        if active.is_empty() {
            break;
        }
    }
    Ok(())
}

fn check(n: usize, params: &Params<'_>) -> Result<()> {
    if params.n_sims == 0 {
        return Err(Error::parameter("n_sims", "a positive number of simulations", 0));
    }
    if params.starts.is_empty() {
        return Err(Error::parameter("starts", "at least one cell to start from", "none"));
    }
    if let Some(bad) = params.starts.iter().find(|&&i| usize::try_from(i).map_or(true, |i| i >= n)) {
        return Err(Error::parameter("starts", format!("cells in 0..{n}"), bad));
    }
    if let Some(stops) = params.stops.filter(|stops| stops.len() != n) {
        return Err(Error::shape("the stop set", format!("one flag per cell ({n})"), stops.len()));
    }
    // Walks that end in time are short whatever the limit; without a stop set the limit is the length.
    let longest = params.max_steps.checked_add(1).and_then(|cells| cells.checked_mul(params.n_sims));
    let fits =
        longest.and_then(|cells| cells.checked_mul(8)).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if !fits && params.stops.is_none() {
        let found = format!("{} walks of {}", params.n_sims, params.max_steps);
        return Err(Error::parameter("max_steps", "small enough for all walks to fit into memory", found));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::Csr;

    fn chain(rows: &[&[f64]]) -> TransitionMatrix<'static> {
        let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
        for row in rows {
            for (j, &p) in row.iter().enumerate() {
                indices.push(j as i32);
                data.push(p);
            }
            indptr.push(indices.len() as i64);
        }
        TransitionMatrix::new(Csr::new(rows.len(), indptr, indices, data).unwrap()).unwrap()
    }

    /// 0 -> 1 -> 2 -> 0, with stored zeros that must never be used.
    fn circle() -> TransitionMatrix<'static> {
        chain(&[&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0]])
    }

    fn params() -> Params<'static> {
        Params { starts: &[0], stops: None, n_sims: 1, max_steps: 7, successive_hits: 0, seed: 3 }
    }

    #[test]
    fn a_circle_is_walked_round_to_the_last_step() {
        let out = simulate(&circle(), &params(), &Run::new(1)).unwrap();
        assert_eq!(out.cells, [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(out.offsets, [0, 8]);
    }

    /// Start 0 is in the stop set but does not count; the first visit after it ends the walk.
    #[test]
    fn the_start_does_not_count_as_a_hit() {
        let stops = [true, false, false];
        let out = simulate(&circle(), &Params { stops: Some(&stops), ..params() }, &Run::new(1)).unwrap();
        assert_eq!(out.cells, [0, 1, 2, 0]);
    }

    /// Stop set {1, 2}: visits in a row are 1, 2, so two in a row end the walk at 2; three never happen.
    #[test]
    fn hits_must_be_in_a_row() {
        let stops = [false, true, true];
        let p = Params { stops: Some(&stops), successive_hits: 1, ..params() };
        assert_eq!(simulate(&circle(), &p, &Run::new(1)).unwrap().cells, [0, 1, 2]);
        let p = Params { successive_hits: 2, ..p };
        assert_eq!(simulate(&circle(), &p, &Run::new(1)).unwrap().cells.len(), 8);
    }

    #[test]
    fn walk_s_is_the_walk_of_seed_plus_s_on_any_number_of_threads() {
        let t = chain(&[&[0.2, 0.5, 0.3], &[0.1, 0.1, 0.8], &[0.6, 0.4, 0.0]]);
        let stops = [false, false, true];
        let many = Params {
            starts: &[0, 1, 2],
            stops: Some(&stops),
            n_sims: 50,
            successive_hits: 1,
            seed: u64::MAX - 20,
            max_steps: 30,
        };
        let all = simulate(&t, &many, &Run::new(1)).unwrap();
        for threads in [2, 5] {
            assert_eq!(simulate(&t, &many, &Run::new(threads)).unwrap(), all);
        }
        for s in 0..50 {
            let one = Params { n_sims: 1, seed: many.seed.wrapping_add(s as u64), ..many };
            let one = simulate(&t, &one, &Run::new(1)).unwrap();
            assert_eq!(one.cells, all.cells[all.offsets[s] as usize..all.offsets[s + 1] as usize]);
        }
    }

    /// At the very top of `[0, 1)` the trailing zero entry must not be drawn, nor the leading one at 0.
    #[test]
    fn the_ends_of_a_row_never_fall_on_a_zero() {
        let t = chain(&[&[0.0, 0.5, 0.5, 0.0], &[0.0, 0.0, 1.0, 0.0], &[1.0, 0.0, 0.0, 0.0], &[0.25; 4]]);
        let sampler = Sampler::new(&t);
        let top = 1.0 - f64::EPSILON / 2.0;
        assert_eq!((sampler.draw(0, 0.0), sampler.draw(0, top)), (1, 2));
        // Not reachable with u < 1, but the guard must hold all the same.
        assert_eq!(sampler.draw(0, 1.0), 2);
        assert_eq!(sampler.draw(0, 0.5), 2);
    }

    #[test]
    fn counting_agrees_with_the_standard_search_at_every_length() {
        for n in 1..300 {
            let sorted: Vec<f64> = (0..n).map(|i| f64::from(i / 3)).collect();
            for x in [-1.0, 0.0, 0.5, 7.0, f64::from(n), f64::from(n / 2)] {
                assert_eq!(count_up_to(&sorted, x), sorted.partition_point(|&s| s <= x), "{n} {x}");
            }
        }
    }

    /// Row 0 leads to 1 with 0.3: among 20,000 walks the share is 0.3 up to 5 standard errors (0.016).
    #[test]
    fn neighbors_are_drawn_in_proportion() {
        let t = chain(&[&[0.2, 0.3, 0.5], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
        let p = Params { n_sims: 20_000, max_steps: 1, seed: 0, ..params() };
        let out = simulate(&t, &p, &Run::new(2)).unwrap();
        let share = |j| out.cells.iter().skip(1).step_by(2).filter(|&&c| c == j).count() as f64 / 2e4;
        for (j, p) in [(0, 0.2), (1, 0.3), (2, 0.5)] {
            assert!((share(j) - p).abs() < 0.016, "{j}: {}", share(j));
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        let t = circle();
        let refused = |p: Params<'_>| simulate(&t, &p, &Run::new(1)).unwrap_err().to_string();
        assert!(refused(Params { n_sims: 0, ..params() }).contains("simulations"));
        assert!(refused(Params { starts: &[], ..params() }).contains("starts"));
        assert!(refused(Params { starts: &[3], ..params() }).contains("0..3"));
        assert!(refused(Params { starts: &[-1], ..params() }).contains("-1"));
        assert!(refused(Params { stops: Some(&[true]), ..params() }).contains("stop set"));
        assert!(refused(Params { max_steps: usize::MAX, ..params() }).contains("memory"));
    }

    #[test]
    fn a_cancelled_walk_stops() {
        let run = Run::new(1);
        run.cancel();
        assert_eq!(simulate(&circle(), &params(), &run), Err(Error::Cancelled));
    }
}
