//! Making a compressed-row matrix row by row, many rows at a time.

use crate::csr::Csr;
use crate::error::Result;
use crate::in_order::InOrder;
use crate::run::Run;

/// Rows per block of work.
const BLOCK: usize = 512;

/// Some finished rows.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    lengths: Vec<usize>,
    indices: Vec<i32>,
    data: Vec<f64>,
    used: usize,
}

impl Rows {
    /// Space for a row of up to `n` entries. Entries are written from its front; [`Rows::close`] is told
    /// how many there are. Unconditional writes and a count that grows by 0 or 1 spare the processor
    /// branches it can not predict.
    pub(crate) fn space(&mut self, n: usize) -> (&mut [i32], &mut [f64]) {
        let end = self.used + n;
        if self.indices.len() < end {
            self.indices.resize(end, 0);
            self.data.resize(end, 0.0);
        }
        (&mut self.indices[self.used..end], &mut self.data[self.used..end])
    }

    /// Ends the row after its first `n` entries.
    pub(crate) fn close(&mut self, n: usize) {
        self.used += n;
        self.lengths.push(n);
    }

    fn clear(&mut self) {
        self.lengths.clear();
        self.used = 0;
    }
}

/// Makes a matrix whose rows, with columns in increasing order, are written by `row(scratch, i, rows)`.
///
/// `room` is the largest possible number of entries. Rows are made in parallel and put together in
/// order, so the number of threads changes nothing.
///
/// # Errors
/// The first error of `row`, or [`crate::Error::Cancelled`].
pub(crate) fn assemble<S: Send>(
    (n_rows, n_cols): (usize, usize),
    room: usize,
    run: &Run,
    scratch: impl Fn() -> S + Sync + Send,
    row: impl Fn(&mut S, usize, &mut Rows) -> Result<()> + Sync + Send,
) -> Result<Csr<'static>> {
    run.expect_steps(n_rows);
    let mut indptr = Vec::with_capacity(n_rows + 1);
    indptr.push(0);
    // Pages that are never written are never allocated.
    let (mut indices, mut data) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let mut parts = InOrder::new(|part: &mut Rows| {
        let mut end = indices.len() as i64;
        indptr.extend(part.lengths.iter().map(|&n| {
            end += n as i64;
            end
        }));
        indices.extend_from_slice(&part.indices[..part.used]);
        data.extend_from_slice(&part.data[..part.used]);
    });
    run.blocks(
        n_rows,
        BLOCK,
        || (Rows::default(), scratch()),
        |(out, scratch), rows| {
            out.clear();
            rows.into_iter().try_for_each(|i| row(scratch, i, out))
        },
        |(out, _), rows| parts.put(rows, out),
    )?;
    indices.shrink_to_fit();
    data.shrink_to_fit();
    Ok(Csr::from_parts(n_cols, indptr, indices, data))
}
