//! Walking over a graph: an order of cells that suits the cache, and connected parts.

use crate::csr::Csr;

/// Breadth-first order of the cells of `graph`, one component after the other.
///
/// Neighbors of neighbors are visited while their expression is still in cache. The order changes only
/// the speed of what is computed per cell, never the result.
#[must_use]
pub fn by_locality(graph: &Csr<'_>) -> Vec<u32> {
    let n = graph.n_rows();
    let mut order: Vec<u32> = Vec::with_capacity(n);
    let mut seen = vec![false; n];
    for start in 0..n {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut head = order.len();
        order.push(start as u32);
        while head < order.len() {
            let cell = order[head] as usize;
            head += 1;
            for &j in graph.cols(cell) {
                if !seen[j as usize] {
                    seen[j as usize] = true;
                    order.push(j as u32);
                }
            }
        }
    }
    order
}

/// Into how many parts the cells fall when edges are followed either way.
#[must_use]
pub fn count_components(graph: &Csr<'_>) -> usize {
    // Union-find with path halving: the larger root is put under the smaller one.
    let mut parent: Vec<u32> = (0..graph.n_rows() as u32).collect();
    let mut parts = graph.n_rows();
    for i in 0..graph.n_rows() {
        for &j in graph.cols(i) {
            let (a, b) = (root(&mut parent, i as u32), root(&mut parent, j as u32));
            if a != b {
                parent[a.max(b) as usize] = a.min(b);
                parts -= 1;
            }
            if parts == 1 {
                return 1; // nothing is left to join, as soon as that
            }
        }
    }
    parts
}

fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        parent[i as usize] = parent[parent[i as usize] as usize];
        i = parent[i as usize];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 - 2 - 4 and 1 - 3: each component in one piece, every cell once.
    #[test]
    fn components_stay_together() {
        let graph = Csr::new(5, vec![0, 1, 2, 4, 5, 6], vec![2, 3, 0, 4, 1, 2], vec![1.0; 6]).unwrap();
        assert_eq!(by_locality(&graph), [0, 2, 4, 1, 3]);
    }

    /// 0 -> 2 <- 4 and 1 -> 3, edges one way only, and a cell by itself.
    #[test]
    fn edges_join_either_way() {
        let graph = Csr::new(6, vec![0, 1, 2, 2, 2, 3, 3], vec![2, 3, 2], vec![1.0; 3]).unwrap();
        assert_eq!(count_components(&graph), 3);
        assert_eq!(count_components(&Csr::new(0, vec![0], vec![], vec![]).unwrap()), 0);
    }
}
