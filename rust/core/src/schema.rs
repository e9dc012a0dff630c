//! Rows of counts brought to the genes of a fixed schema, and whether values look like counts at all.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::features::{Element, Features, Matrix};
use crate::run::Run;
use crate::with_matrix;

/// Where each gene of a matrix goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To this column of the schema; several genes may go to one, and add up there.
    Column(u32),
    /// Nowhere, but it counts in the total of its cell.
    Dropped,
    /// Nowhere, and it does not count: no gene (an antibody, a guide).
    Excluded,
}

/// A mapping of the genes of a matrix to those of a schema.
#[derive(Debug, Clone)]
pub struct Schema {
    targets: Vec<Target>,
    width: usize,
}

/// Mapped rows in compressed form; columns are sorted and unique, zeros are not stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapped {
    /// Row pointers, one more than there are rows.
    pub indptr: Vec<i64>,
    /// Columns of the schema.
    pub indices: Vec<i32>,
    /// Sums of the values that go there.
    pub data: Vec<f32>,
    /// Sum of each row before genes were dropped; excluded genes are left out.
    pub totals: Vec<f32>,
}

impl Mapped {
    fn with_room(n_rows: usize, n_values: usize) -> Self {
        let mut indptr = Vec::with_capacity(n_rows + 1);
        indptr.push(0);
        let (indices, data) = (Vec::with_capacity(n_values), Vec::with_capacity(n_values));
        Self { indptr, indices, data, totals: Vec::with_capacity(n_rows) }
    }

    /// Appends rows whose pointers are their ends alone.
    fn append(&mut self, rows: &Self) {
        let before = self.indices.len() as i64;
        self.indptr.extend(rows.indptr.iter().map(|end| before + end));
        self.indices.extend_from_slice(&rows.indices);
        self.data.extend_from_slice(&rows.data);
        self.totals.extend_from_slice(&rows.totals);
    }

    fn clear(&mut self) {
        self.indptr.clear();
        self.indices.clear();
        self.data.clear();
        self.totals.clear();
    }
}

/// Rows per block of work.
const BLOCK: usize = 64;

/// One row at full width: sums, and a bit for every column that was touched.
///
/// Touching a bit costs less than sorting the row, and walking the bits gives the columns in order.
struct Scratch {
    sums: Vec<f64>,
    touched: Vec<u64>,
    out: Mapped,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Self { sums: vec![0.0; width], touched: vec![0; width.div_ceil(64)], out: Mapped::default() }
    }

    /// Appends a row whose genes come in the order of the schema, each once; for any other row nothing
    /// happens, and it is `false`. Most rows are of this kind, and this costs a third of putting in order.
    fn row_in_order<E: Element>(&mut self, targets: &[Target], genes: &[i32], values: &[E]) -> bool {
        let start = self.out.indices.len();
        self.out.indices.resize(start + genes.len(), 0);
        self.out.data.resize(start + genes.len(), 0.0);
        let (indices, data) = (&mut self.out.indices[start..], &mut self.out.data[start..]);
        let (mut total, mut least, mut n) = (0.0, 0, 0);
        let mut in_order = true;
        for (&gene, &value) in genes.iter().zip(values) {
            let value: f64 = value.into();
            match targets[gene as usize] {
                Target::Excluded => continue,
                Target::Dropped => {}
                Target::Column(c) => {
                    if c < least {
                        in_order = false;
                        break;
                    }
                    least = c + 1;
                    (indices[n], data[n]) = (c as i32, value as f32);
                    n += usize::from(value as f32 != 0.0);
                }
            }
            total += value;
        }
        let end = if in_order { start + n } else { start };
        self.out.indices.truncate(end);
        self.out.data.truncate(end);
        if in_order {
            self.out.totals.push(total as f32);
            self.out.indptr.push(end as i64);
        }
        in_order
    }

    /// Appends a row of `(gene, value)`.
    fn row(&mut self, targets: &[Target], values: impl Iterator<Item = (usize, f64)>) {
        let mut total = 0.0;
        for (gene, value) in values {
            match targets[gene] {
                Target::Excluded => continue,
                Target::Dropped => {}
                Target::Column(c) => {
                    let c = c as usize;
                    self.sums[c] += value;
                    self.touched[c / 64] |= 1 << (c % 64);
                }
            }
            total += value;
        }
        for (word, bits) in self.touched.iter_mut().enumerate() {
            while *bits != 0 {
                let c = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                let sum = std::mem::take(&mut self.sums[c]) as f32;
                if sum != 0.0 {
                    self.out.indices.push(c as i32);
                    self.out.data.push(sum);
                }
            }
        }
        self.out.totals.push(total as f32);
        self.out.indptr.push(self.out.indices.len() as i64);
    }
}

impl Schema {
    /// A mapping to a schema of `width` genes; `targets` has one entry for each gene of the matrix.
    ///
    /// # Errors
    /// [`Error::Parameter`] when a target lies outside of the schema.
    pub fn new(targets: Vec<Target>, width: usize) -> Result<Self> {
        let outside = |t: &&Target| matches!(t, Target::Column(c) if *c as usize >= width);
        if let Some(Target::Column(c)) = targets.iter().find(outside) {
            return Err(Error::parameter("targets", format!("below {width}"), c));
        }
        if i32::try_from(width).is_err() {
            return Err(Error::parameter("width", "at most 2147483647", width));
        }
        Ok(Self { targets, width })
    }

    /// Brings all rows of `counts` to the schema. Sums are formed in float64 and rounded once.
    ///
    /// # Errors
    /// [`Error::Shape`] when the matrix has another number of columns than there are targets,
    /// [`Error::Cancelled`].
    pub fn map_rows(&self, counts: &Features, run: &Run) -> Result<Mapped> {
        with_matrix!(counts, m => self.map(m, run))
    }

    fn map<E: Element>(&self, m: &Matrix<'_, E>, run: &Run) -> Result<Mapped> {
        if m.n_cols() != self.targets.len() {
            return Err(Error::shape("the matrix", format!("{} columns", self.targets.len()), m.n_cols()));
        }
        let n = m.n_rows();
        run.expect_steps(n);
        let mut out = Mapped::with_room(n, m.n_stored().unwrap_or(0));
        // Blocks that came before their turn; with one thread there are none.
        let mut early: BTreeMap<usize, Mapped> = BTreeMap::new();
        run.blocks(
            n,
            BLOCK,
            || Scratch::new(self.width),
            |scratch, range| {
                for i in range {
                    match m.row_slices(i) {
                        (Some(cols), values) if scratch.row_in_order(&self.targets, cols, values) => {}
                        (Some(cols), values) => {
                            let stored = cols.iter().zip(values).map(|(&j, &x)| (j as usize, x.into()));
                            scratch.row(&self.targets, stored);
                        }
                        (None, values) => {
                            let stored = values.iter().enumerate().map(|(j, &x)| (j, x.into()));
                            scratch.row(&self.targets, stored.filter(|&(_, x)| x != 0.0));
                        }
                    }
                }
                Ok(())
            },
            |scratch, range| {
                if range.start == out.totals.len() {
                    out.append(&scratch.out);
                    scratch.out.clear();
                } else {
                    early.insert(range.start, std::mem::take(&mut scratch.out));
                }
                while let Some(part) = early.remove(&out.totals.len()) {
                    out.append(&part);
                }
            },
        )?;
        Ok(out)
    }
}

/// Compressed rows: `(indptr, indices, data)`.
pub type Rows<E> = (Vec<i64>, Vec<i32>, Vec<E>);

/// Some rows of a matrix in compressed columns, as compressed rows.
///
/// In sorted columns the rows are found by bisection, so that taking a matrix apart group by group costs
/// little more than reading it once.
///
/// * `indptr`: one more than there are columns.
/// * `indices`, `data`: row and value of each entry; `sorted` tells that rows increase in each column.
///
/// # Errors
/// [`Error::Structure`] when the arrays contradict each other.
pub fn rows_of_columns<E: Element>(
    indptr: &[i64],
    indices: &[i32],
    data: &[E],
    sorted: bool,
    rows: Range<usize>,
) -> Result<Rows<E>> {
    let ends = indptr.first() == Some(&0) && indptr.last().copied() == i64::try_from(data.len()).ok();
    if !ends || indices.len() != data.len() || indptr.windows(2).any(|w| w[1] < w[0]) {
        return Err(Error::Structure("column pointers, rows and values do not fit together".into()));
    }
    if i32::try_from(rows.end).is_err() || rows.start > rows.end {
        return Err(Error::parameter("rows", "an increasing range below 2147483647", format!("{rows:?}")));
    }
    let (start, end) = (rows.start as i32, rows.end as i32);
    // Every entry of column `j` that may lie in the rows; the exact test follows, so that columns that are
    // not as sorted as they are said to be lose entries but never run out of bounds.
    let candidates = |j: usize| {
        let (lo, hi) = (indptr[j] as usize, indptr[j + 1] as usize);
        let column = &indices[lo..hi];
        let (a, b) = if sorted {
            let a = column.partition_point(|&i| i < start);
            (a, a + column[a..].partition_point(|&i| i < end))
        } else {
            (0, column.len())
        };
        (lo + a..lo + b).filter(move |&k| (start..end).contains(&indices[k]))
    };
    let n_cols = indptr.len() - 1;
    let mut out = vec![0_i64; rows.len() + 1];
    for j in 0..n_cols {
        for k in candidates(j) {
            out[(indices[k] - start) as usize + 1] += 1;
        }
    }
    for i in 0..rows.len() {
        out[i + 1] += out[i];
    }
    let nnz = out[rows.len()] as usize;
    let (mut columns, mut values) = (vec![0_i32; nnz], vec![E::default(); nnz]);
    let mut next = out.clone();
    for j in 0..n_cols {
        for k in candidates(j) {
            let at = &mut next[(indices[k] - start) as usize];
            columns[*at as usize] = j as i32;
            values[*at as usize] = data[k];
            *at += 1;
        }
    }
    Ok((out, columns, values))
}

/// What the values of a matrix are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ValueReport {
    /// Values that are not zero.
    pub nonzero: u64,
    /// Values with a fractional part.
    pub fractional: u64,
    /// Position of the first negative value.
    pub first_negative: Option<usize>,
    /// Position of the first NaN or infinite value.
    pub first_not_finite: Option<usize>,
}

/// Looks at each of `values` once: counts are finite, not negative and whole.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn value_report<E: Element>(values: &[E], run: &Run) -> Result<ValueReport> {
    const VALUES: usize = 1 << 16;
    run.expect_steps(values.len());
    let mut all = ValueReport::default();
    let first = |a: Option<usize>, b: Option<usize>| a.into_iter().chain(b).min();
    run.blocks(
        values.len(),
        VALUES,
        ValueReport::default,
        |report, range| {
            *report = ValueReport::default();
            let block = &values[range.clone()];
            let (mut bad, mut negative) = (false, false);
            for &x in block {
                let x: f64 = x.into();
                report.nonzero += u64::from(x != 0.0);
                report.fractional += u64::from(x.fract() != 0.0 && x.is_finite());
                bad |= !x.is_finite();
                negative |= x < 0.0;
            }
            // Positions are looked for only where there is something to find.
            let find = |what: fn(f64) -> bool| block.iter().position(|&x| what(x.into()));
            report.first_not_finite =
                if bad { find(|x| !x.is_finite()).map(|p| range.start + p) } else { None };
            report.first_negative = if negative { find(|x| x < 0.0).map(|p| range.start + p) } else { None };
            Ok(())
        },
        |report, _| {
            all.nonzero += report.nonzero;
            all.fractional += report.fractional;
            all.first_negative = first(all.first_negative, report.first_negative);
            all.first_not_finite = first(all.first_not_finite, report.first_not_finite);
        },
    )?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Target::{Column, Dropped, Excluded};

    /// Three cells, five genes; two genes go to column 2, one is dropped, one is no gene.
    fn schema() -> Schema {
        Schema::new(vec![Column(2), Dropped, Column(0), Excluded, Column(2)], 4).unwrap()
    }

    const DENSE: [f32; 15] = [1.0, 2.0, 3.0, 9.0, 4.0, 0.0, 0.0, 0.0, 7.0, 0.0, -1.0, 5.0, 0.0, 0.0, 1.0];

    #[test]
    fn genes_are_reordered_dropped_and_added_up() {
        let dense = Features::F32(Matrix::dense(3, 5, &DENSE).unwrap());
        const DATA: [f64; 8] = [4.0, 3.0, 9.0, 2.0, 1.0, 7.0, 5.0, 0.0];
        let sparse = Matrix::sparse(5, vec![0, 5, 6, 8], vec![4, 2, 3, 1, 0, 3, 1, 0], &DATA).unwrap();
        let expected = Mapped {
            indptr: vec![0, 2, 2, 2],
            indices: vec![0, 2],
            data: vec![3.0, 5.0],
            totals: vec![10.0, 0.0, 5.0],
        };
        for threads in [1, 3] {
            let run = Run::new(threads);
            assert_eq!(schema().map_rows(&dense, &run).unwrap(), expected);
            assert_eq!(schema().map_rows(&Features::F64(sparse.clone()), &run).unwrap(), expected);
        }
    }

    /// Rows in the order of the schema, out of it, with a gene twice, with a zero, and with nothing.
    #[test]
    fn rows_in_any_order() {
        const DATA: [f32; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 9.0];
        let genes = vec![1, 2, 3, 2, 0, 2, 2, 0, 4];
        let counts = Features::F32(Matrix::sparse(5, vec![0, 3, 5, 7, 9, 9], genes, &DATA).unwrap());
        let schema = Schema::new(vec![Column(0), Column(1), Column(2), Dropped, Excluded], 3).unwrap();
        let expected = Mapped {
            indptr: vec![0, 2, 4, 5, 5, 5],
            indices: vec![1, 2, 0, 2, 2],
            data: vec![1.0, 2.0, 5.0, 4.0, 13.0],
            totals: vec![6.0, 9.0, 13.0, 0.0, 0.0],
        };
        assert_eq!(schema.map_rows(&counts, &Run::new(1)).unwrap(), expected);
    }

    #[test]
    fn rows_beyond_one_block_keep_their_place() {
        let n = 3 * BLOCK + 1;
        let values: Vec<f32> = (0..n).map(|i| i as f32 + 1.0).collect();
        let m = Features::F32(Matrix::dense(n, 1, &values).unwrap());
        let schema = Schema::new(vec![Column(69)], 70).unwrap();
        let out = schema.map_rows(&m, &Run::new(2)).unwrap();
        assert_eq!(out.data, values);
        assert_eq!(out.totals, values);
        assert_eq!(out.indptr, (0..=n as i64).collect::<Vec<_>>());
        assert!(out.indices.iter().all(|&c| c == 69));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Schema::new(vec![Column(3)], 3).is_err());
        let m = Features::F32(Matrix::dense(5, 3, &DENSE).unwrap());
        assert!(matches!(schema().map_rows(&m, &Run::new(1)), Err(Error::Shape { .. })));
        let stop = Run::new(1);
        stop.cancel();
        let m = Features::F32(Matrix::dense(3, 5, &DENSE).unwrap());
        assert_eq!(schema().map_rows(&m, &stop), Err(Error::Cancelled));
    }

    /// Column 0 holds rows 0, 2, 3; column 1 nothing; column 2 rows 2 and 1 in either order.
    #[test]
    fn columns_are_cut_into_rows() {
        let indptr = [0, 3, 3, 5];
        let (sorted, unsorted) = ([0, 2, 3, 1, 2], [3, 0, 2, 2, 1]);
        let cut = |indices: &[i32], data: &[f32], is_sorted, rows| {
            rows_of_columns(&indptr, indices, data, is_sorted, rows).unwrap()
        };
        let middle = (vec![0, 1, 3], vec![2, 0, 2], vec![13.0, 11.0, 14.0]);
        assert_eq!(cut(&sorted, &[10.0, 11.0, 12.0, 13.0, 14.0], true, 1..3), middle);
        assert_eq!(cut(&unsorted, &[12.0, 10.0, 11.0, 14.0, 13.0], false, 1..3), middle);
        assert_eq!(cut(&sorted, &[0.0; 5], true, 2..2), (vec![0], vec![], vec![]));
        // A false promise loses entries; it reads nothing outside.
        let _ = cut(&unsorted, &[0.0; 5], true, 1..3);
        assert!(rows_of_columns(&[0, 3, 2, 5], &sorted, &[0.0_f32; 5], true, 0..1).is_err());
        assert!(rows_of_columns::<f32>(&[], &[], &[], true, 0..0).is_err());
    }

    #[test]
    fn values_that_are_no_counts_are_found() {
        let mut values = vec![2.0_f32; 70_000];
        values[5] = 0.0;
        let report = |values: &[f32]| value_report(values, &Run::new(2)).unwrap();
        let nothing = ValueReport { nonzero: 69_999, ..ValueReport::default() };
        assert_eq!(report(&values), nothing);
        values[69_000] = -0.5;
        values[69_500] = -3.0;
        values[3] = f32::NAN;
        values[66_000] = f32::INFINITY;
        let found = ValueReport {
            nonzero: 69_999,
            fractional: 1,
            first_negative: Some(69_000),
            first_not_finite: Some(3),
        };
        assert_eq!(report(&values), found);
    }
}
