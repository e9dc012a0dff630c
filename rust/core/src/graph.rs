//! Who can reach whom: strongly connected components and reachability, in linear time.
//!
//! A transition of probability 0 that happens to be stored is no edge.

use crate::csr::Csr;

/// Strongly connected components of a chain: its communicating classes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Components {
    /// Component of each state. Components are numbered by their first state, from 0.
    pub labels: Vec<usize>,
    /// Whether a chain that has entered the component stays in it for ever: a recurrent class.
    pub closed: Vec<bool>,
}

impl Components {
    /// Number of components.
    #[must_use]
    pub fn len(&self) -> usize {
        self.closed.len()
    }

    /// Whether there are no states.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty()
    }

    /// Whether every state reaches every other.
    #[must_use]
    pub fn is_irreducible(&self) -> bool {
        self.len() <= 1
    }
}

/// Depth-first search that was left at some state, to be taken up there.
struct Open {
    state: usize,
    /// Next edge to follow.
    edge: usize,
}

/// Strongly connected components by Tarjan's algorithm (SIAM Journal on Computing 1, 1972), with its own
/// stack instead of recursion: a path may be as long as the chain.
///
/// Time `O(n + nnz)`, memory `O(n)`.
#[must_use]
pub fn components(t: &Csr<'_>) -> Components {
    const NEW: usize = usize::MAX;
    let n = t.n_rows();
    let mut number = vec![NEW; n]; // order of discovery
    let mut low = vec![0; n]; // smallest number known to be reachable and not yet in a component
    let mut labels = vec![NEW; n];
    let (mut waiting, mut path, mut n_found, mut n_components) = (Vec::new(), Vec::<Open>::new(), 0, 0);
    for root in 0..n {
        if number[root] != NEW {
            continue;
        }
        let mut enter = Some(root);
        loop {
            if let Some(state) = enter.take() {
                (number[state], low[state]) = (n_found, n_found);
                n_found += 1;
                waiting.push(state);
                path.push(Open { state, edge: 0 });
            }
            let Some(open) = path.last_mut() else { break };
            let i = open.state;
            let (cols, values) = t.row(i);
            while let Some(&j) = cols.get(open.edge) {
                let edge = open.edge;
                open.edge += 1;
                let j = j as usize;
                if values[edge] == 0.0 {
                    continue;
                }
                if number[j] == NEW {
                    enter = Some(j);
                    break;
                }
                if labels[j] == NEW {
                    low[i] = low[i].min(number[j]);
                }
            }
            if enter.is_some() {
                continue;
            }
            path.pop();
            if let Some(parent) = path.last() {
                low[parent.state] = low[parent.state].min(low[i]);
            }
            if low[i] == number[i] {
                while let Some(j) = waiting.pop() {
                    labels[j] = n_components;
                    if j == i {
                        break;
                    }
                }
                n_components += 1;
            }
        }
    }
    let labels = by_first_state(labels, n_components);
    let mut closed = vec![true; n_components];
    for i in 0..n {
        let (cols, values) = t.row(i);
        let leaves = |(&j, &p): (&i32, &f64)| p != 0.0 && labels[j as usize] != labels[i];
        if cols.iter().zip(values).any(leaves) {
            closed[labels[i]] = false;
        }
    }
    Components { labels, closed }
}

fn by_first_state(mut labels: Vec<usize>, n: usize) -> Vec<usize> {
    let (mut name, mut next) = (vec![usize::MAX; n], 0);
    for label in &mut labels {
        if name[*label] == usize::MAX {
            name[*label] = next;
            next += 1;
        }
        *label = name[*label];
    }
    labels
}

/// Steps that each state is away from the nearest of the `targets`; `None` where no path leads there.
///
/// Breadth-first search against the direction of the transitions; `backward` is the transpose of the
/// chain. Time `O(n + nnz)`.
#[must_use]
pub fn steps_to(backward: &Csr<'_>, targets: impl Fn(usize) -> bool) -> Vec<Option<u32>> {
    let n = backward.n_rows();
    let mut steps = vec![None; n];
    let mut queue: Vec<usize> = (0..n).filter(|&i| targets(i)).collect();
    for &i in &queue {
        steps[i] = Some(0);
    }
    let mut next = 0;
    while let Some(&j) = queue.get(next) {
        next += 1;
        let (cols, values) = backward.row(j);
        for (&i, &p) in cols.iter().zip(values) {
            if p != 0.0 && steps[i as usize].is_none() {
                steps[i as usize] = steps[j].map(|s: u32| s + 1);
                queue.push(i as usize);
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(n: usize, edges: &[(usize, usize)]) -> Csr<'static> {
        let (mut indptr, mut indices) = (vec![0], vec![]);
        for i in 0..n {
            let mut row: Vec<i32> = edges.iter().filter(|e| e.0 == i).map(|e| e.1 as i32).collect();
            row.sort_unstable();
            indices.extend(row);
            indptr.push(indices.len() as i64);
        }
        let ones = vec![1.0; indices.len()];
        Csr::new(n, indptr, indices, ones).unwrap()
    }

    #[test]
    fn two_rings_and_a_bridge() {
        // 0 -> 3 -> 0, 1 -> 2 -> 4 -> 1, and 3 -> 1: the second ring is closed, the first is not.
        let t = edges(6, &[(0, 3), (3, 0), (1, 2), (2, 4), (4, 1), (3, 1), (5, 0)]);
        let found = components(&t);
        assert_eq!(found.labels, [0, 1, 1, 0, 1, 2]);
        assert_eq!(found.closed, [false, true, false]);
        assert!(!found.is_irreducible());
    }

    #[test]
    fn a_stored_zero_is_no_edge() {
        let t = Csr::new(2, vec![0, 2, 3], vec![0, 1, 0], vec![1.0, 0.0, 1.0]).unwrap();
        let found = components(&t);
        assert_eq!((found.labels, found.closed), (vec![0, 1], vec![true, false]));
        assert_eq!(steps_to(&t.transpose(), |i| i == 1), [None, Some(0)]);
    }

    #[test]
    fn a_path_of_a_million_states_needs_no_deep_stack() {
        let n = 1_000_000;
        let t = Csr::new(
            n,
            (0..=n as i64).collect::<Vec<_>>(),
            (1..=n as i32).map(|j| j % n as i32).collect::<Vec<_>>(),
            vec![1.0; n],
        )
        .unwrap();
        assert!(components(&t).is_irreducible());
        assert_eq!(steps_to(&t.transpose(), |i| i == 0)[1], Some(n as u32 - 1));
    }

    #[test]
    fn nothing_has_no_components() {
        assert!(components(&edges(0, &[])).is_empty());
    }
}
