//! How a long job is run: on how many threads, whether it was cancelled, how far it is.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Threads, cancel flag and progress of one job. Cheap to make, one per call.
#[derive(Debug)]
pub struct Run {
    threads: usize,
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Default for Run {
    /// One thread, nobody watching.
    fn default() -> Self {
        Self::new(1)
    }
}

impl Run {
    /// More threads than this are not started, whatever is asked for; the result is the same.
    pub const MAX_THREADS: usize = 256;

    /// A job on `threads` threads; 0 counts as 1.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads: threads.clamp(1, Self::MAX_THREADS),
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Number of threads the job may use.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Asks the job to stop; it returns [`Error::Cancelled`] at its next step.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// `(steps done, steps in all)`; the second is 0 while it is not known.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Relaxed), self.total.load(Relaxed))
    }

    /// Adds `steps` to what the job announces as its length.
    pub fn expect_steps(&self, steps: usize) {
        self.total.fetch_add(steps as u64, Relaxed);
    }

    /// Reports `steps` as done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once [`Run::cancel`] was called.
    pub fn tick(&self, steps: usize) -> Result<()> {
        self.done.fetch_add(steps as u64, Relaxed);
        if self.cancelled.load(Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Runs `f` inside this job's thread pool, so that rayon's iterators in it use `threads` threads.
    ///
    /// # Errors
    /// [`Error::Threads`] when the pool can not be started, else whatever `f` returns.
    pub fn install<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        pool(self.threads)?.install(f)
    }

    /// Does two things side by side if there are two threads.
    ///
    /// # Errors
    /// [`Error::Threads`] when the pool can not be started.
    pub fn both<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> Result<(A, B)> {
        if self.threads == 1 {
            return Ok((a(), b()));
        }
        self.install(|| Ok(rayon::join(a, b)))
    }

    /// Works through `0..n` in blocks of `block` items.
    ///
    /// `work` computes a block into its thread's scratch (made by `init`), `store` takes the finished
    /// scratch; `store` is called for one block at a time, in no fixed order, so it must write to a
    /// place that depends on the block alone. Then the outcome does not depend on the thread count.
    ///
    /// # Errors
    /// The first error of `work`, or [`Error::Cancelled`].
    pub fn blocks<S: Send>(
        &self,
        n: usize,
        block: usize,
        init: impl Fn() -> S + Send + Sync,
        work: impl Fn(&mut S, Range<usize>) -> Result<()> + Send + Sync,
        store: impl FnMut(&mut S, Range<usize>) + Send,
    ) -> Result<()> {
        let block = block.max(1);
        let store = Mutex::new(store);
        let one = |scratch: &mut S, b: usize| {
            let range = b * block..((b + 1) * block).min(n);
            self.tick(0)?;
            work(scratch, range.clone())?;
            // A poisoned lock means that another block panicked; that panic is already on its way up.
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store(scratch, range.clone());
            drop(store);
            self.tick(range.len())
        };
        let n_blocks = n.div_ceil(block);
        if self.threads == 1 {
            let mut scratch = init();
            return (0..n_blocks).try_for_each(|b| one(&mut scratch, b));
        }
        // Blocks are handed out one after the other, so that threads work near one another and find in the
        // shared cache what the others have read.
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut scratch = init();
            loop {
                let b = next.fetch_add(1, Relaxed);
                if b >= n_blocks {
                    return Ok(());
                }
                if let Err(error) = one(&mut scratch, b) {
                    next.store(n_blocks, Relaxed); // nothing new is begun
                    return Err(error);
                }
            }
        };
        self.install(|| rayon::broadcast(|_| worker()).into_iter().collect())
    }

    /// Works through `items`, each of which holds the place that its outcome goes to, so that threads never
    /// wait for one another. `size` is how many steps an item counts.
    ///
    /// # Errors
    /// The first error of `work`, or [`Error::Cancelled`].
    pub fn each<T: Send>(
        &self,
        items: Vec<T>,
        size: impl Fn(&T) -> usize + Send + Sync,
        work: impl Fn(T) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let one = |item: T| {
            self.tick(0)?;
            let steps = size(&item);
            work(item)?;
            self.tick(steps)
        };
        if self.threads == 1 {
            return items.into_iter().try_for_each(one);
        }
        self.install(|| items.into_par_iter().try_for_each(one))
    }
}

type Pools = Mutex<HashMap<(usize, u32), Arc<ThreadPool>>>;

/// The pool of `threads` threads of this process.
///
/// The process id is part of the key: the threads of a pool do not survive a fork, and a forked
/// worker that used its parent's pool would wait for ever.
fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    static POOLS: LazyLock<Pools> = LazyLock::new(Pools::default);
    let key = (threads, std::process::id());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&key) {
        return Ok(Arc::clone(pool));
    }
    let built = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("ferrocyte-{i}"))
        .build()
        .map_err(|e| Error::Threads { threads, reason: e.to_string() })?;
    let built = Arc::new(built);
    pools.insert(key, Arc::clone(&built));
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(threads: usize) -> Vec<usize> {
        let mut out = vec![0; 1003];
        let run = Run::new(threads);
        run.blocks(
            out.len(),
            10,
            Vec::new,
            |scratch: &mut Vec<usize>, range| {
                scratch.clear();
                scratch.extend(range.map(|i| i * i));
                Ok(())
            },
            |scratch, range| out[range].copy_from_slice(scratch),
        )
        .unwrap();
        assert_eq!(run.progress().0, 1003);
        out
    }

    #[test]
    fn blocks_cover_everything_once_on_any_number_of_threads() {
        let expected: Vec<usize> = (0..1003).map(|i| i * i).collect();
        for threads in [1, 2, 5] {
            assert_eq!(squares(threads), expected);
        }
    }

    #[test]
    fn each_item_is_done_once_on_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let mut out = vec![0; 103];
            let run = Run::new(threads);
            let items: Vec<_> = out.chunks_mut(10).enumerate().collect();
            run.each(
                items,
                |(_, chunk)| chunk.len(),
                |(k, chunk)| {
                    chunk.iter_mut().for_each(|x| *x += k);
                    Ok(())
                },
            )
            .unwrap();
            assert!(out.iter().enumerate().all(|(i, &x)| x == i / 10));
            assert_eq!(run.progress().0, 103);
        }
    }

    #[test]
    fn the_error_of_a_block_ends_the_run() {
        for threads in [1, 3] {
            let work = |(): &mut (), range: Range<usize>| {
                if range.start == 4 {
                    return Err(Error::ZeroRows { rows: vec![4] });
                }
                Ok(())
            };
            let result = Run::new(threads).blocks(1000, 1, || (), work, |(), _| {});
            assert_eq!(result, Err(Error::ZeroRows { rows: vec![4] }));
        }
    }

    #[test]
    fn a_cancelled_run_stops_before_the_next_block() {
        let run = Run::new(2);
        run.cancel();
        let result = run.blocks(10, 1, || (), |(), _| Ok(()), |(), _| panic!("stored after cancel"));
        assert_eq!(result, Err(Error::Cancelled));
    }
}
