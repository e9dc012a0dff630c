//! From approximate solves to accurate answers: cycles of a solver, each from the true residual.

use rayon::prelude::*;

use super::chain::{Chain, Rows};
use super::precondition::Preconditioner;
use super::vectors::norms;
use super::{bicgstab, gmres, Accuracy, Cycle, Info, Kind, Method, Params};
use crate::error::{Error, Result};
use crate::run::Run;

/// Systems that share a pass over the matrix, at most.
const WIDEST: usize = 8;
/// Steps of GMRES before it starts anew from the true residual.
const RESTART: usize = 40;
/// No cycle reduces a residual by more, whatever its recurrence says.
const DEEPEST: f64 = 1e-13;
/// A method that could still be replaced by a stronger one must reduce errors this much in a cycle.
const BRISK: f64 = 1e-6;
/// Cycles in a row without progress after which a method is given up.
const PATIENCE: usize = 3;

/// One system: what is known about its solution.
#[derive(Debug, Clone, Copy)]
struct State {
    iterations: usize,
    residual: f64,
    error: f64,
    /// Accurate enough if no method does better.
    acceptable: bool,
    done: bool,
}

/// Solves `A X = B` for all columns of `b`, shape `(n, k)`, row after row; returns `X` in the same shape.
///
/// When the method asked for does not get there, the next stronger one takes over from the best answer
/// so far.
///
/// # Errors
/// [`Error::Unsolved`], [`Error::Parameter`], [`Error::Cancelled`].
pub(crate) fn solve(
    chain: &Chain,
    b: &[f64],
    k: usize,
    accuracy: Accuracy,
    params: &Params,
    run: &Run,
) -> Result<(Vec<f64>, Info)> {
    if !(params.tol > 0.0 && params.tol < 1.0) {
        return Err(Error::parameter("tol", "in (0, 1)", params.tol));
    }
    if params.max_iterations == 0 {
        return Err(Error::parameter("max_iterations", "positive", 0));
    }
    if run.threads() > 1 {
        // Everything below then runs on threads of this pool and on no others.
        return run.install(|| solve_here(chain, b, k, accuracy, params, run));
    }
    solve_here(chain, b, k, accuracy, params, run)
}

fn solve_here(
    chain: &Chain,
    b: &[f64],
    k: usize,
    accuracy: Accuracy,
    params: &Params,
    run: &Run,
) -> Result<(Vec<f64>, Info)> {
    let n = chain.n();
    let mut x = vec![0.0; n * k];
    let untouched = State { iterations: 0, residual: 0.0, error: 0.0, acceptable: false, done: n == 0 };
    let mut states = vec![untouched; k];
    let mut failure = None;
    let ways = ways(params);
    let mut last = ways[0];
    let mut weaker = None;
    for &(method, kind) in &ways {
        if states.iter().all(|s| s.done) {
            break;
        }
        let preconditioner = match Preconditioner::new(kind, chain, weaker.take(), run) {
            Err(error @ Error::TooLarge { .. }) => {
                failure = Some(error);
                continue;
            }
            other => other?,
        };
        last = (method, kind);
        let judge = match kind {
            Kind::Jacobi => Some(Preconditioner::new(Kind::Ilu, chain, None, run)?),
            _ => None,
        };
        let way = Way {
            chain,
            preconditioner: &preconditioner,
            judge: judge.as_ref(),
            method,
            last: kind >= Kind::Multilevel || params.preconditioner == Some(kind),
            accuracy,
            params,
        };
        advance(&way, b, &mut x, &mut states, run)?;
        weaker = Some(judge.unwrap_or(preconditioner));
    }
    let residual = states.iter().map(|s| s.residual).fold(0.0, f64::max);
    let iterations = states.iter().map(|s| s.iterations).max().unwrap_or(0);
    let systems = states.iter().filter(|s| !s.done).count();
    if systems > 0 {
        return Err(match failure {
            Some(error) if params.method == Method::Direct => error,
            _ => Error::Unsolved { residual, systems, iterations },
        });
    }
    let error = states.iter().map(|s| s.error).fold(0.0, f64::max);
    Ok((x, Info { method: last.0, preconditioner: last.1, iterations, residual, error }))
}

/// What is tried, in order.
fn ways(params: &Params) -> Vec<(Method, Kind)> {
    let direct = (Method::Direct, Kind::Direct);
    let mut ways = match (params.method, params.preconditioner) {
        (Method::Direct, _) | (_, Some(Kind::Direct)) => return vec![direct],
        (method, kind) => {
            let first = kind.unwrap_or(Kind::Multilevel);
            [Kind::Jacobi, Kind::Ilu, Kind::Multilevel]
                .into_iter()
                .filter(|&k| k >= first)
                .map(|k| (method, k))
                .collect::<Vec<_>>()
        }
    };
    ways.push(direct);
    ways
}

/// One method with all it needs.
struct Way<'a> {
    chain: &'a Chain,
    preconditioner: &'a Preconditioner,
    /// What errors are estimated with, if the preconditioner is too weak for that.
    judge: Option<&'a Preconditioner>,
    method: Method,
    /// Whether only complete factors are left to try.
    last: bool,
    accuracy: Accuracy,
    params: &'a Params,
}

/// Solves the unfinished systems, in groups that share passes, groups in parallel.
fn advance(way: &Way<'_>, b: &[f64], x: &mut [f64], states: &mut [State], run: &Run) -> Result<()> {
    let k = states.len();
    let open: Vec<usize> = (0..k).filter(|&c| !states[c].done).collect();
    let n_groups = open.len().div_ceil(WIDEST).max(run.threads().min(open.len()));
    let groups: Vec<&[usize]> = open.chunks(open.len().div_ceil(n_groups)).collect();
    let one = |columns: &&[usize]| -> Result<(Vec<f64>, Vec<State>)> {
        let (x, states) = (&*x, &*states);
        match columns.len() {
            1 => group::<1>(way, b, x, columns, states, run),
            2 => group::<2>(way, b, x, columns, states, run),
            3 => group::<3>(way, b, x, columns, states, run),
            4 => group::<4>(way, b, x, columns, states, run),
            5 | 6 => group::<6>(way, b, x, columns, states, run),
            _ => group::<8>(way, b, x, columns, states, run),
        }
    };
    let solved: Vec<_> = match groups.as_slice() {
        [only] => vec![one(only)?],
        _ if run.threads() > 1 => groups.par_iter().map(one).collect::<Result<_>>()?,
        _ => groups.iter().map(one).collect::<Result<_>>()?,
    };
    for (columns, (values, new)) in groups.into_iter().zip(solved) {
        let width = new.len();
        for (at, &c) in columns.iter().enumerate() {
            states[c] = new[at];
            for (row, values) in x.chunks_exact_mut(k).zip(values.chunks_exact(width)) {
                row[c] = values[at];
            }
        }
    }
    Ok(())
}

/// The columns as the first ones of `W`; the others stay zero.
fn gather<const W: usize>(from: &[f64], k: usize, columns: &[usize]) -> Vec<[f64; W]> {
    let row = |row: &[f64]| {
        let mut out = [0.0; W];
        columns.iter().zip(&mut out).for_each(|(&c, out)| *out = row[c]);
        out
    };
    from.chunks_exact(k).map(row).collect()
}

enum Work<const W: usize> {
    Gmres(gmres::Work<W>),
    Bicgstab(bicgstab::Work<W>),
    Direct,
}

/// Cycle after cycle for up to `W` systems, until all are done or no longer make progress.
///
/// The solution is kept with the digits behind its last (`low`), so that its residual is not lost in its
/// own rounding. The error is estimated as what the preconditioner makes of the residual, times by how
/// much that was too little for the cycles so far; where that is not enough, the last correction must
/// have been as small as the error wanted.
fn group<const W: usize>(
    way: &Way<'_>,
    b: &[f64],
    x: &[f64],
    columns: &[usize],
    states: &[State],
    run: &Run,
) -> Result<(Vec<f64>, Vec<State>)> {
    let Way { chain, preconditioner, method, params, accuracy, .. } = *way;
    let judge = way.judge.unwrap_or(preconditioner);
    let (n, k) = (chain.n(), states.len());
    let (b, mut x) = (gather::<W>(b, k, columns), gather::<W>(x, k, columns));
    let idle = State { iterations: 0, residual: 0.0, error: 0.0, acceptable: false, done: true };
    let mut states: [State; W] = std::array::from_fn(|c| columns.get(c).map_or(idle, |&c| states[c]));
    if x.iter().all(|row| row.iter().all(|&x| x == 0.0)) {
        x.copy_from_slice(&b);
        preconditioner.solve(chain, &mut x);
    }
    let mut low = vec![[0.0; W]; n];
    let (mut r, mut e) = (vec![[0.0; W]; n], vec![[0.0; W]; n]);
    let mut before = x.clone();
    let mut work = match method {
        Method::Gmres => Work::Gmres(gmres::Work::new(n)),
        Method::Bicgstab => Work::Bicgstab(bicgstab::Work::new(n)),
        Method::Direct => Work::Direct,
    };
    let b_norms = norms(&b);
    let mut smallest = [1.0; W];
    let mut raw = [0.0; W]; // error by the preconditioner alone
    let mut moved = [[f64::INFINITY; W]; 2]; // the last correction
    let mut reach = [DEEPEST; W]; // by how much a cycle is likely to reduce the residual
    let mut claimed = [false; W]; // whether the last cycle believed to have reached its goal
    let mut stalled = [0; W];
    let mut steps = [0; W];
    let mut started = false;
    loop {
        run.tick(0)?;
        chain.residual_exact(&b, &x, &low, &mut r);
        e.copy_from_slice(&r);
        judge.solve(chain, &mut e);
        let (r_norms, errors_now) = (norms(&r), errors(&e, &x, accuracy));
        let mut goal = [f64::INFINITY; W];
        for c in 0..W {
            let state = &mut states[c];
            if state.done || stalled[c] >= PATIENCE {
                continue;
            }
            let residual = if b_norms[c] > 0.0 { r_norms[c] / b_norms[c] } else { r_norms[c] };
            let [each, overall] = errors_now.map(|e| e[c]);
            let worse = each > 4.0 * raw[c] && each / smallest[c] > accuracy.wanted;
            if started && (each.is_nan() || worse) {
                // Worse than before, by more than what rounding does to an answer that is accurate enough, or
                // not a number: back to the better answer.
                x.iter_mut().zip(&before).for_each(|(x, before)| x[c] = before[c]);
                stalled[c] = PATIENCE;
                state.done = state.acceptable;
                continue;
            }
            let progress = !started || each < 0.5 * raw[c] || residual < 0.5 * state.residual;
            stalled[c] = if progress { 0 } else { stalled[c] + 1 };
            let brisk = !started || way.last || each < BRISK * raw[c] || residual < BRISK * state.residual;
            if claimed[c] {
                let reduced = residual / state.residual;
                reach[c] = if reduced > 10.0 * reach[c] { (0.1 * reduced).min(0.1) } else { reach[c] };
            }
            raw[c] = each;
            let error = each / smallest[c];
            (state.residual, state.error) = (residual, error);
            let confirmed = |wanted: f64, moved: f64| !accuracy.confirmed || moved <= wanted;
            let small = residual <= params.tol;
            state.acceptable = small
                && overall / smallest[c] <= accuracy.accepted
                && confirmed(accuracy.accepted, moved[1][c]);
            if small && error <= accuracy.wanted && confirmed(accuracy.wanted, moved[0][c]) {
                state.done = true;
                continue;
            }
            if steps[c] >= params.max_iterations || !brisk {
                stalled[c] = PATIENCE;
            }
            if stalled[c] >= PATIENCE {
                state.done = state.acceptable;
                continue;
            }
            let wanted = (0.5 * params.tol / residual).min(0.3 * accuracy.wanted / error);
            goal[c] = r_norms[c] * wanted.clamp(reach[c], 0.1);
        }
        if goal.iter().all(|g| g.is_infinite()) {
            break;
        }
        started = true;
        before.copy_from_slice(&x);
        // For each system on its own: what its neighbors do must not change its bits.
        let limits: [usize; W] = std::array::from_fn(|c| {
            let left = params.max_iterations.saturating_sub(steps[c]).max(1);
            match method {
                Method::Bicgstab if way.last => left,
                Method::Gmres => left.min(RESTART),
                _ => left.min(2 * RESTART),
            }
        });
        let cycle = match &mut work {
            Work::Gmres(work) => gmres::cycle(chain, preconditioner, &r, &mut e, goal, limits, work, run)?,
            Work::Bicgstab(work) => {
                bicgstab::cycle(chain, preconditioner, &r, &mut e, goal, limits, work, run)?
            }
            Work::Direct => Cycle { steps: [1; W] }, // `e` is the correction
        };
        moved = errors(&e, &x, accuracy);
        for c in 0..W {
            if goal[c].is_finite() {
                steps[c] += cycle.steps[c];
                claimed[c] = cycle.steps[c] < limits[c];
                states[c].iterations += cycle.steps[c];
                // By how much the preconditioner underestimated what the cycle then corrected.
                let seen = if moved[0][c] == 0.0 { 1.0 } else { raw[c] / moved[0][c] };
                smallest[c] = seen.min(smallest[c]).max(f64::EPSILON);
                x.iter_mut()
                    .zip(&mut low)
                    .zip(&e)
                    .for_each(|((x, low), e)| advance_by(&mut x[c], &mut low[c], e[c]));
            }
        }
    }
    Ok((x.into_flattened(), states.to_vec()))
}

/// `x + low += e`, with what `x` can not hold left in `low`.
fn advance_by(x: &mut f64, low: &mut f64, e: f64) {
    let e = *low + e;
    let sum = *x + e;
    let seen = sum - *x;
    *low = (*x - (sum - seen)) + (e - seen);
    *x = sum;
}

/// Largest error of each column, by the two measures of [`Accuracy`].
fn errors<const W: usize>(e: &Rows<W>, x: &Rows<W>, accuracy: Accuracy) -> [[f64; W]; 2] {
    let mut scale = [if accuracy.relative { 0.0_f64 } else { 1.0 }; W];
    if accuracy.relative {
        for x in x {
            for c in 0..W {
                scale[c] = scale[c].max(x[c].abs());
            }
        }
    }
    let mut out = [[0.0_f64; W]; 2];
    for (e, x) in e.iter().zip(x) {
        for c in 0..W {
            let e = e[c].abs();
            if e > 0.0 || e.is_nan() {
                // Unlike `max`, these keep NaN.
                let each = e / x[c].abs().max(accuracy.floor * scale[c]);
                out[0][c] = if each <= out[0][c] { out[0][c] } else { each };
                let all = e / scale[c];
                out[1][c] = if all <= out[1][c] { out[1][c] } else { all };
            }
        }
    }
    out
}
