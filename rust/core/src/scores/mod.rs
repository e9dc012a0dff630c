//! How a transition matrix looks in a space of cells: does it cross boundaries, where does it point.

pub mod boundary;
pub mod projection;

use crate::error::{Error, Result};

/// Coordinates of cells, row per cell; NaN is allowed and spreads to what is computed from it.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    data: &'a [f64],
    n_cells: usize,
    width: usize,
}

impl<'a> Points<'a> {
    /// `data` holds the coordinates of one cell after another.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` does not hold `n_cells * width` values.
    pub fn new(n_cells: usize, width: usize, data: &'a [f64]) -> Result<Self> {
        if n_cells.checked_mul(width) != Some(data.len()) {
            return Err(Error::shape("the coordinates", format!("{n_cells} x {width} values"), data.len()));
        }
        Ok(Self { data, n_cells, width })
    }

    /// Number of coordinates.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Coordinates of cell `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [f64] {
        &self.data[i * self.width..(i + 1) * self.width]
    }

    fn check_cells(&self, n: usize) -> Result<()> {
        if self.n_cells == n {
            return Ok(());
        }
        Err(Error::shape("the coordinates", format!("one row per cell ({n})"), self.n_cells))
    }
}
