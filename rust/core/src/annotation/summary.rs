//! Statistics of the distances of neighbors, group by group.

use super::{check_finite, check_table, quantile};
use crate::error::{Error, Result};
use crate::run::Run;

/// Queries per block of work.
const BLOCK: usize = 64;
/// Minimum, three quartiles, maximum and mean.
pub const STATISTICS: usize = 6;

/// Groups of all queries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summaries {
    /// Where the groups of each query begin, and the end.
    pub indptr: Vec<i64>,
    /// Groups by size, largest first; of equal ones the one that has the first neighbor.
    pub groups: Vec<i32>,
    /// Neighbors in each.
    pub counts: Vec<i64>,
    /// Minimum, quartiles (linear interpolation), maximum and mean of the distances, group after group.
    pub statistics: Vec<f64>,
}

/// Summarises the neighbors of each query.
///
/// * `groups`: of the neighbors, `k` of each query after another.
/// * `distances`: likewise.
///
/// # Errors
/// [`Error::Shape`], [`Error::Parameter`] for negative groups, [`Error::NotFinite`], [`Error::Cancelled`].
pub fn summarize(groups: &[i32], distances: &[f64], k: usize, run: &Run) -> Result<Summaries> {
    let n = groups.len().checked_div(k).unwrap_or(0);
    check_table("the groups of neighbors", groups.len(), n, k)?;
    check_table("the distances", distances.len(), n, k)?;
    check_finite(distances, k)?;
    if let Some(group) = groups.iter().find(|&&g| g < 0) {
        return Err(Error::parameter("groups", "not negative", group));
    }
    run.expect_steps(n);
    let mut parts: Vec<Summaries> = vec![Summaries::default(); n.div_ceil(BLOCK)];
    run.blocks(
        n,
        BLOCK,
        || (Summaries::default(), Vec::new()),
        |(out, members), range| {
            *out = Summaries::default();
            for i in range {
                let at = i * k..(i + 1) * k;
                query(&groups[at.clone()], &distances[at], members, out);
            }
            Ok(())
        },
        |(out, _), range| parts[range.start / BLOCK] = std::mem::take(out),
    )?;
    let mut all = Summaries { indptr: vec![0], ..Summaries::default() };
    for part in parts {
        let before = all.groups.len() as i64;
        all.indptr.extend(part.indptr.iter().map(|end| before + end));
        all.groups.extend(part.groups);
        all.counts.extend(part.counts);
        all.statistics.extend(part.statistics);
    }
    Ok(all)
}

/// Group, distance and position of a neighbor.
type Member = (i32, f64, usize);

fn query(groups: &[i32], distances: &[f64], members: &mut Vec<Member>, out: &mut Summaries) {
    members.clear();
    members.extend(groups.iter().zip(distances).enumerate().map(|(at, (&g, &d))| (g, d, at)));
    members.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut runs: Vec<(usize, &[Member])> = members
        .chunk_by(|a, b| a.0 == b.0)
        .map(|run| (run.iter().map(|m| m.2).min().unwrap_or(0), run))
        .collect();
    runs.sort_unstable_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    for (_, run) in runs {
        let sorted: Vec<f64> = run.iter().map(|m| m.1).collect();
        out.groups.push(run[0].0);
        out.counts.push(run.len() as i64);
        out.statistics.extend([0.0, 0.25, 0.5, 0.75, 1.0].map(|q| quantile(&sorted, q)));
        out.statistics.push(sorted.iter().sum::<f64>() / sorted.len() as f64);
    }
    out.indptr.push(out.groups.len() as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_size_then_by_their_first_neighbor() {
        let groups = [7, 3, 3, 5, 7, 9];
        let distances = [0.5, 1.0, 2.0, 4.0, 1.5, 3.0];
        let one = summarize(&groups, &distances, 6, &Run::new(1)).unwrap();
        assert_eq!(one.groups, [7, 3, 5, 9]);
        assert_eq!(one.counts, [2, 2, 1, 1]);
        assert_eq!(one.indptr, [0, 4]);
        assert_eq!(one.statistics[..6], [0.5, 0.75, 1.0, 1.25, 1.5, 1.0]);
        assert_eq!(one.statistics[12..18], [4.0; 6]);
        let many = summarize(&groups.repeat(150), &distances.repeat(150), 6, &Run::new(2)).unwrap();
        assert_eq!(many.groups, one.groups.repeat(150));
        assert_eq!(many.statistics, one.statistics.repeat(150));
        assert_eq!(many.indptr[149..], [596, 600]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let run = Run::new(1);
        assert!(summarize(&[1, 2], &[1.0], 1, &run).is_err());
        assert!(summarize(&[-1], &[1.0], 1, &run).is_err());
        assert!(summarize(&[1], &[f64::INFINITY], 1, &run).is_err());
        assert!(summarize(&[1], &[1.0], 0, &run).is_err());
        assert_eq!(summarize(&[], &[], 5, &run).unwrap().indptr, [0]);
    }
}
