//! A frame that belongs to the cloud of cells, not to the basis it is given in.
//!
//! Any orthogonal change of the Schur vectors after the first leaves the problem as it is, while a search that
//! looks along axes would follow them. So the axes are the edges of the inner simplex, made orthonormal in the
//! order of its corners, which depends on distances alone.

use super::cells::Cells;
use super::polar::next_axis;
use crate::spectral::dense::Mat;

/// An orthogonal matrix whose first row and column are those of the identity.
pub(super) struct Frame(Mat);

impl Frame {
    /// The frame of the simplex with these corners, which must be independent.
    pub(super) fn of(cells: &Cells, corners: &[usize]) -> Self {
        let m = cells.m;
        let origin = &cells.row(corners[0])[1..];
        let mut axes: Vec<Vec<f64>> = vec![];
        for &corner in &corners[1..] {
            let edge: Vec<f64> = cells.row(corner)[1..].iter().zip(origin).map(|(x, o)| x - o).collect();
            axes.push(next_axis(&edge, &axes));
        }
        Self(Mat::from_fn(m, m, |i, j| match (i, j) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0,
            (i, j) => axes[j - 1][i - 1],
        }))
    }

    /// The cells in this frame.
    pub(super) fn turn(&self, cells: &Cells) -> Cells {
        let x = cells.times(&self.0.row_major(), cells.m);
        cells.with(x)
    }

    /// A rotation of the cells, row after row, as one of the cells in this frame.
    pub(super) fn here(&self, rotation: &[f64]) -> Vec<f64> {
        times(&self.0.transpose(), rotation)
    }

    /// And back.
    pub(super) fn back(&self, rotation: &[f64]) -> Vec<f64> {
        times(&self.0, rotation)
    }
}

fn times(axes: &Mat, rotation: &[f64]) -> Vec<f64> {
    let m = axes.n_rows();
    axes.times(&Mat::from_fn(m, m, |i, j| rotation[i * m + j])).row_major()
}
