//! Sums and products of compressed-row matrices, one pass over the rows, nothing densified.

use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::kernels::connectivity::row_normalize;
use crate::rows::{assemble, Rows};
use crate::run::Run;

/// `sum_k weights[k] * matrices[k]`.
///
/// Each entry is the sum of its products from the first matrix to the last. Every entry that is stored
/// in one of the matrices is stored in the result, also when it is zero.
///
/// # Errors
/// [`Error::Parameter`] without matrices or for a weight that is not finite, [`Error::Shape`] when
/// lengths or shapes differ, [`Error::NotFinite`] when a sum overflows, [`Error::Cancelled`].
pub fn weighted_sum(matrices: &[Csr<'_>], weights: &[f64], run: &Run) -> Result<Csr<'static>> {
    if matrices.len() != weights.len() {
        return Err(Error::shape(
            "the weights",
            format!("one per matrix ({})", matrices.len()),
            weights.len(),
        ));
    }
    if let Some(w) = weights.iter().find(|w| !w.is_finite()) {
        return Err(Error::parameter("weights", "finite", w));
    }
    let room = matrices.iter().map(Csr::nnz).sum();
    combine(matrices, room, run, |i, heads, out| match matrices {
        [a, b] => add_two(a.row(i), b.row(i), [weights[0], weights[1]], out),
        _ => add_all(matrices, weights, i, heads, out),
    })
}

/// Two rows, the case that matters most, without a branch on which of them comes next.
fn add_two(a: (&[i32], &[f64]), b: (&[i32], &[f64]), [wa, wb]: [f64; 2], out: &mut Rows) {
    let (mut x, mut y, mut n) = (0, 0, 0);
    let (cols, values) = out.space(a.0.len() + b.0.len());
    while x < a.0.len() && y < b.0.len() {
        let (ja, jb) = (a.0[x], b.0[y]);
        let (from_a, from_b) = (wa * a.1[x], wb * b.1[y]);
        cols[n] = ja.min(jb);
        values[n] = if ja <= jb { from_a } else { 0.0 } + if jb <= ja { from_b } else { 0.0 };
        x += usize::from(ja <= jb);
        y += usize::from(jb <= ja);
        n += 1;
    }
    for (rest, weight) in [((&a.0[x..], &a.1[x..]), wa), ((&b.0[y..], &b.1[y..]), wb)] {
        for (&col, value) in rest.0.iter().zip(rest.1) {
            cols[n] = col;
            values[n] = weight * value;
            n += 1;
        }
    }
    out.close(n);
}

/// Any number of rows: the smallest column among the heads goes next.
fn add_all(matrices: &[Csr<'_>], weights: &[f64], i: usize, heads: &mut [usize], out: &mut Rows) {
    heads.fill(0);
    let (cols, values) = out.space(matrices.iter().map(|m| m.cols(i).len()).sum());
    let mut n = 0;
    loop {
        let next = matrices.iter().zip(&*heads).filter_map(|(m, &at)| m.cols(i).get(at)).min();
        let Some(&col) = next else { break };
        let mut value = 0.0;
        for ((m, at), weight) in matrices.iter().zip(heads.iter_mut()).zip(weights) {
            let (cols, values) = m.row(i);
            if cols.get(*at) == Some(&col) {
                value += weight * values[*at];
                *at += 1;
            }
        }
        cols[n] = col;
        values[n] = value;
        n += 1;
    }
    out.close(n);
}

/// The element-wise product of all matrices, rows divided by their sum.
///
/// An entry is stored where it is stored in every matrix and the product is not zero.
///
/// # Errors
/// [`Error::Parameter`] without matrices, [`Error::Shape`] when shapes differ, [`Error::Negative`] for a
/// negative product, [`Error::ZeroRows`] for rows in which the matrices have no entry in common,
/// [`Error::NotFinite`] when a product overflows, [`Error::Cancelled`].
pub fn elementwise_product(matrices: &[Csr<'_>], run: &Run) -> Result<Csr<'static>> {
    let room = matrices.iter().map(Csr::nnz).min().unwrap_or(0);
    let product = combine(matrices, room, run, |i, heads, out| multiply(matrices, i, heads, out))?;
    let values = row_normalize(&product)?;
    let n_cols = product.n_cols();
    let (indptr, indices, _) = product.into_parts();
    Ok(Csr::from_parts(n_cols, indptr, indices, values))
}

fn multiply(matrices: &[Csr<'_>], i: usize, heads: &mut [usize], out: &mut Rows) {
    let [first, others @ ..] = matrices else { return };
    heads.fill(0);
    let (cols, values) = first.row(i);
    let (out_cols, out_values) = out.space(cols.len());
    let mut n = 0;
    'entries: for (&col, &value) in cols.iter().zip(values) {
        let mut product = value;
        for (m, at) in others.iter().zip(heads.iter_mut()) {
            let (cols, values) = m.row(i);
            while cols.get(*at).is_some_and(|&c| c < col) {
                *at += 1;
            }
            match cols.get(*at) {
                Some(&c) if c == col => product *= values[*at],
                Some(_) => continue 'entries,
                None => break 'entries,
            }
        }
        out_cols[n] = col;
        out_values[n] = product;
        n += usize::from(product != 0.0);
    }
    out.close(n);
}

/// Makes a matrix whose row `i` is what `row(i, heads, out)` writes; `heads` is scratch, one per matrix.
fn combine(
    matrices: &[Csr<'_>],
    room: usize,
    run: &Run,
    row: impl Fn(usize, &mut [usize], &mut Rows) + Sync + Send,
) -> Result<Csr<'static>> {
    let [first, others @ ..] = matrices else {
        return Err(Error::parameter("matrices", "at least one matrix", "none"));
    };
    let (n_rows, n_cols) = (first.n_rows(), first.n_cols());
    for m in others {
        if (m.n_rows(), m.n_cols()) != (n_rows, n_cols) {
            let found = format!("({}, {})", m.n_rows(), m.n_cols());
            return Err(Error::shape("all matrices", format!("shape ({n_rows}, {n_cols})"), found));
        }
    }
    let heads = || vec![0; matrices.len()];
    let out = assemble((n_rows, n_cols), room, run, heads, |heads, i, out| {
        row(i, heads, out);
        Ok(())
    })?;
    // Finite factors may still overflow; every `Csr` promises finite values.
    match (0..n_rows).find(|&i| out.row(i).1.iter().any(|v| !v.is_finite())) {
        Some(row) => Err(Error::NotFinite { what: "the combination of the matrices".into(), row }),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [[1, 0, 3], [0, 0, 0]]
    fn a() -> Csr<'static> {
        Csr::new(3, vec![0, 2, 2], vec![0, 2], vec![1.0, 3.0]).unwrap()
    }

    /// [[0, 2, 4], [5, 0, 0]]
    fn b() -> Csr<'static> {
        Csr::new(3, vec![0, 2, 3], vec![1, 2, 0], vec![2.0, 4.0, 5.0][..].to_vec()).unwrap()
    }

    /// 2 a + 10 b = [[2, 20, 46], [50, 0, 0]]
    #[test]
    fn two_matrices_are_added_with_their_weights() {
        let sum = weighted_sum(&[a(), b()], &[2.0, 10.0], &Run::new(2)).unwrap();
        assert_eq!(sum.into_parts(), (vec![0, 3, 4], vec![0, 1, 2, 0], vec![2.0, 20.0, 46.0, 50.0]));
    }

    /// a + b + a = [[2, 2, 10], [5, 0, 0]]
    #[test]
    fn three_matrices_are_added_in_order() {
        let sum = weighted_sum(&[a(), b(), a()], &[1.0; 3], &Run::new(1)).unwrap();
        assert_eq!(sum.into_parts(), (vec![0, 3, 4], vec![0, 1, 2, 0], vec![2.0, 2.0, 10.0, 5.0]));
        assert_eq!(weighted_sum(&[b()], &[1.0], &Run::new(1)).unwrap(), b());
    }

    #[test]
    fn a_sum_keeps_zeros_that_arithmetic_gives() {
        let sum = weighted_sum(&[a(), a()], &[1.0, -1.0], &Run::new(1)).unwrap();
        assert_eq!(sum.into_parts(), (vec![0, 2, 2], vec![0, 2], vec![0.0, 0.0]));
    }

    /// [[1, 2], [1, 1]] * [[3, 1], [0, 4]] = [[3, 2], [0, 4]], rows divided by 5 and 4.
    #[test]
    fn a_product_is_normalised_and_its_zeros_are_dropped() {
        let x = Csr::new(2, vec![0, 2, 4], vec![0, 1, 0, 1], vec![1.0, 2.0, 1.0, 1.0]).unwrap();
        let y = Csr::new(2, vec![0, 2, 4], vec![0, 1, 0, 1], vec![3.0, 1.0, 0.0, 4.0]).unwrap();
        let product = elementwise_product(&[x, y], &Run::new(2)).unwrap();
        let (indptr, indices, data) = product.into_parts();
        assert_eq!((indptr, indices), (vec![0, 2, 3], vec![0, 1, 1]));
        for (found, expected) in data.iter().zip([0.6, 0.4, 1.0]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn rows_without_a_common_entry_are_named() {
        let out = elementwise_product(&[a(), b()], &Run::new(1));
        assert_eq!(out, Err(Error::ZeroRows { rows: vec![1] }));
    }

    #[test]
    fn nothing_different_shapes_and_bad_weights_are_refused() {
        let run = Run::new(1);
        assert!(matches!(weighted_sum(&[], &[], &run), Err(Error::Parameter { .. })));
        assert!(matches!(elementwise_product(&[], &run), Err(Error::Parameter { .. })));
        assert!(matches!(weighted_sum(&[a(), a().transpose()], &[1.0; 2], &run), Err(Error::Shape { .. })));
        assert!(matches!(weighted_sum(&[a()], &[1.0; 2], &run), Err(Error::Shape { .. })));
        assert!(matches!(weighted_sum(&[a()], &[f64::NAN], &run), Err(Error::Parameter { .. })));
        let huge = Csr::new(1, vec![0, 1], vec![0], vec![1e308]).unwrap();
        assert!(matches!(weighted_sum(&[huge], &[10.0], &run), Err(Error::NotFinite { row: 0, .. })));
    }
}
