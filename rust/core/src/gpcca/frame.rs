//! A frame that belongs to the cloud of cells, not to the basis it is given in.
//!
//! Any orthogonal change of the Schur vectors after the first leaves the problem as it is, while a search that
//! looks along axes would follow them. So the axes are the edges of the inner simplex, made orthonormal in the
//! order of its corners, which depends on distances alone.

use super::cells::Cells;
use crate::spectral::dense::Mat;

/// An orthogonal matrix whose first row and column are those of the identity.
pub(super) struct Frame(Mat);

impl Frame {
    /// The frame of the simplex with these corners, which must be independent.
    pub(super) fn of(cells: &Cells, corners: &[usize]) -> Self {
        let m = cells.m;
        let mut axes = Mat::identity(m);
        let origin = cells.row(corners[0]);
        for (j, &corner) in corners.iter().enumerate().skip(1) {
            let mut edge: Vec<f64> = cells.row(corner).iter().zip(origin).map(|(x, o)| x - o).collect();
            edge[0] = 0.0;
            // Twice is enough for edges that are nearly dependent.
            for axis in (1..j).chain(1..j) {
                let axis = axes.col(axis);
                let dot: f64 = edge.iter().zip(axis).map(|(x, a)| x * a).sum();
                edge.iter_mut().zip(axis).for_each(|(x, a)| *x -= dot * a);
            }
            let length = edge.iter().map(|x| x * x).sum::<f64>().sqrt();
            axes.col_mut(j).iter_mut().zip(edge).for_each(|(a, x)| *a = x / length);
        }
        Self(axes)
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
