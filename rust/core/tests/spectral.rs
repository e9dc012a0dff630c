//! Schur bases, eigenvectors, stationary distributions and memberships: what must hold for any chain.
#![allow(clippy::unwrap_used, missing_docs)]

use ferrocyte_core::csr::{Csr, TransitionMatrix};
use ferrocyte_core::gpcca::{self, coarse};
use ferrocyte_core::run::Run;
use ferrocyte_core::spectral::krylov_schur::{schur, Params, Schur};
use ferrocyte_core::spectral::ordered_schur::Which;
use ferrocyte_core::spectral::{eigen, stationary};
use ferrocyte_core::Error;
use proptest::prelude::*;

type Dense = Vec<Vec<f64>>;

fn chain(rows: &Dense) -> TransitionMatrix<'static> {
    let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
    for row in rows {
        let sum: f64 = row.iter().sum();
        for (j, &w) in row.iter().enumerate().filter(|(_, &w)| w != 0.0) {
            indices.push(j as i32);
            data.push(w / sum);
        }
        indptr.push(indices.len() as i64);
    }
    TransitionMatrix::new(Csr::new(rows.len(), indptr, indices, data).unwrap()).unwrap()
}

/// Weights, many of them zero; the diagonal is not, so that every row can be normalised.
fn weights(n: std::ops::Range<usize>) -> impl Strategy<Value = Dense> {
    let weight = prop_oneof![2 => Just(0.0), 1 => (1..4_u8).prop_map(f64::from), 1 => 0.01..1.0];
    n.prop_flat_map(move |n| prop::collection::vec(prop::collection::vec(weight.clone(), n), n)).prop_map(
        |mut rows| {
            (0..rows.len()).for_each(|i| rows[i][i] += 0.5);
            rows
        },
    )
}

/// `n` cells around a circle, each with steps of its own to the next `reach`.
fn ring(n: usize, reach: usize, seed: u64) -> Dense {
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut rows = vec![vec![0.0; n]; n];
    for (i, row) in rows.iter_mut().enumerate() {
        (1..=reach).for_each(|k| row[(i + k) % n] = 0.1 + random());
        (1..=reach).for_each(|k| row[(i + n - k) % n] = 0.1 + random());
    }
    rows
}

fn times(t: &TransitionMatrix<'_>, x: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    for i in 0..t.n_rows() {
        let (cols, values) = t.row(i);
        for (&j, p) in cols.iter().zip(values) {
            (0..m).for_each(|k| out[i * m + k] += p * x[j as usize * m + k]);
        }
    }
    out
}

/// Largest entry of `T X - X R`, and of `X^T D X - I`.
fn errors(t: &TransitionMatrix<'_>, d: &[f64], s: &Schur) -> (f64, f64) {
    let (n, m) = (t.n_rows(), s.eigenvalues.len());
    let mut tx = times(t, &s.vectors, m);
    let total: f64 = d.iter().sum();
    let mut gram = vec![0.0; m * m];
    for i in 0..n {
        let x = &s.vectors[i * m..(i + 1) * m];
        for k in 0..m {
            tx[i * m + k] -= (0..m).map(|l| x[l] * s.matrix[l * m + k]).sum::<f64>();
            tx[i * m + k] *= (d[i] / total).sqrt();
            (0..m).for_each(|l| gram[k * m + l] += d[i] / total * x[k] * x[l]);
        }
    }
    (0..m).for_each(|k| gram[k * m + k] -= 1.0);
    let largest = |v: &[f64]| v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    (largest(&tx), largest(&gram))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_schur_basis_is_one(rows in weights(1..50), share in 0.0..1.0, large in any::<bool>(), uneven in any::<bool>()) {
        let t = chain(&rows);
        let n = t.n_rows();
        let n_components = 1 + ((n - 1) as f64 * share) as usize;
        let which = if large { Which::LargestMagnitude } else { Which::LargestReal };
        let d: Vec<f64> = (0..n).map(|i| if uneven { 1.0 + (i % 5) as f64 } else { 1.0 }).collect();
        let params = Params { n_components, which, ..Params::default() };
        let s = schur(&t, Some(&d), &params, &Run::default()).unwrap();
        let m = s.eigenvalues.len();
        prop_assert!(m == n_components || m == n_components + 1);
        prop_assert!((0..n).all(|i| s.vectors[i * m] == 1.0));
        let (residual, orthogonality) = errors(&t, &d, &s);
        prop_assert!(residual < 1e-9, "{}", residual);
        prop_assert!(orthogonality < 1e-11, "{}", orthogonality);
        let keys: Vec<f64> = s.eigenvalues.iter().map(|&e| which.key(e)).collect();
        prop_assert!(keys.windows(2).all(|w| w[0] >= w[1] - 1e-7), "{:?}", keys);
        prop_assert!(m < 2 || s.matrix[(m - 1) * m + m - 2] == 0.0 || s.eigenvalues[m - 1].1 < 0.0);
        if n_components == n {
            // The sum of all eigenvalues is the sum of the diagonal.
            let diagonal: f64 = (0..n).map(|i| rows[i][i] / rows[i].iter().sum::<f64>()).sum();
            prop_assert!((s.eigenvalues.iter().map(|e| e.0).sum::<f64>() - diagonal).abs() < 1e-8);
        }
    }

    #[test]
    fn stationary_distributions_stay(rows in weights(1..30)) {
        let t = chain(&rows);
        let out = stationary::distribution(&t, &stationary::Params::default(), &Run::default()).unwrap();
        let n = t.n_rows();
        let mut next = vec![0.0; n];
        for i in 0..n {
            let (cols, values) = t.row(i);
            cols.iter().zip(values).for_each(|(&j, p)| next[j as usize] += out.distribution[i] * p);
        }
        for (i, (found, expected)) in next.iter().zip(&out.distribution).enumerate() {
            prop_assert!((found - expected).abs() < 1e-14);
            prop_assert_eq!(out.classes[i].is_some(), *expected > 0.0);
        }
        for class in 0..out.residuals.len() {
            let of_class = (0..n).filter(|&i| out.classes[i] == Some(class));
            prop_assert!((of_class.map(|i| out.distribution[i]).sum::<f64>() - 1.0).abs() < 1e-14);
        }
    }

    #[test]
    fn memberships_are_feasible(n in 20..150_usize, seed in any::<u64>(), n_states in 2..6_usize) {
        let t = chain(&ring(n, 3, seed));
        let run = Run::default();
        let s = schur(&t, None, &Params { n_components: n_states, ..Params::default() }, &run).unwrap();
        let m = s.eigenvalues.len();
        let out = gpcca::macrostates(&s.vectors, m, m, &gpcca::Params::default(), &run).unwrap();
        prop_assert!(out.crispness > 0.0 && out.crispness <= 1.0 + 1e-12 && out.min_chi <= 0.0);
        for row in out.memberships.chunks_exact(m) {
            prop_assert!(row.iter().all(|&x| (0.0..=1.0 + 1e-12).contains(&x)));
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let p = coarse::transition_matrix(&t, &out.memberships, m, None, &run).unwrap();
        for row in p.chunks_exact(m) {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-8);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let t = chain(&ring(1700, 4, 3));
    let at = |threads| {
        let run = Run::new(threads);
        let s = schur(&t, None, &Params { n_components: 5, ..Params::default() }, &run).unwrap();
        let m = s.eigenvalues.len();
        let chi = gpcca::macrostates(&s.vectors, m, m, &gpcca::Params::default(), &run).unwrap();
        let p = coarse::transition_matrix(&t, &chi.memberships, m, None, &run).unwrap();
        let left = eigen::left(&t, &Params { n_components: 4, ..Params::default() }, &run).unwrap();
        let pi = stationary::distribution(&t, &stationary::Params::default(), &run).unwrap();
        (s, chi, p, left, pi)
    };
    let one = at(1);
    assert_eq!(one, at(2));
    assert_eq!(one, at(4));
}

#[test]
fn cancelled_and_impossible_jobs_say_so() {
    let t = chain(&ring(300, 4, 3));
    let run = Run::default();
    run.cancel();
    assert_eq!(schur(&t, None, &Params::default(), &run).unwrap_err(), Error::Cancelled);
    let params = stationary::Params::default();
    assert_eq!(stationary::distribution(&t, &params, &run).unwrap_err(), Error::Cancelled);
    let hopeless = Params { max_restarts: 1, n_components: 9, ..Params::default() };
    assert!(matches!(schur(&t, None, &hopeless, &Run::default()), Err(Error::NotConverged { .. })));
    let hopeless = stationary::Params { max_cycles: 1, tol: 1e-15 };
    assert!(matches!(
        stationary::distribution(&t, &hopeless, &Run::default()),
        Err(Error::NotConverged { .. })
    ));
}
