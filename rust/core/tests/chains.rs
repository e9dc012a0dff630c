//! Whole jobs on chains small enough to be solved on paper.
#![allow(clippy::unwrap_used, missing_docs)]

use ferrocyte_core::csr::{Csr, Graph, TransitionMatrix};
use ferrocyte_core::kernels::{connectivity, pseudotime};
use ferrocyte_core::run::Run;
use ferrocyte_core::{algebra, walk, Error};

/// From a dense matrix, zeros left out.
fn csr(rows: &[&[f64]]) -> Csr<'static> {
    let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
    for row in rows {
        for (j, &w) in row.iter().enumerate().filter(|(_, &w)| w != 0.0) {
            indices.push(j as i32);
            data.push(w);
        }
        indptr.push(indices.len() as i64);
    }
    Csr::new(rows[0].len(), indptr, indices, data).unwrap()
}

fn chain(rows: &[&[f64]]) -> TransitionMatrix<'static> {
    TransitionMatrix::new(csr(rows)).unwrap()
}

fn ends(walks: &walk::Walks) -> Vec<i64> {
    walks.offsets[1..].iter().map(|&end| walks.cells[end as usize - 1]).collect()
}

/// Gambler's ruin with a fair coin on 0..=4: from 1, the right end wins with probability 1/4. Of 20,000
/// walks the share is off by less than 5 standard errors, 5 sqrt(3/16 / 20000) < 0.0154.
#[test]
fn gamblers_ruin_by_walking() {
    let t = chain(&[
        &[1.0, 0.0, 0.0, 0.0, 0.0],
        &[0.5, 0.0, 0.5, 0.0, 0.0],
        &[0.0, 0.5, 0.0, 0.5, 0.0],
        &[0.0, 0.0, 0.5, 0.0, 0.5],
        &[0.0, 0.0, 0.0, 0.0, 1.0],
    ]);
    let stops = [true, false, false, false, true];
    let params = walk::Params {
        starts: &[1],
        stops: Some(&stops),
        n_sims: 20_000,
        max_steps: 10_000,
        successive_hits: 0,
        seed: 7,
    };
    let walks = walk::simulate(&t, &params, &Run::new(2)).unwrap();
    let ends = ends(&walks);
    assert!(ends.iter().all(|&end| end == 0 || end == 4));
    let right = ends.iter().filter(|&&end| end == 4).count() as f64 / 2e4;
    assert!((right - 0.25).abs() < 0.0154, "{right}");
    // The mean number of steps from i is i (4 - i) = 3; its variance is below 16.
    let steps = (walks.cells.len() as f64 - 2.0 * 2e4) / 2e4 + 1.0;
    assert!((steps - 3.0).abs() < 5.0 * 4.0 / 2e4_f64.sqrt(), "{steps}");
}

/// A line of four cells with times 0..=3 and unit weights: the hard scheme with nothing protected leaves
/// 0 -> 1 -> 2 -> 3, and cell 3 has nowhere to go, which normalising names.
#[test]
fn a_pseudotime_turns_a_line_into_a_one_way_road() {
    let line =
        csr(&[&[0.0, 1.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 1.0], &[0.0, 0.0, 1.0, 0.0]]);
    let graph = Graph::new(line).unwrap();
    let time = [0.0, 1.0, 2.0, 3.0];
    let run = Run::new(1);
    let hard = pseudotime::Scheme::hard(0.0).unwrap();
    let forward = pseudotime::bias_knn(&graph, &time, hard, &run).unwrap();
    assert_eq!(
        forward,
        csr(&[&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 0.0, 1.0], &[0.0; 4]])
    );
    assert_eq!(connectivity::row_normalize(&forward), Err(Error::ZeroRows { rows: vec![3] }));

    // Soft with b = ln 3 and nu = 1 halves what goes back one step: row 1 becomes (1/2, 1) / 1.5.
    let soft = pseudotime::Scheme::soft(3.0_f64.ln(), 1.0).unwrap();
    let biased = pseudotime::bias_knn(&graph, &time, soft, &run).unwrap();
    let t = connectivity::row_normalize(&biased).unwrap();
    for (found, expected) in t.iter().zip([1.0, 1.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]) {
        assert!((found - expected).abs() < 1e-15, "{t:?}");
    }
}

/// Left: stay or go right, 1/2 each; right: go right or wrap. Their even mixture and their product.
#[test]
fn kernels_mix_and_multiply_as_on_paper() {
    let a = csr(&[&[0.5, 0.5, 0.0], &[0.0, 0.5, 0.5], &[0.0, 0.0, 1.0]]);
    let b = csr(&[&[0.0, 0.25, 0.75], &[0.5, 0.0, 0.5], &[0.5, 0.0, 0.5]]);
    let run = Run::new(1);
    let sum = algebra::weighted_sum(&[a.clone(), b.clone()], &[0.5, 0.5], &run).unwrap();
    assert_eq!(sum, csr(&[&[0.25, 0.375, 0.375], &[0.25, 0.25, 0.5], &[0.25, 0.0, 0.75]]));
    // In every row the two have one entry in common.
    let product = algebra::elementwise_product(&[a, b], &run).unwrap();
    assert_eq!(product, csr(&[&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], &[0.0, 0.0, 1.0]]));
}
