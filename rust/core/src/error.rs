//! One error type for the whole crate.

/// Everything that can go wrong with user data or a running job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two sizes that must agree do not.
    #[error("expected {what} to have {expected}, found {found}")]
    Shape {
        /// What was looked at.
        what: String,
        /// The size it must have.
        expected: String,
        /// The size it has.
        found: String,
    },
    /// The arrays of a compressed-row matrix contradict each other.
    #[error("malformed CSR matrix: {0}")]
    Structure(String),
    /// NaN or infinity where a finite number is needed.
    #[error("{what} is not finite in row {row}")]
    NotFinite {
        /// What was looked at.
        what: String,
        /// First row with such a value.
        row: usize,
    },
    /// A negative weight or probability.
    #[error("Unable to normalize matrix with negative values. First found in row {row}")]
    Negative {
        /// First row with such a value.
        row: usize,
    },
    /// Rows that sum to zero, so that no probability can be formed.
    #[error("{} row(s) sum to zero, the first is {}; a cell without neighbors can not be normalized", rows.len(), rows.first().copied().unwrap_or(0))]
    ZeroRows {
        /// The rows, in increasing order; never empty.
        rows: Vec<usize>,
    },
    /// Rows that do not sum to one.
    #[error("Transition matrix is not row-stochastic. Row {row} sums to {sum}")]
    NotStochastic {
        /// First such row.
        row: usize,
        /// Its sum.
        sum: f64,
    },
    /// A parameter outside its range.
    #[error("expected `{name}` to be {expected}, found {found}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Its range in words.
        expected: String,
        /// Its value.
        found: String,
    },
    /// An iteration that ran out of steps before its residual was small enough.
    #[error("{what} did not converge after {iterations} iterations: residual {residual:.1e}, expected at most {tol:.1e}; {remedy}")]
    NotConverged {
        /// What was computed.
        what: &'static str,
        /// Steps that were made.
        iterations: usize,
        /// The residual that was reached.
        residual: f64,
        /// The residual that was asked for.
        tol: f64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// No state is a target.
    #[error("expected at least one target state, found none; a chain without targets is never absorbed")]
    NoTarget,
    /// States from which no path leads to a target, so that their fate is not defined.
    #[error("{} state(s) can not reach any target, the first is {}; they lie in components of the chain without a target: add a target there or remove them", rows.len(), rows.first().copied().unwrap_or(0))]
    Unreachable {
        /// The states, in increasing order; never empty.
        rows: Vec<usize>,
    },
    /// Linear systems that no method solved to the accuracy that is promised.
    #[error("{systems} linear system(s) did not converge in {iterations} iterations, the largest relative residual reached is {residual:e}; raise `tol`, or try solver='direct'")]
    Unsolved {
        /// Largest residual reached, relative to the right-hand side.
        residual: f64,
        /// How many systems are affected.
        systems: usize,
        /// Iterations taken.
        iterations: usize,
    },
    /// A chain too large to be factorised completely.
    #[error("complete factors of {states} states would not fit in memory, at most {limit} are supported; use an iterative solver")]
    TooLarge {
        /// Number of transient states.
        states: usize,
        /// The largest number that is tried.
        limit: usize,
    },
    /// The caller raised the cancel flag.
    #[error("the job was cancelled")]
    Cancelled,
    /// The operating system refused to start threads.
    #[error("could not start {threads} worker threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The operating system's words.
        reason: String,
    },
}

impl Error {
    /// A [`Error::Shape`] from anything that prints.
    pub fn shape(what: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Shape { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }

    /// A [`Error::Parameter`] from anything that prints.
    pub fn parameter(name: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Parameter { name, expected: expected.to_string(), found: found.to_string() }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
