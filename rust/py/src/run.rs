//! The one door to long work.

use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

use ferrocyte_core::run::Run;
use ferrocyte_core::Result;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::to_py;

/// How often a waiting call looks for Ctrl-C and reports progress.
const POLL: Duration = Duration::from_millis(50);

/// Runs `job` on a worker thread, detached from the interpreter, and waits for it.
///
/// Every 50 ms the caller's thread checks for signals and calls `progress(done, total)`. When a signal
/// handler or the callback raises, the job is told to stop, is waited for, and the exception is raised:
/// nothing runs on behind the caller's back.
pub fn run_job<T: Send>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce(&Run) -> Result<T> + Send,
) -> PyResult<T> {
    let run = Run::new(threads);
    let (outcome, interrupt) = py.detach(|| {
        std::thread::scope(|scope| {
            let (finished, wait) = channel::<()>();
            let run = &run;
            let worker = scope.spawn(move || {
                let _finished = finished; // dropped at the end of the job, or when it panics
                job(run)
            });
            let mut interrupt = None;
            while wait.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                if interrupt.is_none() {
                    interrupt = Python::attach(|py| look_up(py, run, progress.as_ref())).err();
                    if interrupt.is_some() {
                        run.cancel();
                    }
                }
            }
            (worker.join(), interrupt)
        })
    });
    if let Some(err) = interrupt {
        return Err(err);
    }
    let out = outcome
        .map_err(|_| PyRuntimeError::new_err("ferrocyte failed inside; please report this with the data"))?
        .map_err(|e| to_py(py, e))?;
    py.check_signals()?;
    look_up(py, &run, progress.as_ref())?;
    Ok(out)
}

fn look_up(py: Python<'_>, run: &Run, progress: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    if let Some(callback) = progress {
        callback.call1(py, run.progress())?;
    }
    Ok(())
}
