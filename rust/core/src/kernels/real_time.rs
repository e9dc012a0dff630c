//! Transition matrices over experimental time: couplings between samples, thinned out and put together.
//!
//! A coupling is read in blocks of rows, so that it never has to exist whole.

use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::rows::{assemble, Rows};
use crate::run::Run;

/// Rows per block of work.
const BLOCK: usize = 64;
/// Bits looked at in one pass of the search for a quantile.
const BITS: u32 = 16;
/// Passes that find an entry exactly: 64 bits in all.
pub const LEVELS: u32 = 64 / BITS;

fn each_row<T: Send>(
    rows: &Features<'_>,
    run: &Run,
    init: impl Fn() -> T + Send + Sync,
    see: impl Fn(&mut T, usize, &[f64]) -> Result<()> + Send + Sync,
    merge: impl FnMut(&mut T) + Send,
) -> Result<()> {
    let mut merge = merge;
    run.blocks(
        rows.n_rows(),
        BLOCK,
        || (vec![0.0; rows.width()], init()),
        |(row, state), range| {
            *state = init();
            range.into_iter().try_for_each(|i| {
                rows.copy_row(i, row);
                see(state, i, row)
            })
        },
        |(_, state), _| merge(state),
    )
}

/// The largest entry of every row of a coupling; 0 where there are no columns.
///
/// # Errors
/// [`Error::NotFinite`] and [`Error::Negative`] with the row, [`Error::Cancelled`].
pub fn row_maxima(rows: &Features<'_>, run: &Run) -> Result<Vec<f64>> {
    let mut out = vec![0.0; rows.n_rows()];
    each_row(
        rows,
        run,
        Vec::new,
        |found: &mut Vec<(usize, f64)>, i, row| {
            let (mut top, mut low, mut sum) = (0.0_f64, 0.0_f64, 0.0);
            for &x in row {
                top = top.max(x);
                low = low.min(x);
                sum += x;
            }
            if !sum.is_finite() && row.iter().any(|x| !x.is_finite()) {
                return Err(Error::NotFinite { what: "the coupling".into(), row: i });
            }
            if low < 0.0 {
                return Err(Error::Negative { row: i });
            }
            found.push((i, top));
            Ok(())
        },
        |found| found.iter().for_each(|&(i, top)| out[i] = top),
    )?;
    Ok(out)
}

/// The entries that are at least `threshold` and not zero.
///
/// # Errors
/// [`Error::NotFinite`] and [`Error::Negative`] with the row, [`Error::Cancelled`].
pub fn keep_at_least(rows: &Features<'_>, threshold: f64, run: &Run) -> Result<Csr<'static>> {
    let width = rows.width();
    assemble(
        (rows.n_rows(), width),
        rows.n_rows() * width,
        run,
        || vec![0.0; width],
        |row, i, out| {
            rows.copy_row(i, row);
            let (cols, values) = out.space(width);
            let (mut n, mut low, mut sum) = (0, 0.0_f64, 0.0);
            for (j, &x) in row.iter().enumerate() {
                cols[n] = j as i32;
                values[n] = x;
                n += usize::from(x >= threshold && x != 0.0);
                low = low.min(x);
                sum += x;
            }
            if !sum.is_finite() && row.iter().any(|x| !x.is_finite()) {
                return Err(Error::NotFinite { what: "the coupling".into(), row: i });
            }
            if low < 0.0 {
                return Err(Error::Negative { row: i });
            }
            out.close(n);
            Ok(())
        },
    )
}

/// Position of a number that is not negative among all float64: larger numbers have larger positions.
fn position(x: f64) -> u64 {
    if x == 0.0 {
        0 // also of -0.0
    } else {
        x.to_bits()
    }
}

/// How often each value of the next 16 bits occurs, among the entries whose leading bits are `prefix`.
///
/// With `level` 0 all entries count; at level `k`, those whose first `16 k` bits equal `prefix`. Four
/// passes find any order statistic exactly and without a copy (a radix selection; Knuth, *The Art of
/// Computer Programming*, vol. 3, 5.2.5, has the sort). Entries must not be negative.
///
/// # Errors
/// [`Error::Parameter`] for a level beyond [`LEVELS`], [`Error::Cancelled`].
pub fn entry_counts(rows: &Features<'_>, prefix: u64, level: u32, run: &Run) -> Result<Vec<i64>> {
    if level >= LEVELS {
        return Err(Error::parameter("level", format!("below {LEVELS}"), level));
    }
    let shift = 64 - BITS * (level + 1);
    let mut out = vec![0_i64; 1 << BITS];
    each_row(
        rows,
        run,
        Vec::new,
        |found: &mut Vec<u16>, _, row| {
            for &x in row {
                let key = position(x) >> shift;
                if level == 0 || key >> BITS == prefix {
                    found.push((key & 0xffff) as u16);
                }
            }
            Ok(())
        },
        |found| found.iter().for_each(|&k| out[k as usize] += 1),
    )?;
    Ok(out)
}

/// The smallest entry above `value`; infinity if there is none.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn next_above(rows: &Features<'_>, value: f64, run: &Run) -> Result<f64> {
    let mut out = f64::INFINITY;
    each_row(
        rows,
        run,
        || f64::INFINITY,
        |least: &mut f64, _, row| {
            *least = row.iter().filter(|&&x| x > value).fold(*least, |a, &b| a.min(b));
            Ok(())
        },
        |least| out = out.min(*least),
    )?;
    Ok(out)
}

/// A coupling between two samples, or the transitions within one, and where it goes in the whole.
#[derive(Debug)]
pub struct Block<'a> {
    /// One row per cell of the source. Rows without entries become uniform.
    pub coupling: Csr<'a>,
    /// Rows of the whole, one per row of the coupling.
    pub rows: &'a [i64],
    /// Columns of the whole, one per column of the coupling.
    pub cols: &'a [i64],
    /// Factor of the entries.
    pub weight: f64,
    /// Divide the rows of the coupling by their sums before weighing them.
    pub normalize: bool,
}

impl Block<'_> {
    fn check(&self, n: usize) -> Result<()> {
        for (what, ids, size) in [
            ("the rows of a block", self.rows, self.coupling.n_rows()),
            ("the columns of a block", self.cols, self.coupling.n_cols()),
        ] {
            if ids.len() != size {
                return Err(Error::shape(what, format!("{size} positions"), ids.len()));
            }
            if let Some(id) = ids.iter().find(|&&id| id < 0 || id as usize >= n) {
                return Err(Error::shape(what, format!("positions below {n}"), id));
            }
        }
        if !(self.weight.is_finite() && self.weight > 0.0) {
            return Err(Error::parameter("weight", "finite and positive", self.weight));
        }
        Ok(())
    }

    /// Appends row `local` to `out`, with columns of the whole.
    fn append(&self, local: usize, out: &mut Vec<(i32, f64)>) {
        let (cols, values) = self.coupling.row(local);
        let sum: f64 = values.iter().sum();
        if sum == 0.0 {
            let value = self.weight / self.cols.len() as f64;
            out.extend(self.cols.iter().map(|&j| (j as i32, value)));
            return;
        }
        let scale = if self.normalize { self.weight / sum } else { self.weight };
        out.extend(cols.iter().zip(values).map(|(&j, v)| (self.cols[j as usize] as i32, scale * v)));
    }
}

/// The transition matrix of all cells, from blocks; every row sums to 1.
///
/// # Errors
/// [`Error::Shape`] for positions that do not fit, [`Error::Parameter`] for a bad weight,
/// [`Error::ZeroRows`] for cells in no block, [`Error::Negative`] for a negative entry, [`Error::Structure`] when two blocks fill the same entry,
/// [`Error::NotFinite`] when a sum overflows, [`Error::Cancelled`].
pub fn transition_matrix(n: usize, blocks: &[Block<'_>], run: &Run) -> Result<Csr<'static>> {
    blocks.iter().try_for_each(|block| block.check(n))?;
    let owners = Owners::new(n, blocks);
    let missing: Vec<usize> = (0..n).filter(|&i| owners.of(i).is_empty()).collect();
    if !missing.is_empty() {
        return Err(Error::ZeroRows { rows: missing });
    }
    let room = blocks.iter().map(|b| b.coupling.nnz()).sum();
    assemble((n, n), room, run, Vec::new, |entries: &mut Vec<(i32, f64)>, i, out: &mut Rows| {
        entries.clear();
        for &(block, local) in owners.of(i) {
            blocks[block as usize].append(local as usize, entries);
        }
        // Cells usually lie in the order of time already.
        if !entries.is_sorted_by_key(|e| e.0) {
            entries.sort_unstable_by_key(|e| e.0);
        }
        if entries.windows(2).any(|e| e[0].0 == e[1].0) {
            return Err(Error::Structure(format!("two blocks fill the same entry of row {i}")));
        }
        if entries.iter().any(|e| e.1 < 0.0) {
            return Err(Error::Negative { row: i });
        }
        let sum: f64 = entries.iter().map(|e| e.1).sum();
        if !sum.is_finite() {
            return Err(Error::NotFinite { what: "the sum of couplings".into(), row: i });
        }
        let (cols, values) = out.space(entries.len());
        for (k, &(col, value)) in entries.iter().enumerate() {
            cols[k] = col;
            values[k] = value / sum;
        }
        out.close(entries.len());
        Ok(())
    })
}

/// Which blocks have a row of which cell.
struct Owners {
    ends: Vec<usize>,
    entries: Vec<(u32, u32)>,
}

impl Owners {
    fn new(n: usize, blocks: &[Block<'_>]) -> Self {
        let mut ends = vec![0; n + 1];
        for block in blocks {
            block.rows.iter().for_each(|&i| ends[i as usize + 1] += 1);
        }
        for i in 0..n {
            ends[i + 1] += ends[i];
        }
        let mut next = ends.clone();
        let mut entries = vec![(0, 0); ends[n]];
        for (b, block) in blocks.iter().enumerate() {
            for (local, &i) in block.rows.iter().enumerate() {
                entries[next[i as usize]] = (b as u32, local as u32);
                next[i as usize] += 1;
            }
        }
        Self { ends, entries }
    }

    fn of(&self, i: usize) -> &[(u32, u32)] {
        &self.entries[self.ends[i]..self.ends[i + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Matrix;

    fn dense(rows: usize, cols: usize, data: &[f64]) -> Features<'_> {
        Features::F64(Matrix::dense(rows, cols, data).unwrap())
    }

    #[test]
    fn thresholds_by_hand() {
        let data = [0.1, 0.5, 0.0, 0.3, 0.2, 0.2];
        let rows = dense(2, 3, &data);
        let run = Run::default();
        assert_eq!(row_maxima(&rows, &run).unwrap(), [0.5, 0.3]);
        let kept = keep_at_least(&rows, 0.3, &run).unwrap();
        assert_eq!(kept.row(0), (&[1][..], &[0.5][..]));
        assert_eq!(kept.row(1), (&[0][..], &[0.3][..]));
        assert_eq!(next_above(&rows, 0.3, &run).unwrap(), 0.5);
        assert_eq!(next_above(&rows, 0.5, &run).unwrap(), f64::INFINITY);
    }

    #[test]
    fn counts_lead_to_every_order_statistic() {
        let data: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 50) / 7.0).collect();
        let rows = dense(6, 10, &data);
        let mut sorted = data.clone();
        sorted.sort_by(f64::total_cmp);
        for (k, &expected) in sorted.iter().enumerate() {
            let (mut prefix, mut left) = (0, k as i64);
            for level in 0..LEVELS {
                let counts = entry_counts(&rows, prefix, level, &Run::new(2)).unwrap();
                let mut digit = 0;
                while left >= counts[digit] {
                    left -= counts[digit];
                    digit += 1;
                }
                prefix = prefix << BITS | digit as u64;
            }
            assert_eq!(f64::from_bits(prefix), expected);
        }
    }

    #[test]
    fn bad_entries_are_named() {
        let data = [0.1, 0.5, f64::NAN, 0.3];
        let found = row_maxima(&dense(2, 2, &data), &Run::default());
        assert!(matches!(found, Err(Error::NotFinite { row: 1, .. })));
        let data = [0.1, -0.5];
        assert_eq!(
            keep_at_least(&dense(1, 2, &data), 0.0, &Run::default()).unwrap_err(),
            Error::Negative { row: 0 }
        );
    }

    /// Two cells, then one: cells 0 and 2 are early, 1 is late; the late one stays.
    #[test]
    fn blocks_are_put_in_the_order_of_the_cells() {
        let coupling = || Csr::new(1, vec![0, 1, 1], vec![0], vec![0.5]).unwrap();
        let stay = || Csr::new(1, vec![0, 1], vec![0], vec![1.0]).unwrap();
        let blocks = [
            Block { coupling: coupling(), rows: &[2, 0], cols: &[1], weight: 1.0, normalize: false },
            Block { coupling: stay(), rows: &[1], cols: &[1], weight: 1.0, normalize: false },
        ];
        let t = transition_matrix(3, &blocks, &Run::default()).unwrap();
        for i in 0..3 {
            assert_eq!(t.row(i), (&[1][..], &[1.0][..]));
        }
        let lost = transition_matrix(4, &blocks, &Run::default());
        assert_eq!(lost.unwrap_err(), Error::ZeroRows { rows: vec![3] });
    }
}
