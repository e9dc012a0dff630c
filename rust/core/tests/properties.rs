//! What must hold for any graph, any chain, any number of threads.
#![allow(clippy::unwrap_used, missing_docs)]

use ferrocyte_core::csr::{Csr, Graph, TransitionMatrix};
use ferrocyte_core::features::{Features, Matrix};
use ferrocyte_core::kernels::{connectivity, pseudotime};
use ferrocyte_core::run::Run;
use ferrocyte_core::scores::{boundary, projection, Points};
use ferrocyte_core::{algebra, stats, walk};
use proptest::prelude::*;

type Dense = Vec<Vec<f64>>;

fn csr(dense: &Dense) -> Csr<'static> {
    let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
    for row in dense {
        for (j, &w) in row.iter().enumerate().filter(|(_, &w)| w != 0.0) {
            indices.push(j as i32);
            data.push(w);
        }
        indptr.push(indices.len() as i64);
    }
    Csr::new(dense.len(), indptr, indices, data).unwrap()
}

fn dense(m: &Csr<'_>) -> Dense {
    let mut out = vec![vec![0.0; m.n_cols()]; m.n_rows()];
    for (i, row) in out.iter_mut().enumerate() {
        let (cols, values) = m.row(i);
        cols.iter().zip(values).for_each(|(&j, &w)| row[j as usize] = w);
    }
    out
}

/// About a third of the entries zero; few distinct values, so that ties are common.
fn matrix(n: usize) -> impl Strategy<Value = Dense> {
    let weight = prop_oneof![Just(0.0), (1..6_u8).prop_map(f64::from), 0.01..1.0];
    prop::collection::vec(prop::collection::vec(weight, n), n)
}

/// A graph without isolated cells.
fn graph() -> impl Strategy<Value = Dense> {
    (1..14_usize).prop_flat_map(matrix).prop_map(|mut m| {
        (0..m.len()).for_each(|i| m[i][i] = 1.0);
        m
    })
}

fn graph_and_times() -> impl Strategy<Value = (Dense, Vec<f64>)> {
    graph().prop_flat_map(|g| {
        let n = g.len();
        (Just(g), prop::collection::vec(prop_oneof![(0..4_u8).prop_map(f64::from), 0.0..4.0], n))
    })
}

fn normalised(m: &Csr<'_>) -> TransitionMatrix<'static> {
    let values = connectivity::row_normalize(m).unwrap();
    let (indptr, indices, _) = m.clone().into_parts();
    TransitionMatrix::new(Csr::new(m.n_cols(), indptr, indices, values).unwrap()).unwrap()
}

fn rows_sum_to_one(values: &[f64], m: &Csr<'_>) -> bool {
    (0..m.n_rows()).all(|i| (values[m.range(i)].iter().sum::<f64>() - 1.0).abs() < 1e-12)
}

/// The order `0..n` shuffled by a seed.
fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7);
    order
}

fn permuted(m: &Dense, order: &[usize]) -> Dense {
    order.iter().map(|&i| order.iter().map(|&j| m[i][j]).collect()).collect()
}

fn coordinates(n: usize, width: usize) -> Vec<f64> {
    (0..n * width).map(|i| ((i * 7919 + 13) % 1009) as f64 / 100.0).collect()
}

fn near(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * (1.0 + a.abs())
}

proptest! {
    #[test]
    fn transposing_twice_changes_nothing(g in graph()) {
        let m = csr(&g);
        prop_assert_eq!(m.transpose().transpose(), m);
    }

    #[test]
    fn probabilities_sum_to_one((g, times) in graph_and_times(), density in any::<bool>()) {
        let graph = Graph::new(csr(&g)).unwrap();
        let t = connectivity::transition_probabilities(&graph, density).unwrap();
        prop_assert!(rows_sum_to_one(&t, &graph));
        // The loop of every cell to itself is never into the past, so no row becomes empty.
        for scheme in [pseudotime::Scheme::hard(0.3).unwrap(), pseudotime::Scheme::soft(10.0, 0.5).unwrap()] {
            let biased = pseudotime::bias_knn(&graph, &times, scheme, &Run::new(1)).unwrap();
            let t = connectivity::row_normalize(&biased).unwrap();
            prop_assert!(rows_sum_to_one(&t, &biased));
        }
        let m = csr(&g);
        let product = algebra::elementwise_product(&[m.clone(), m], &Run::new(1)).unwrap();
        prop_assert!(rows_sum_to_one(product.values(), &product));
    }

    #[test]
    fn a_biased_graph_only_loses_weight_and_only_in_the_past((g, times) in graph_and_times(), frac in 0.0..=1.0) {
        let graph = Graph::new(csr(&g)).unwrap();
        let hard = pseudotime::Scheme::hard(frac).unwrap();
        let soft = pseudotime::Scheme::soft(3.0, 0.5).unwrap();
        for scheme in [hard, soft] {
            let out = dense(&pseudotime::bias_knn(&graph, &times, scheme, &Run::new(1)).unwrap());
            for (i, row) in g.iter().enumerate() {
                for (j, &w) in row.iter().enumerate() {
                    let ok = if times[j] >= times[i] { out[i][j] == w } else { out[i][j] <= w };
                    prop_assert!(ok, "{i} {j}");
                }
            }
        }
    }

    #[test]
    fn permuting_cells_permutes_results(g in graph(), seed in any::<u64>()) {
        let n = g.len();
        let order = permutation(n, seed);
        // All weights and times differ, so that no tie depends on the order of the cells.
        let g: Dense = g.iter().enumerate().map(|(i, row)| {
            row.iter().enumerate().map(|(j, w)| if *w > 0.0 { w + (i * n + j) as f64 * 1e-6 } else { 0.0 }).collect()
        }).collect();
        let times: Vec<f64> = (0..n).map(|i| (i * 31 % 17) as f64 + i as f64 * 1e-3).collect();
        let shuffled_times: Vec<f64> = order.iter().map(|&i| times[i]).collect();
        let graph = Graph::new(csr(&g)).unwrap();
        let shuffled = Graph::new(csr(&permuted(&g, &order))).unwrap();
        let run = Run::new(1);
        for scheme in [pseudotime::Scheme::hard(0.3).unwrap(), pseudotime::Scheme::soft(10.0, 0.7).unwrap()] {
            let a = pseudotime::bias_knn(&graph, &times, scheme, &run).unwrap();
            let b = pseudotime::bias_knn(&shuffled, &shuffled_times, scheme, &run).unwrap();
            prop_assert_eq!(permuted(&dense(&a), &order), dense(&b));
        }
        let x = coordinates(n, 3);
        let y: Vec<f64> = order.iter().flat_map(|&i| x[3 * i..3 * i + 3].to_vec()).collect();
        let (t, s) = (normalised(&graph), normalised(&shuffled));
        let (x, y) = (Points::new(n, 3, &x).unwrap(), Points::new(n, 3, &y).unwrap());
        let a = projection::project(&t, &graph, &x, &run).unwrap();
        let b = projection::project(&s, &shuffled, &y, &run).unwrap();
        for (at, &i) in order.iter().enumerate() {
            for c in 0..3 {
                prop_assert!(near(a[3 * i + c], b[3 * at + c]));
            }
        }
    }

    #[test]
    fn sums_and_products_are_those_of_dense_matrices(
        ms in (1..10_usize).prop_flat_map(|n| prop::collection::vec(matrix(n), 1..5)),
        weights in prop::collection::vec(-3.0..3.0, 5),
    ) {
        let sparse: Vec<_> = ms.iter().map(csr).collect();
        let weights = &weights[..ms.len()];
        let n = ms[0].len();
        let cell = |i: usize, j: usize| ms.iter().map(move |m| m[i][j]);
        let each = |f: &dyn Fn(usize, usize) -> f64| -> Dense {
            (0..n).map(|i| (0..n).map(|j| f(i, j)).collect()).collect()
        };
        let agree = |a: &Dense, b: &Dense| a.concat().iter().zip(b.concat()).all(|(&a, b)| near(a, b));
        let sum = algebra::weighted_sum(&sparse, weights, &Run::new(1)).unwrap();
        let expected = each(&|i, j| cell(i, j).zip(weights).map(|(v, w)| v * w).sum());
        prop_assert!(agree(&dense(&sum), &expected));
        let product = algebra::elementwise_product(&sparse, &Run::new(1));
        let raw = each(&|i, j| cell(i, j).product());
        let totals: Vec<f64> = raw.iter().map(|row| row.iter().sum()).collect();
        let empty: Vec<usize> = (0..n).filter(|&i| totals[i] == 0.0).collect();
        if empty.is_empty() {
            prop_assert!(agree(&dense(&product.unwrap()), &each(&|i, j| raw[i][j] / totals[i])));
        } else {
            prop_assert_eq!(product, Err(ferrocyte_core::Error::ZeroRows { rows: empty }));
        }
    }

    #[test]
    fn walks_follow_edges_and_end_by_the_rule(
        g in graph(), seed in any::<u64>(), hits in 0..3_usize, stop in any::<u16>(), start in any::<prop::sample::Index>(),
    ) {
        let t = normalised(&csr(&g));
        let n = g.len();
        let stops: Vec<bool> = (0..n).map(|i| stop >> (i % 16) & 1 == 1).collect();
        let start = start.index(n) as i64;
        let params = walk::Params { starts: &[start], stops: Some(&stops), n_sims: 5, max_steps: 40, successive_hits: hits, seed };
        let walks = walk::simulate(&t, &params, &Run::new(1)).unwrap();
        for s in 0..5 {
            let cells = &walks.cells[walks.offsets[s] as usize..walks.offsets[s + 1] as usize];
            prop_assert_eq!(cells[0], start);
            prop_assert!(cells.windows(2).all(|w| g[w[0] as usize][w[1] as usize] > 0.0));
            let mut in_a_row = 0;
            let end = cells.iter().enumerate().skip(1).find(|(_, &c)| {
                in_a_row = if stops[c as usize] { in_a_row + 1 } else { 0 };
                in_a_row == hits + 1
            });
            prop_assert_eq!(cells.len(), end.map_or(41, |(at, _)| at + 1));
        }
    }

    /// Enough cells for several blocks of every job.
    #[test]
    fn the_number_of_threads_changes_no_bit(seed in any::<u32>(), n in 900..1300_usize) {
        let step = (seed as usize % 97) + 1;
        let rows: Vec<Vec<i32>> = (0..n).map(|i| {
            let mut cols: Vec<i32> = (0..7).map(|k| ((i + k * step + k * k) % n) as i32).collect();
            cols.sort_unstable();
            cols.dedup();
            cols
        }).collect();
        let indptr: Vec<i64> = std::iter::once(0).chain(rows.iter().scan(0, |end, r| { *end += r.len() as i64; Some(*end) })).collect();
        let indices = rows.concat();
        let weights: Vec<f64> = (0..indices.len()).map(|k| ((k * 7919 + 1) % 101 + 1) as f64).collect();
        let graph = Graph::new(Csr::new(n, indptr, indices, weights).unwrap()).unwrap();
        let t = normalised(&graph);
        let x = coordinates(n, 4);
        let points = Points::new(n, 4, &x).unwrap();
        let source: Vec<bool> = (0..n).map(|i| i % 3 != 0).collect();
        let target: Vec<bool> = source.iter().map(|s| !s).collect();
        let features = Features::F64(Matrix::dense(n, 4, &x).unwrap());
        let times = &x[..n];
        let params = walk::Params { starts: &[0, 5, 9], stops: Some(&target), n_sims: 30, max_steps: 50, successive_hits: 1, seed: u64::from(seed) };
        let all = |threads: usize| {
            let run = Run::new(threads);
            let scheme = pseudotime::Scheme::soft(10.0, 0.7).unwrap();
            let biased = pseudotime::bias_knn(&graph, times, scheme, &run).unwrap();
            let sum = algebra::weighted_sum(&[biased.clone(), (*t).clone()], &[0.3, 0.7], &run).unwrap();
            let product = algebra::elementwise_product(&[sum.clone(), (*t).clone()], &run).unwrap();
            let walks = walk::simulate(&t, &params, &run).unwrap();
            let (cells, scores) = boundary::correctness(&t, &graph, &source, &target, &points, &run).unwrap();
            let arrows = projection::project(&t, &graph, &points, &run).unwrap();
            let r = stats::column_correlations(&features, &x[..3 * n], 3, &run).unwrap();
            let bits: Vec<u64> = [scores, arrows, r].concat().iter().map(|v| v.to_bits()).collect();
            (biased, sum, product, walks, cells, bits)
        };
        let one = all(1);
        prop_assert_eq!(&all(2), &one);
        prop_assert_eq!(&all(5), &one);
    }

    /// Dense and sparse storage of the same numbers, against two plain passes.
    #[test]
    fn correlations_are_those_of_two_plain_passes(
        (n, x) in (2..700_usize).prop_flat_map(|n| (Just(n), prop::collection::vec(prop_oneof![Just(0.0), -5.0..5.0], n * 3))),
        level in prop_oneof![Just(0.0), Just(1e6)],
    ) {
        let x: Vec<f64> = x.iter().map(|v| if *v == 0.0 { 0.0 } else { v + level }).collect();
        let y: Vec<f64> = (0..n).map(|i| ((i * 31 + 7) % 23) as f64).collect();
        let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
        for row in x.chunks(3) {
            for (j, &v) in row.iter().enumerate().filter(|(_, &v)| v != 0.0) {
                indices.push(j as i32);
                data.push(v);
            }
            indptr.push(data.len() as i64);
        }
        let dense = Features::F64(Matrix::dense(n, 3, &x).unwrap());
        let sparse = Features::F64(Matrix::sparse(3, indptr, indices, &data).unwrap());
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        for j in 0..3 {
            let column: Vec<f64> = x.iter().skip(j).step_by(3).copied().collect();
            let (a, b) = (mean(&column), mean(&y));
            let product = |f: fn(f64, f64) -> f64| column.iter().zip(&y).map(|(x, y)| f(x - a, y - b)).sum::<f64>();
            let expected = product(|x, y| x * y) / (product(|x, _| x * x).sqrt() * product(|_, y| y * y).sqrt());
            for features in [&dense, &sparse] {
                let r = stats::column_correlations(features, &y, 1, &Run::new(1)).unwrap()[j];
                let constant = column.iter().all(|v| *v == column[0]) || y.iter().all(|v| *v == y[0]);
                prop_assert!(if constant { r.is_nan() } else { (r - expected).abs() < 1e-9 }, "{r} {expected}");
            }
        }
    }
}
