//! Absorption probabilities and times against elimination and identities, for any chain.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::needless_range_loop)] // two arrays are indexed by each

use ferrocyte_core::csr::{Csr, TransitionMatrix};
use ferrocyte_core::fate::{absorption_probabilities, absorption_times};
use ferrocyte_core::run::Run;
use ferrocyte_core::solve::{Kind, Method, Params};
use ferrocyte_core::{graph, Error};
use proptest::prelude::*;

type Dense = Vec<Vec<f64>>;

fn chain(weights: &Dense) -> TransitionMatrix<'static> {
    let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
    for row in weights {
        let sum: f64 = row.iter().sum();
        for (j, &w) in row.iter().enumerate().filter(|(_, &w)| w != 0.0) {
            indices.push(j as i32);
            data.push(w / sum);
        }
        indptr.push(indices.len() as i64);
    }
    TransitionMatrix::new(Csr::new(weights.len(), indptr, indices, data).unwrap()).unwrap()
}

const WAYS: [(Method, Option<Kind>); 6] = [
    (Method::Gmres, None),
    (Method::Gmres, Some(Kind::Jacobi)),
    (Method::Gmres, Some(Kind::Multilevel)),
    (Method::Bicgstab, Some(Kind::Ilu)),
    (Method::Bicgstab, Some(Kind::Jacobi)),
    (Method::Direct, None),
];

fn params((method, preconditioner): (Method, Option<Kind>)) -> Params {
    Params { method, preconditioner, ..Params::default() }
}

/// Eliminates the transient states from the last to the first, without subtractions: what is left of the
/// rows are the probabilities of going to each target first.
fn eliminate(weights: &Dense, target: &[Option<usize>], k: usize) -> Dense {
    let n = weights.len();
    let mut p = weights.clone();
    let mut hits = vec![vec![0.0; k]; n];
    for i in 0..n {
        for j in 0..n {
            if let Some(c) = target[j] {
                hits[i][c] += p[i][j];
                p[i][j] = 0.0;
            }
        }
    }
    let transient: Vec<usize> = (0..n).filter(|&i| target[i].is_none()).collect();
    for (at, &i) in transient.iter().enumerate() {
        p[i][i] = 0.0;
        let rest = &transient[at + 1..];
        let sum = rest.iter().map(|&j| p[i][j]).sum::<f64>() + hits[i].iter().sum::<f64>();
        p[i].iter_mut().for_each(|p| *p /= sum);
        hits[i].iter_mut().for_each(|h| *h /= sum);
        for &a in rest {
            let into = p[a][i];
            for &j in rest {
                p[a][j] += into * p[i][j];
            }
            for c in 0..k {
                hits[a][c] += into * hits[i][c];
            }
        }
    }
    for (at, &i) in transient.iter().enumerate().rev() {
        for &j in &transient[at + 1..] {
            for c in 0..k {
                hits[i][c] += p[i][j] * hits[j][c];
            }
        }
    }
    for (row, &c) in hits.iter_mut().zip(target) {
        if let Some(c) = c {
            row.fill(0.0);
            row[c] = 1.0;
        }
    }
    hits
}

/// Sparse weights of very different sizes; some rows stay where they are with high probability.
fn weights(n: usize) -> impl Strategy<Value = Dense> {
    let weight = prop_oneof![
        3 => Just(0.0),
        2 => 0.1..1.0,
        1 => (-9.0..0.0_f64).prop_map(|e| 10.0_f64.powf(e)),
    ];
    prop::collection::vec(prop::collection::vec(weight, n), n).prop_map(|mut m| {
        // A state without a way out stays.
        (0..m.len())
            .filter(|&i| m[i].iter().all(|&w| w == 0.0))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|i| m[i][i] = 1.0);
        m
    })
}

fn problem() -> impl Strategy<Value = (Dense, Vec<Option<usize>>, usize)> {
    (2..25_usize, 1..4_usize).prop_flat_map(|(n, k)| {
        let k = k.min(n);
        (weights(n), prop::collection::vec(prop::option::weighted(0.2, 0..k), n), Just(k)).prop_map(
            move |(w, mut target, k)| {
                (0..k).for_each(|c| target[c] = Some(c));
                (w, target, k)
            },
        )
    })
}

proptest! {
    #[test]
    fn every_way_agrees_with_elimination((w, target, k) in problem()) {
        let t = chain(&w);
        let backward = t.transpose();
        let steps = graph::steps_to(&backward, |i| target[i].is_some());
        let lost: Vec<usize> = (0..w.len()).filter(|&i| steps[i].is_none()).collect();
        for way in WAYS {
            let found = absorption_probabilities(&t, &target, &params(way), &Run::new(1));
            if !lost.is_empty() {
                prop_assert_eq!(found, Err(Error::Unreachable { rows: lost.clone() }));
                continue;
            }
            let found = found.unwrap();
            let want = eliminate(&w, &target, k);
            for (i, (row, want)) in found.x.chunks_exact(k).zip(&want).enumerate() {
                prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                for (x, want) in row.iter().zip(want) {
                    prop_assert!((0.0..=1.0).contains(x));
                    prop_assert!((x - want).abs() < 1e-11, "{:?} state {}: {} {}", way, i, x, want);
                }
            }
            let two = absorption_probabilities(&t, &target, &params(way), &Run::new(2)).unwrap();
            prop_assert_eq!(two, found);
        }
    }

    /// The mean number of steps is 1 plus its mean over the next state, weighted by where walks that end
    /// in the set go; likewise the second moment.
    #[test]
    fn times_satisfy_their_equations((w, target, k) in problem()) {
        let t = chain(&w);
        let x = match absorption_probabilities(&t, &target, &Params::default(), &Run::new(1)) {
            Ok(found) => found.x,
            Err(_) => return Ok(()),
        };
        let times = absorption_times(&t, &target, true, &Params::default(), &Run::new(1)).unwrap();
        let variance = times.variance.unwrap();
        for i in 0..w.len() {
            for c in 0..k {
                let (h, m, v) = (x[i * k + c], times.mean[i * k + c], variance[i * k + c]);
                if target[i] == Some(c) {
                    prop_assert_eq!((m, v), (0.0, 0.0));
                } else if target[i].is_some() {
                    prop_assert!(m.is_infinite() && v.is_nan());
                } else if h > 1e-3 {
                    let (cols, p) = t.row(i);
                    let (mut mean, mut second) = (0.0, 0.0);
                    for (&j, p) in cols.iter().zip(p) {
                        let j = j as usize * k + c;
                        if x[j] >= 1e-10 {
                            let share = p * x[j] / h;
                            mean += share * (1.0 + times.mean[j]);
                            second += share * (variance[j] + (1.0 + times.mean[j] - m).powi(2));
                        }
                    }
                    prop_assert!((mean - m).abs() <= 1e-6 * m, "mean {} {}", mean, m);
                    prop_assert!((second - v).abs() <= 1e-6 * v.max(m), "variance {} {}", second, v);
                }
            }
        }
    }

    #[test]
    fn components_are_mutual_reachability(w in (1..20_usize).prop_flat_map(weights)) {
        let t = chain(&w);
        let found = graph::components(&t);
        let backward = t.transpose();
        let n = w.len();
        let reach: Vec<Vec<bool>> =
            (0..n).map(|j| graph::steps_to(&backward, |i| i == j).iter().map(Option::is_some).collect()).collect();
        for i in 0..n {
            for j in 0..n {
                let both = reach[i][j] && reach[j][i];
                prop_assert_eq!(found.labels[i] == found.labels[j], both);
                if found.closed[found.labels[i]] && reach[j][i] {
                    prop_assert!(both, "{} leaves a closed class for {}", i, j);
                }
            }
        }
        prop_assert!(found.closed.contains(&true), "a finite chain has a recurrent class");
    }
}

#[test]
fn a_cancelled_run_stops() {
    let t = chain(&vec![vec![0.5, 0.5], vec![0.0, 1.0]]);
    let run = Run::new(1);
    run.cancel();
    let found = absorption_probabilities(&t, &[None, Some(0)], &Params::default(), &run);
    assert_eq!(found, Err(Error::Cancelled));
}
