//! Complete factors, for chains on which nothing cheaper converges.

use faer::linalg::solvers::Solve;
use faer::sparse::linalg::solvers::Lu;
use faer::sparse::{SparseColMat, SymbolicSparseColMat};
use faer::MatMut;

use super::chain::{Chain, Rows};
use crate::error::{Error, Result};

/// Largest chain to be factorised. Factors of neighbor graphs fill up: at worst they take `16 n^2` bytes,
/// which is 4 GB here.
pub(crate) const LARGEST: usize = 16_000;

/// Sparse LU factors of `A`, columns ordered to keep them sparse, rows exchanged as needed.
#[derive(Debug)]
pub(crate) struct Factors {
    /// Of the transpose, whose columns are the rows of the chain.
    lu: Lu<usize, f64>,
}

impl Factors {
    /// # Errors
    /// [`Error::TooLarge`] beyond [`LARGEST`] states or when memory runs out.
    pub(crate) fn new(chain: &Chain) -> Result<Self> {
        let n = chain.n();
        let refuse = || Error::TooLarge { states: n, limit: LARGEST };
        if n > LARGEST {
            return Err(refuse());
        }
        let mut pointers = Vec::with_capacity(n + 1);
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        pointers.push(0);
        for i in 0..n {
            let (cols, p) = chain.row(i);
            let before = cols.partition_point(|&j| (j as usize) < i);
            rows.extend(cols[..before].iter().map(|&j| j as usize));
            values.extend(p[..before].iter().map(|p| -p));
            rows.push(i);
            values.push(p.iter().sum::<f64>() + chain.exit()[i]);
            rows.extend(cols[before..].iter().map(|&j| j as usize));
            values.extend(p[before..].iter().map(|p| -p));
            pointers.push(rows.len());
        }
        let pattern = SymbolicSparseColMat::new_checked(n, n, pointers, None, rows);
        let lu = SparseColMat::new(pattern, values).sp_lu().map_err(|_| refuse())?;
        Ok(Self { lu })
    }

    pub(crate) fn solve<const W: usize>(&self, x: &mut Rows<W>) {
        let n = x.len();
        self.lu.solve_transpose_in_place(MatMut::from_row_major_slice_mut(x.as_flattened_mut(), n, W));
    }
}
