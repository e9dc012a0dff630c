//! From the core's errors to the package's exceptions: one match, in one place.

use ferrocyte_core::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

mod python {
    pyo3::import_exception!(ferrocyte._errors, ConvergenceError);
    pyo3::import_exception!(ferrocyte._errors, InvalidDataError);
    pyo3::import_exception!(ferrocyte._errors, InvalidOptionError);
}

pub use python::InvalidDataError;

/// The Python exception for `error`; rows it names are kept in its attribute `cells`.
pub fn to_py(py: Python<'_>, error: Error) -> PyErr {
    let message = sentence(&error.to_string());
    let cells = match &error {
        Error::NotFinite { row, .. } | Error::Negative { row } | Error::NotStochastic { row, .. } => {
            vec![*row]
        }
        Error::ZeroRows { rows } | Error::Unreachable { rows } => rows.clone(),
        _ => Vec::new(),
    };
    match error {
        Error::Cancelled => PyKeyboardInterrupt::new_err(message),
        Error::Threads { .. } => PyRuntimeError::new_err(message),
        Error::NotConverged { .. } | Error::Unsolved { .. } | Error::TooLarge { .. } => {
            python::ConvergenceError::new_err(message)
        }
        Error::Parameter { .. } => python::InvalidOptionError::new_err(message),
        _ => {
            let err = InvalidDataError::new_err(message);
            // The exception is ours and has a dict, so setting an attribute can not fail for good reason.
            match err.value(py).setattr("cells", cells) {
                Ok(()) => err,
                Err(unexpected) => unexpected,
            }
        }
    }
}

/// The message with a capital letter first: in Rust errors are phrases, in Python sentences.
fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
