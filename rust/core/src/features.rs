//! Cell-by-gene matrices read where they lie: float32 or float64, dense or compressed rows.

use std::borrow::Cow;

use pulp::bytemuck::NoUninit;

use crate::error::{Error, Result};
use crate::run::Run;

/// A floating-point type that matrices come in.
pub trait Element:
    Copy + Default + Into<f64> + NoUninit + std::ops::AddAssign + Send + Sync + 'static
{
    /// Share of `|a|^2 + |b|^2` below which `|a - b|^2` is not taken as `|a|^2 + |b|^2 - 2 a . b`.
    ///
    /// At this share the relative error of the difference is near 1e-12 (float64) or, where the data
    /// themselves are known to 6e-8, 1e-10 (float32).
    const CANCELLED: f64;

    /// The bits of the number.
    fn bits(self) -> u64;
}
impl Element for f32 {
    const CANCELLED: f64 = 1e-6;
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}
impl Element for f64 {
    const CANCELLED: f64 = 1e-4;
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

#[derive(Debug, Clone)]
enum Storage<'a, E: Clone> {
    /// Row after row.
    Dense(&'a [E]),
    /// Compressed rows; columns may be unsorted, repeated ones add up.
    Sparse { indptr: Cow<'a, [i64]>, indices: Cow<'a, [i32]>, data: &'a [E] },
}

/// A matrix of one element type, possibly restricted to some of its columns.
#[derive(Debug, Clone)]
pub struct Matrix<'a, E: Element> {
    n_rows: usize,
    n_cols: usize,
    storage: Storage<'a, E>,
    /// Selected columns in increasing order; `None` for all.
    selected: Option<Vec<u32>>,
    /// For sparse storage: column -> position among the selected, `u32::MAX` for dropped ones.
    position: Vec<u32>,
}

impl<'a, E: Element> Matrix<'a, E> {
    /// A dense matrix, row after row.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` does not hold `n_rows * n_cols` values.
    pub fn dense(n_rows: usize, n_cols: usize, data: &'a [E]) -> Result<Self> {
        if n_rows.checked_mul(n_cols) != Some(data.len()) {
            return Err(Error::shape("the matrix", format!("{n_rows} x {n_cols} values"), data.len()));
        }
        Ok(Self { n_rows, n_cols, storage: Storage::Dense(data), selected: None, position: Vec::new() })
    }

    /// A compressed-row matrix.
    ///
    /// # Errors
    /// [`Error::Structure`] when the arrays contradict each other.
    pub fn sparse(
        n_cols: usize,
        indptr: impl Into<Cow<'a, [i64]>>,
        indices: impl Into<Cow<'a, [i32]>>,
        data: &'a [E],
    ) -> Result<Self> {
        let (indptr, indices) = (indptr.into(), indices.into());
        let n_rows = indptr.len().saturating_sub(1);
        let ends = indptr.first() == Some(&0) && indptr.last().copied() == i64::try_from(data.len()).ok();
        if !ends || indices.len() != data.len() || indptr.windows(2).any(|w| w[1] < w[0]) {
            return Err(Error::Structure("row pointers, columns and values do not fit together".into()));
        }
        // A negative column is a huge one. The largest is found faster than the first that is too large.
        let largest = indices.iter().fold(0, |most, &j| most.max(j as u32));
        if largest as usize >= n_cols && !indices.is_empty() {
            let outside = |j: &&i32| usize::try_from(**j).map_or(true, |j| j >= n_cols);
            let j = indices.iter().find(outside).copied().unwrap_or_default();
            return Err(Error::Structure(format!("column {j} is outside of 0..{n_cols}")));
        }
        let position = (0..n_cols as u32).collect();
        Ok(Self {
            n_rows,
            n_cols,
            storage: Storage::Sparse { indptr, indices, data },
            selected: None,
            position,
        })
    }

    /// Restricts the matrix to the columns marked `true`; no value is copied.
    ///
    /// # Errors
    /// [`Error::Shape`] when `mask` has another length than there are columns.
    pub fn select(mut self, mask: &[bool]) -> Result<Self> {
        if mask.len() != self.n_cols {
            return Err(Error::shape("the column mask", self.n_cols, mask.len()));
        }
        if mask.iter().all(|&keep| keep) {
            return Ok(self);
        }
        let columns: Vec<u32> = (0..self.n_cols as u32).filter(|&j| mask[j as usize]).collect();
        if matches!(self.storage, Storage::Sparse { .. }) {
            self.position = vec![u32::MAX; self.n_cols];
            for (at, &j) in columns.iter().enumerate() {
                self.position[j as usize] = at as u32;
            }
        }
        self.selected = Some(columns);
        Ok(self)
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of (selected) columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.selected.as_ref().map_or(self.n_cols, Vec::len)
    }

    /// Row `i` where it lies, when it is dense and all columns are selected.
    #[must_use]
    #[inline]
    pub fn in_place(&self, i: usize) -> Option<&[E]> {
        match (&self.storage, &self.selected) {
            (Storage::Dense(data), None) => Some(&data[i * self.n_cols..(i + 1) * self.n_cols]),
            _ => None,
        }
    }

    /// Writes row `i` to `out` of length [`Matrix::width`], converted by `convert`.
    fn gather<O: Copy + Default + std::ops::AddAssign>(
        &self,
        i: usize,
        out: &mut [O],
        convert: impl Fn(E) -> O,
    ) {
        match &self.storage {
            Storage::Dense(data) => {
                let row = &data[i * self.n_cols..(i + 1) * self.n_cols];
                match &self.selected {
                    None => out.iter_mut().zip(row).for_each(|(o, &x)| *o = convert(x)),
                    Some(columns) => {
                        out.iter_mut().zip(columns).for_each(|(o, &j)| *o = convert(row[j as usize]));
                    }
                }
            }
            Storage::Sparse { indptr, indices, data } => {
                out.fill(O::default());
                let range = indptr[i] as usize..indptr[i + 1] as usize;
                for (&j, &x) in indices[range.clone()].iter().zip(&data[range]) {
                    if let Some(o) = out.get_mut(self.position[j as usize] as usize) {
                        *o += convert(x);
                    }
                }
            }
        }
    }

    /// Copies row `i`, selected columns only, into `out`.
    pub fn copy_row(&self, i: usize, out: &mut [E]) {
        self.gather(i, out, |x| x);
    }

    /// Copies row `i`, selected columns only, into `out` as float64.
    pub fn copy_row_f64(&self, i: usize, out: &mut [f64]) {
        self.gather(i, out, Into::into);
    }

    /// Columns (`None` when dense: all of them) and values of row `i` as stored, selected or not.
    pub(crate) fn row_slices(&self, i: usize) -> (Option<&[i32]>, &[E]) {
        match &self.storage {
            Storage::Dense(data) => (None, &data[i * self.n_cols..(i + 1) * self.n_cols]),
            Storage::Sparse { indptr, indices, data } => {
                let range = indptr[i] as usize..indptr[i + 1] as usize;
                (Some(&indices[range.clone()]), &data[range])
            }
        }
    }

    /// Number of stored values of a sparse matrix.
    pub(crate) fn n_stored(&self) -> Option<usize> {
        match &self.storage {
            Storage::Dense(_) => None,
            Storage::Sparse { data, .. } => Some(data.len()),
        }
    }

    /// Number of columns, selected or not.
    pub(crate) fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Stored values of row `i` with their original column, as float64.
    fn stored(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let (cols, values) = self.row_slices(i);
        values.iter().enumerate().map(move |(k, &x)| (cols.map_or(k, |c| c[k] as usize), x.into()))
    }
}

/// A [`Matrix`] of either element type.
#[derive(Debug, Clone)]
pub enum Features<'a> {
    /// float32
    F32(Matrix<'a, f32>),
    /// float64
    F64(Matrix<'a, f64>),
}

/// Runs the same generic expression on either element type.
#[macro_export]
macro_rules! with_matrix {
    ($features:expr, $m:ident => $body:expr) => {
        match $features {
            $crate::features::Features::F32($m) => $body,
            $crate::features::Features::F64($m) => $body,
        }
    };
}

/// Mixes words into one number, eight chains side by side so that they overlap.
fn hash(words: &[u64]) -> u64 {
    let (whole, rest) = words.as_chunks::<8>();
    let mut last = [words.len() as u64; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut chains: [u64; 8] = std::array::from_fn(|k| k as u64);
    for word in whole.iter().chain([&last]) {
        for k in 0..8 {
            chains[k] = (chains[k] ^ word[k]).rotate_left(23).wrapping_add(chains[k]);
        }
    }
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / golden ratio, as in Fibonacci hashing
    chains.into_iter().fold(0, |sum, chain| (sum ^ chain).wrapping_mul(ODD).rotate_left(29))
}

/// Rows per block when a whole matrix is scanned.
const SCAN: usize = 256;

impl Features<'_> {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        with_matrix!(self, m => m.n_rows())
    }

    /// Number of (selected) columns.
    #[must_use]
    pub fn width(&self) -> usize {
        with_matrix!(self, m => m.width())
    }

    /// [`Matrix::select`].
    ///
    /// # Errors
    /// As [`Matrix::select`].
    pub fn select(self, mask: &[bool]) -> Result<Self> {
        Ok(match self {
            Self::F32(m) => Self::F32(m.select(mask)?),
            Self::F64(m) => Self::F64(m.select(mask)?),
        })
    }

    /// Copies row `i`, selected columns only, into `out` as float64.
    pub fn copy_row(&self, i: usize, out: &mut [f64]) {
        with_matrix!(self, m => m.copy_row_f64(i, out));
    }

    /// Which columns (of all, selected or not) hold a NaN.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn nan_columns(&self, run: &Run) -> Result<Vec<bool>> {
        with_matrix!(self, m => {
            let mut found = vec![false; m.n_cols];
            run.blocks(
                m.n_rows,
                SCAN,
                Vec::new,
                |hits: &mut Vec<usize>, range| {
                    hits.clear();
                    hits.extend(range.flat_map(|i| m.stored(i).filter(|(_, x)| x.is_nan()).map(|(j, _)| j)));
                    Ok(())
                },
                |hits, _| hits.iter().for_each(|&j| found[j] = true),
            )?;
            Ok(found)
        })
    }

    /// A number that changes when a value does (up to chance in 2^64), for noticing changed data.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn fingerprint(&self, run: &Run) -> Result<u64> {
        with_matrix!(self, m => {
            let mut all = 0_u64;
            run.blocks(
                m.n_rows,
                SCAN,
                || (0_u64, Vec::new()),
                |(sum, words): &mut (u64, Vec<u64>), range| {
                    *sum = 0;
                    for i in range {
                        let (cols, values) = m.row_slices(i);
                        words.clear();
                        words.push(i as u64);
                        words.extend(values.iter().map(|x| x.bits()));
                        words.extend(cols.into_iter().flatten().map(|&j| j as u64));
                        *sum = sum.wrapping_add(hash(words));
                    }
                    Ok(())
                },
                |(sum, _), _| all = all.wrapping_add(*sum),
            )?;
            Ok(all)
        })
    }

    /// First `(row, column)` among the selected columns whose value is NaN or infinite.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn first_not_finite(&self, run: &Run) -> Result<Option<(usize, usize)>> {
        with_matrix!(self, m => {
            let mut keep = vec![m.selected.is_none(); m.n_cols];
            m.selected.iter().flatten().for_each(|&j| keep[j as usize] = true);
            let mut first: Option<(usize, usize)> = None;
            run.blocks(
                m.n_rows,
                SCAN,
                || None,
                |hit: &mut Option<(usize, usize)>, mut range| {
                    *hit = range.find_map(|i| {
                        m.stored(i).find(|&(j, x)| !x.is_finite() && keep[j]).map(|(j, _)| (i, j))
                    });
                    Ok(())
                },
                |hit, _| {
                    if let Some(at) = *hit {
                        first = Some(first.map_or(at, |old| old.min(at)));
                    }
                },
            )?;
            Ok(first)
        })
    }
}

/// Rows of a matrix held ready for repeated reading by one block of work.
///
/// Dense rows are read where they lie. Sparse rows, or rows of which only some columns count, are
/// unpacked once per block, so that the inner loops always see plain slices.
#[derive(Debug)]
pub struct RowCache<'m, 'a, E: Element> {
    matrix: &'m Matrix<'a, E>,
    slot: Vec<u32>,
    loaded: Vec<u32>,
    values: Vec<E>,
}

impl<'m, 'a, E: Element> RowCache<'m, 'a, E> {
    /// An empty cache over `matrix`.
    #[must_use]
    pub fn new(matrix: &'m Matrix<'a, E>) -> Self {
        let in_place = matrix.n_rows == 0 || matrix.in_place(0).is_some();
        let slot = if in_place { Vec::new() } else { vec![u32::MAX; matrix.n_rows] };
        Self { matrix, slot, loaded: Vec::new(), values: Vec::new() }
    }

    /// Forgets what is loaded and loads `rows`; repeats are harmless.
    pub fn load(&mut self, rows: impl Iterator<Item = usize>) {
        if self.slot.is_empty() {
            return;
        }
        for i in self.loaded.drain(..) {
            self.slot[i as usize] = u32::MAX;
        }
        let width = self.matrix.width();
        for i in rows {
            if self.slot[i] == u32::MAX {
                let at = self.loaded.len();
                self.slot[i] = at as u32;
                self.loaded.push(i as u32);
                if self.values.len() < (at + 1) * width {
                    self.values.resize((at + 1) * width, E::default());
                }
                self.matrix.copy_row(i, &mut self.values[at * width..(at + 1) * width]);
            }
        }
    }

    /// Row `i`, which must have been loaded.
    #[must_use]
    #[inline]
    pub fn row(&self, i: usize) -> &[E] {
        if let Some(row) = self.matrix.in_place(i) {
            return row;
        }
        let width = self.matrix.width();
        let at = self.slot[i] as usize;
        &self.values[at * width..(at + 1) * width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENSE: [f32; 6] = [1.0, 0.0, 2.0, 0.0, 3.0, f32::NAN];

    fn both() -> [Features<'static>; 2] {
        let dense = Matrix::dense(2, 3, &DENSE).unwrap();
        // Unsorted columns, and the 3 as 1 + 2.
        const DATA: [f32; 5] = [2.0, 1.0, 1.0, f32::NAN, 2.0];
        let sparse = Matrix::sparse(3, vec![0, 2, 5], vec![2, 0, 1, 2, 1], &DATA).unwrap();
        [Features::F32(dense), Features::F32(sparse)]
    }

    #[test]
    fn dense_and_sparse_rows_read_alike_with_and_without_a_column_mask() {
        let run = Run::new(2);
        for m in both() {
            assert_eq!(m.nan_columns(&run).unwrap(), [false, false, true]);
            assert_eq!(m.first_not_finite(&run).unwrap(), Some((1, 2)));
            let mut row = [9.0; 3];
            m.copy_row(0, &mut row);
            assert_eq!(row, [1.0, 0.0, 2.0]);
            let m = m.select(&[false, true, false]).unwrap();
            assert_eq!(m.first_not_finite(&run).unwrap(), None);
            let mut row = [9.0];
            m.copy_row(1, &mut row);
            assert_eq!(row, [3.0]);
        }
    }

    #[test]
    fn the_cache_serves_the_rows_that_were_loaded() {
        for m in both() {
            let m = m.select(&[true, true, false]).unwrap();
            let Features::F32(m) = &m else { unreachable!() };
            let mut cache = RowCache::new(m);
            cache.load([1, 0, 1].into_iter());
            assert_eq!(cache.row(0), [1.0, 0.0]);
            assert_eq!(cache.row(1), [0.0, 3.0]);
            cache.load([1].into_iter());
            assert_eq!(cache.row(1), [0.0, 3.0]);
        }
    }

    /// Every single value counts, also where it stands; the number of threads does not.
    #[test]
    fn fingerprints_tell_values_apart() {
        let print = |values: &[f64]| {
            let m = Features::F64(Matrix::dense(values.len() / 3, 3, values).unwrap());
            assert_eq!(m.fingerprint(&Run::new(1)), m.fingerprint(&Run::new(3)));
            m.fingerprint(&Run::default()).unwrap()
        };
        let values: Vec<f64> = (0..3000).map(f64::from).collect();
        let original = print(&values);
        assert_eq!(print(&values.clone()), original);
        for at in [0, 1, 1499, 2999] {
            let mut changed = values.clone();
            changed[at] += 1e-9;
            assert_ne!(print(&changed), original);
        }
        let mut swapped = values.clone();
        swapped.swap(5, 2005);
        assert_ne!(print(&swapped), original);
        let sparse = |cols: Vec<i32>| {
            Features::F64(Matrix::sparse(4, vec![0, 2], cols, &values[1..3]).unwrap())
                .fingerprint(&Run::default())
        };
        assert_ne!(sparse(vec![0, 1]), sparse(vec![0, 2]));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(Matrix::dense(2, 2, &DENSE).is_err());
        assert!(Matrix::sparse(2, vec![0, 1], vec![5], &DENSE[..1]).is_err());
        assert!(Matrix::sparse(2, vec![0, 2], vec![0], &DENSE[..1]).is_err());
    }
}
