//! Velocity models against chains solved on paper and against slow, obvious versions.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use ferrocyte_core::csr::{Csr, Graph};
use ferrocyte_core::features::{Features, Matrix};
use ferrocyte_core::kernels::velocity::{
    deterministic, monte_carlo, single, stochastic, Direction, Inputs, Similarity, Transitions,
};
use ferrocyte_core::run::Run;
use ferrocyte_core::Error;
use proptest::prelude::*;

const SIMILARITIES: [Similarity; 3] = [Similarity::Cosine, Similarity::Correlation, Similarity::DotProduct];
const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Transpose, Direction::Negate];

/// Cells with `genes` values each, and a directed graph of neighbors.
#[derive(Debug, Clone)]
struct Data {
    genes: usize,
    x: Vec<f64>,
    v: Vec<f64>,
    neighbors: Vec<Vec<usize>>,
}

impl Data {
    fn graph(&self) -> Graph<'static> {
        let mut indptr = vec![0];
        let mut indices = Vec::new();
        for row in &self.neighbors {
            indices.extend(row.iter().map(|&j| j as i32));
            indptr.push(indices.len() as i64);
        }
        let data = vec![1.0; indices.len()];
        Graph::new(Csr::new(self.neighbors.len(), indptr, indices, data).unwrap()).unwrap()
    }

    fn row<'d>(&self, values: &'d [f64], i: usize) -> &'d [f64] {
        &values[i * self.genes..(i + 1) * self.genes]
    }
}

fn transitions(
    data: &Data,
    similarity: Similarity,
    direction: Direction,
    scale: Option<f64>,
    threads: usize,
) -> Transitions {
    let n = data.neighbors.len();
    let x = Features::F64(Matrix::dense(n, data.genes, &data.x).unwrap());
    let v = Features::F64(Matrix::dense(n, data.genes, &data.v).unwrap());
    let graph = data.graph();
    let inputs = Inputs::new(&graph, &x, &v).unwrap();
    deterministic::transitions(&inputs, similarity, direction, scale, &Run::new(threads)).unwrap()
}

fn dense(csr: &Csr<'_>) -> Vec<Vec<f64>> {
    (0..csr.n_rows())
        .map(|i| {
            let mut row = vec![0.0; csr.n_cols()];
            let (cols, values) = csr.row(i);
            cols.iter().zip(values).for_each(|(&j, &w)| row[j as usize] = w);
            row
        })
        .collect()
}

/// The definition, read off the page: one pair at a time, nothing shared.
fn naive_logit(similarity: Similarity, d: &[f64], v: &[f64]) -> Option<f64> {
    let mean = |a: &[f64]| a.iter().sum::<f64>() / a.len() as f64;
    let shift = |a: &[f64]| match similarity {
        Similarity::Correlation => a.iter().map(|x| x - mean(a)).collect::<Vec<_>>(),
        _ => a.to_vec(),
    };
    let (d, v) = (shift(d), shift(v));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if similarity == Similarity::DotProduct {
        return Some(dot(&d, &v));
    }
    let norm = dot(&d, &d).sqrt() * dot(&v, &v).sqrt();
    (norm > 1e-13).then(|| dot(&d, &v) / norm)
}

fn naive(data: &Data, similarity: Similarity, direction: Direction, scale: f64) -> [Vec<Vec<f64>>; 2] {
    let n = data.neighbors.len();
    let [mut p, mut l] = [vec![vec![0.0; n]; n], vec![vec![0.0; n]; n]];
    for i in 0..n {
        let mut weights = Vec::new();
        for &j in &data.neighbors[i] {
            let (from, to) = match direction {
                Direction::Transpose => (j, i),
                _ => (i, j),
            };
            let d: Vec<f64> =
                data.row(&data.x, to).iter().zip(data.row(&data.x, from)).map(|(a, b)| a - b).collect();
            let sign = if direction == Direction::Negate { -1.0 } else { 1.0 };
            let v: Vec<f64> = data.row(&data.v, from).iter().map(|v| sign * v).collect();
            let logit = naive_logit(similarity, &d, &v);
            l[i][j] = logit.unwrap_or(0.0);
            weights.push(logit);
        }
        // Only differences of logits matter; the largest becomes 0, so that nothing overflows.
        let top = weights.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> =
            weights.iter().map(|l| l.map_or(0.0, |l| (scale * (l - top)).exp())).collect();
        let sum: f64 = weights.iter().sum();
        for (&j, w) in data.neighbors[i].iter().zip(&weights) {
            p[i][j] = if sum > 0.0 { w / sum } else { 1.0 / weights.len() as f64 };
        }
    }
    [p, l]
}

fn close(a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) {
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        for (j, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= tolerance, "entry ({i}, {j}): {a} is not {b}");
        }
    }
}

/// Cell 0 at the origin with velocity (1, 0); neighbors at (1, 0), (0, 1) and (-2, 0).
///
/// Cosines are 1, 0, -1 and dot products 1, 0, -2; at scale ln 2 the odds are 2 : 1 : 1/2 and
/// 2 : 1 : 1/4. Cells 1 to 3 have no velocity, so each goes back to 0 for sure (one neighbor).
fn star() -> Data {
    Data {
        genes: 2,
        x: vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0, -2.0, 0.0],
        v: vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        neighbors: vec![vec![1, 2, 3], vec![0], vec![0], vec![0]],
    }
}

#[test]
fn a_star_on_paper() {
    let scale = Some(2.0_f64.ln());
    let cosine = transitions(&star(), Similarity::Cosine, Direction::Forward, scale, 1);
    let first = &dense(&cosine.probabilities)[0];
    close(std::slice::from_ref(first), &[vec![0.0, 4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]], 1e-15);
    assert_eq!(dense(&cosine.logits)[0], [0.0, 1.0, 0.0, -1.0]);
    let dot = transitions(&star(), Similarity::DotProduct, Direction::Forward, scale, 1);
    close(&[dense(&dot.probabilities)[0].clone()], &[vec![0.0, 8.0 / 13.0, 4.0 / 13.0, 1.0 / 13.0]], 1e-15);
    assert_eq!(dense(&cosine.probabilities)[1], [1.0, 0.0, 0.0, 0.0]);
}

/// Backward by transposing, cell 1 asks its neighbor 0: does (1, 0) point from 0 to 1? Yes, logit 1;
/// cell 0's neighbors have no velocity, so it moves to each alike. Backward by negating, cell 0 prefers
/// the neighbor behind it: odds 1/2 : 1 : 2.
#[test]
fn a_star_backward() {
    let scale = Some(2.0_f64.ln());
    let transpose = transitions(&star(), Similarity::Cosine, Direction::Transpose, scale, 1);
    close(
        &[dense(&transpose.probabilities)[0].clone()],
        &[vec![0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]],
        1e-15,
    );
    assert_eq!(dense(&transpose.logits)[1][0], 1.0);
    assert_eq!(dense(&transpose.logits)[3][0], -1.0);
    let negate = transitions(&star(), Similarity::Cosine, Direction::Negate, scale, 1);
    close(&[dense(&negate.probabilities)[0].clone()], &[vec![0.0, 1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]], 1e-15);
}

/// The nonzero logits of the star are 1 and -1 (cosine): the median size is 1.
#[test]
fn the_default_scale_is_one_over_the_median() {
    assert_eq!(transitions(&star(), Similarity::Cosine, Direction::Forward, None, 1).softmax_scale, 1.0);
    let mut wide = star();
    wide.v.iter_mut().for_each(|v| *v *= 4.0);
    // Dot products 4, 0, -8: median 6.
    let scale = transitions(&wide, Similarity::DotProduct, Direction::Forward, None, 1).softmax_scale;
    assert!((scale - 1.0 / 6.0).abs() < 1e-16);
}

/// A displacement that is the same in all genes has no correlation with anything, however large the
/// numbers it is the difference of; neither has a constant velocity.
#[test]
fn constant_displacements_have_no_correlation() {
    let x: Vec<f64> = [1e3 / 3.0, 2e3 / 7.0, 1e4 / 9.0, 17.1].to_vec();
    let moved: Vec<f64> = x.iter().map(|x| x + 0.1).collect();
    let other = vec![1.0, 5.0, 2.0, 8.0];
    let data = Data {
        genes: 4,
        x: [x, moved, other].concat(),
        v: [vec![0.3, -0.2, 0.5, 0.1], vec![0.7; 4], vec![0.0; 4]].concat(),
        neighbors: vec![vec![1, 2], vec![0, 2], vec![0, 1]],
    };
    let out = transitions(&data, Similarity::Correlation, Direction::Forward, Some(4.0), 1);
    assert_eq!(dense(&out.probabilities)[0], [0.0, 0.0, 1.0]);
    assert_eq!(dense(&out.probabilities)[1], [0.5, 0.0, 0.5]);
    assert_eq!(dense(&out.probabilities)[2], [0.5, 0.5, 0.0]);
}

/// With a variance of zero nothing is added to the deterministic model: all cells share one velocity.
#[test]
fn without_spread_all_models_agree() {
    let mut data = star();
    data.v = [1.0, 0.5].repeat(4);
    let n = data.neighbors.len();
    let (x, v) = (Matrix::dense(n, 2, &data.x).unwrap(), Matrix::dense(n, 2, &data.v).unwrap());
    let (x, v, graph) = (Features::F64(x), Features::F64(v), data.graph());
    let inputs = Inputs::new(&graph, &x, &v).unwrap();
    for similarity in [Similarity::Cosine, Similarity::DotProduct] {
        let plain = transitions(&data, similarity, Direction::Forward, Some(2.0), 1);
        let run = Run::default();
        let spread = stochastic::transitions(&inputs, similarity, Some(2.0), &run).unwrap();
        let drawn = monte_carlo::transitions(&inputs, similarity, Some(2.0), 7, 1, &run).unwrap();
        close(&dense(&spread.probabilities), &dense(&plain.probabilities), 1e-15);
        close(&dense(&drawn.probabilities), &dense(&plain.probabilities), 1e-15);
        close(&dense(&drawn.logits), &dense(&plain.logits), 1e-15);
    }
}

#[test]
fn inputs_are_checked_before_work() {
    let data = star();
    let graph = data.graph();
    let make = |rows: usize, genes: usize, values: &'static [f64]| {
        Features::F64(Matrix::dense(rows, genes, values).unwrap())
    };
    let (x, short) = (make(4, 2, &[0.5; 8]), make(3, 2, &[0.5; 6]));
    assert!(matches!(Inputs::new(&graph, &short, &x), Err(Error::Shape { .. })));
    assert!(matches!(Inputs::new(&graph, &x, &make(4, 1, &[0.5; 4])), Err(Error::Shape { .. })));
    let none = make(4, 0, &[]);
    assert!(matches!(Inputs::new(&graph, &none, &none), Err(Error::Shape { .. })));
    let lonely = Data { neighbors: vec![vec![1], vec![], vec![0], vec![]], ..data };
    let rows = Inputs::new(&lonely.graph(), &x, &x).unwrap_err();
    assert_eq!(rows, Error::ZeroRows { rows: vec![1, 3] });
    let inputs = Inputs::new(&graph, &x, &x).unwrap();
    let bad = deterministic::transitions(
        &inputs,
        Similarity::Cosine,
        Direction::Forward,
        Some(f64::NAN),
        &Run::default(),
    );
    assert!(matches!(bad, Err(Error::Parameter { .. })));
    let samples = monte_carlo::transitions(&inputs, Similarity::Cosine, None, 0, 0, &Run::default());
    assert!(matches!(samples, Err(Error::Parameter { name: "n_samples", .. })));
}

/// NaN or infinity is an error that names the cell, for every similarity, never a silent answer.
#[test]
fn values_that_are_not_finite_are_found_in_passing() {
    for similarity in SIMILARITIES {
        for bad in [f64::NAN, f64::INFINITY] {
            for (in_x, what) in [(true, "the expression"), (false, "the velocity")] {
                let mut data = star();
                (if in_x { &mut data.x } else { &mut data.v })[0] = bad;
                let n = data.neighbors.len();
                let x = Features::F64(Matrix::dense(n, 2, &data.x).unwrap());
                let v = Features::F64(Matrix::dense(n, 2, &data.v).unwrap());
                let graph = data.graph();
                let inputs = Inputs::new(&graph, &x, &v).unwrap();
                let run = Run::default();
                let out =
                    deterministic::transitions(&inputs, similarity, Direction::Forward, Some(1.0), &run);
                let Err(Error::NotFinite { what: found, .. }) = out else { panic!("{similarity:?} {bad}") };
                assert_eq!(found, what);
                let spread = stochastic::transitions(&inputs, similarity, Some(1.0), &run).map(|_| ());
                let drawn = monte_carlo::transitions(&inputs, similarity, Some(1.0), 4, 0, &run).map(|_| ());
                for out in [spread, drawn] {
                    let Err(Error::NotFinite { what: found, .. }) = out else {
                        panic!("{similarity:?} {bad}")
                    };
                    assert!(found.starts_with(what));
                }
            }
        }
    }
}

fn any_data() -> impl Strategy<Value = Data> {
    (2..12_usize, prop_oneof![1..4_usize, 7..10_usize, 30..35_usize]).prop_flat_map(|(n, genes)| {
        let values = || prop::collection::vec(prop_oneof![3 => -5.0..5.0, 1 => Just(0.0)], n * genes);
        let rows = prop::collection::vec(prop::collection::btree_set(0..n, 1..n.min(8) + 1), n);
        (values(), values(), rows).prop_map(move |(x, v, rows)| Data {
            genes,
            x,
            v,
            neighbors: rows.into_iter().map(|row| row.into_iter().collect()).collect(),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_fast_version_is_the_slow_one(data in any_data(), scale in 0.1..6.0_f64) {
        // With one gene a centered vector is empty of information, and 0 up to round-off in both.
        for similarity in SIMILARITIES {
            for direction in DIRECTIONS {
                let [p, l] = naive(&data, similarity, direction, scale);
                let out = transitions(&data, similarity, direction, Some(scale), 1);
                close(&dense(&out.probabilities), &p, 1e-10);
                close(&dense(&out.logits), &l, 1e-10);
            }
        }
    }

    #[test]
    fn rows_sum_to_one_and_threads_change_no_bit(data in any_data()) {
        let n = data.neighbors.len();
        let x = Features::F64(Matrix::dense(n, data.genes, &data.x).unwrap());
        let v = Features::F64(Matrix::dense(n, data.genes, &data.v).unwrap());
        let graph = data.graph();
        let inputs = Inputs::new(&graph, &x, &v).unwrap();
        for similarity in SIMILARITIES {
            let all = |threads: usize| {
                let run = Run::new(threads);
                [
                    deterministic::transitions(&inputs, similarity, Direction::Transpose, None, &run).unwrap(),
                    stochastic::transitions(&inputs, similarity, None, &run).unwrap(),
                    monte_carlo::transitions(&inputs, similarity, None, 5, 3, &run).unwrap(),
                ]
            };
            for (one, five) in all(1).into_iter().zip(all(5)) {
                for i in 0..n {
                    let sum: f64 = one.probabilities.row(i).1.iter().sum();
                    prop_assert!((sum - 1.0).abs() < 1e-12);
                }
                prop_assert_eq!(one.probabilities, five.probabilities);
                prop_assert_eq!(one.logits, five.logits);
                prop_assert_eq!(one.softmax_scale.to_bits(), five.softmax_scale.to_bits());
            }
        }
    }

    #[test]
    fn the_length_of_the_velocity_does_not_matter_to_a_cosine(data in any_data(), factor in 0.01..100.0_f64) {
        let mut scaled = data.clone();
        scaled.v.iter_mut().for_each(|v| *v *= factor);
        let one = transitions(&data, Similarity::Cosine, Direction::Forward, Some(3.0), 1);
        let other = transitions(&scaled, Similarity::Cosine, Direction::Forward, Some(3.0), 1);
        close(&dense(&one.probabilities), &dense(&other.probabilities), 1e-12);
    }

    /// Masked columns, sparse storage and float32 are the same matrix read in other ways.
    #[test]
    fn storage_does_not_matter(data in any_data(), keep in prop::collection::vec(any::<bool>(), 40)) {
        let (n, genes) = (data.neighbors.len(), data.genes);
        let mut keep = keep[..genes].to_vec();
        keep[0] = true;
        let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (x32, v32) = (narrow(&data.x), narrow(&data.v));
        let picked = |values: &[f32]| -> Vec<f64> {
            values.iter().zip(keep.iter().cycle()).filter(|(_, &keep)| keep).map(|(&x, _)| x.into()).collect()
        };
        let expected = Data {
            genes: keep.iter().filter(|&&keep| keep).count(),
            x: picked(&x32),
            v: picked(&v32),
            neighbors: data.neighbors.clone(),
        };
        let indptr: Vec<i64> = (0..=n).map(|i| (i * genes) as i64).collect();
        let indices: Vec<i32> = (0..n * genes).map(|k| (k % genes) as i32).collect();
        let graph = data.graph();
        let v = Features::F32(Matrix::dense(n, genes, &v32).unwrap()).select(&keep).unwrap();
        let dense_x = Features::F32(Matrix::dense(n, genes, &x32).unwrap());
        let sparse_x = Features::F32(Matrix::sparse(genes, indptr, indices, &x32).unwrap());
        for x in [dense_x, sparse_x] {
            let x = x.select(&keep).unwrap();
            let inputs = Inputs::new(&graph, &x, &v).unwrap();
            for similarity in SIMILARITIES {
                let run = Run::default();
                let out = deterministic::transitions(&inputs, similarity, Direction::Forward, Some(2.0), &run);
                let [p, _] = naive(&expected, similarity, Direction::Forward, 2.0);
                // Entries below 5 known to 6e-8: a sum of squares is not to be had better than this.
                close(&dense(&out.unwrap().probabilities), &p, 1e-8);
            }
        }
    }

    /// The contraction worked out on paper is the Hessian's diagonal times the variances.
    #[test]
    fn the_stochastic_model_contracts_the_hessian(data in any_data()) {
        let n = data.neighbors.len();
        let x = Features::F64(Matrix::dense(n, data.genes, &data.x).unwrap());
        let v = Features::F64(Matrix::dense(n, data.genes, &data.v).unwrap());
        let graph = data.graph();
        let run = Run::default();
        let (mean, variance) = single::moments(&graph, &v, &run).unwrap();
        let genes = data.genes;
        let scale = 0.5;
        for similarity in SIMILARITIES {
            let inputs = Inputs::new(&graph, &x, &v).unwrap();
            let out = dense(&stochastic::transitions(&inputs, similarity, Some(scale), &run).unwrap().probabilities);
            for (i, neighbors) in data.neighbors.iter().enumerate() {
                let d: Vec<f64> = neighbors
                    .iter()
                    .flat_map(|&j| {
                        data.row(&data.x, j).iter().zip(data.row(&data.x, i)).map(|(a, b)| a - b).collect::<Vec<_>>()
                    })
                    .collect();
                let m = data.row(&mean, i);
                // Close to zero velocity the second derivative of a cosine has no bound.
                let size = m.iter().map(|m| m * m).sum::<f64>();
                prop_assume!(similarity == Similarity::DotProduct || (size > 1e-2 && genes > 3));
                let (p, _) = single::probabilities(similarity, m, &d, genes, scale).unwrap();
                let h = single::hessian(similarity, m, &d, genes, scale).unwrap();
                let raw: Vec<f64> = (0..p.len())
                    .map(|j| {
                        let trace: f64 = (0..genes)
                            .map(|g| h[(j * genes + g) * genes + g] * data.row(&variance, i)[g])
                            .sum();
                        (p[j] + 0.5 * trace).clamp(0.0, 1.0)
                    })
                    .collect();
                let sum: f64 = raw.iter().sum();
                prop_assume!(sum > 1e-6);
                for (j, q) in neighbors.iter().zip(&raw) {
                    prop_assert!((out[i][*j] - q / sum).abs() < 1e-9, "{:?} {} {}", similarity, out[i][*j], q / sum);
                }
            }
        }
    }

    /// The Hessian is the second difference of the probabilities.
    #[test]
    fn the_hessian_is_a_second_difference(
        v in prop::collection::vec(0.5..2.0_f64, 4), d in prop::collection::vec(-2.0..2.0_f64, 12),
    ) {
        let step = 1e-3;
        for similarity in SIMILARITIES {
            let spread = |a: &[f64]| a.iter().map(|x| (x - a[0]).abs()).fold(0.0, f64::max);
            prop_assume!(spread(&v) > 0.3 && d.chunks(4).all(|d| spread(d) > 0.3));
            let h = single::hessian(similarity, &v, &d, 4, 1.5).unwrap();
            let p = |g: usize, a: f64, k: usize, b: f64| {
                let mut v = v.clone();
                v[g] += a * step;
                v[k] += b * step;
                single::probabilities(similarity, &v, &d, 4, 1.5).unwrap().0
            };
            for g in 0..4 {
                for k in 0..4 {
                    let [pp, pm, mp, mm] = [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)].map(|(a, b)| p(g, a, k, b));
                    for j in 0..3 {
                        let difference = (pp[j] - pm[j] - mp[j] + mm[j]) / (4.0 * step * step);
                        let found = h[(j * 4 + g) * 4 + k];
                        prop_assert!((difference - found).abs() < 2e-2 * (1.0 + found.abs()), "{similarity:?} {difference} {found}");
                    }
                }
            }
        }
    }
}

/// Sampling converges to the second-order model when the spread is small.
#[test]
fn sampling_agrees_with_the_expansion_for_small_spread() {
    let mut data = star();
    data.neighbors = vec![vec![1, 2, 3], vec![0, 2], vec![0, 1], vec![0, 1]];
    data.v = vec![1.0, 0.1, 0.9, 0.2, 1.1, 0.05, 1.0, 0.15];
    let n = data.neighbors.len();
    let (x, v) = (Matrix::dense(n, 2, &data.x).unwrap(), Matrix::dense(n, 2, &data.v).unwrap());
    let (x, v, graph) = (Features::F64(x), Features::F64(v), data.graph());
    let inputs = Inputs::new(&graph, &x, &v).unwrap();
    for similarity in [Similarity::Cosine, Similarity::DotProduct] {
        let run = Run::default();
        let spread = stochastic::transitions(&inputs, similarity, Some(2.0), &run).unwrap();
        let drawn = monte_carlo::transitions(&inputs, similarity, Some(2.0), 200_000, 5, &run).unwrap();
        let plain =
            deterministic::transitions(&inputs, similarity, Direction::Forward, Some(2.0), &run).unwrap();
        close(&dense(&drawn.probabilities), &dense(&spread.probabilities), 2e-4);
        // The correction itself is larger than that, so the comparison says something.
        let moved = (dense(&plain.probabilities)[0][1] - dense(&spread.probabilities)[0][1]).abs();
        assert!(moved > 4e-4, "{moved}");
    }
}
