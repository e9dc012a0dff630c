//! A whole job from another Rust program: a neighbor graph from points, a transition matrix along a
//! pseudotime, a mixture of two kernels, and walks on it. No Python involved.
//!
//! Run with `cargo run --release --example embed`.

use ferrocyte_core::csr::{Csr, Graph, TransitionMatrix};
use ferrocyte_core::kernels::{connectivity, pseudotime};
use ferrocyte_core::run::Run;
use ferrocyte_core::{algebra, walk, Result};

const N_CELLS: usize = 600;
const N_NEIGHBORS: usize = 8;

/// Cells along a fork: one stem in the first third, then two arms, 200 cells each.
fn cells() -> (Vec<[f64; 2]>, Vec<f64>) {
    let third = N_CELLS / 3;
    let place = |i: usize| {
        let along = (i % third) as f64 / third as f64;
        // A little disorder that is the same in every run.
        let jitter = 0.01 * ((i * 7919 % 101) as f64 / 101.0 - 0.5);
        match i / third {
            0 => ([along, jitter], along),
            1 => ([1.0 + along, along + jitter], 1.0 + along),
            _ => ([1.0 + along, -along + jitter], 1.0 + along),
        }
    };
    (0..N_CELLS).map(place).unzip()
}

/// Each cell with its nearest others, weighted by `exp(-distance)`, made symmetric.
fn neighbors(points: &[[f64; 2]]) -> Result<Graph<'static>> {
    let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
    for (i, p) in points.iter().enumerate() {
        let distance = |j: &usize| (points[*j][0] - p[0]).hypot(points[*j][1] - p[1]);
        let mut others: Vec<usize> = (0..points.len()).filter(|&j| j != i).collect();
        others.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        others.truncate(N_NEIGHBORS);
        others.sort_unstable();
        for j in others {
            indices.push(j as i32);
            weights.push((-distance(&j)).exp());
        }
        indptr.push(indices.len() as i64);
    }
    let nearest = Csr::new(points.len(), indptr, indices, weights)?;
    let symmetric =
        algebra::weighted_sum(&[nearest.clone(), nearest.transpose()], &[0.5, 0.5], &Run::new(1))?;
    Graph::new(symmetric)
}

/// Gives a graph's structure its transition probabilities.
fn with_values(structure: Csr<'_>, values: Vec<f64>) -> Result<Csr<'static>> {
    let n = structure.n_cols();
    let (indptr, indices, _) = structure.into_parts();
    Csr::new(n, indptr, indices, values)
}

fn main() -> Result<()> {
    let run = Run::new(2);
    let (points, time) = cells();
    let graph = neighbors(&points)?;

    let similar = connectivity::transition_probabilities(&graph, true)?;
    let similar = with_values((*graph).clone(), similar)?;

    let scheme = pseudotime::Scheme::hard(0.3)?;
    let forward = pseudotime::bias_knn(&graph, &time, scheme, &run)?;
    let probabilities = connectivity::row_normalize(&forward)?;
    let forward = with_values(forward, probabilities)?;

    let both = algebra::weighted_sum(&[forward, similar], &[0.9, 0.1], &run)?;
    let t = TransitionMatrix::new(both)?;

    let ends: Vec<bool> = time.iter().map(|&t| t > 1.95).collect();
    let params = walk::Params {
        starts: &[0],
        stops: Some(&ends),
        n_sims: 1000,
        max_steps: 5000,
        successive_hits: 0,
        seed: 0,
    };
    let walks = walk::simulate(&t, &params, &run)?;
    let lasts = walks.offsets[1..].iter().map(|&end| walks.cells[end as usize - 1] as usize);
    let (mut upper, mut lower, mut lost) = (0, 0, 0);
    for last in lasts {
        match (ends[last], last / (N_CELLS / 3)) {
            (false, _) => lost += 1,
            (true, 1) => upper += 1,
            (true, _) => lower += 1,
        }
    }
    println!("{} cells, {} transitions", t.n_rows(), t.nnz());
    println!("of 1000 walks {upper} ended in the upper arm, {lower} in the lower one, {lost} in neither");
    Ok(())
}
