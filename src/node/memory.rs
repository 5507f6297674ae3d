//! A thread that makes memory resident before a worker needs it. Serves nobody, so it may wait for
//! the machine.

use crate::engine::Engine;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The thread, until this is dropped.
pub(super) struct Preparer {
    thread: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
}

impl Preparer {
    /// Starts it. The engine wakes it when there is something to do.
    pub(super) fn start(engine: &Arc<Engine>) -> io::Result<Preparer> {
        let ending = Arc::new(AtomicBool::new(false));
        let (its_engine, is_ending) = (engine.clone(), ending.clone());
        let thread = thread::Builder::new().name("memory".into()).spawn(move || {
            while !is_ending.load(Ordering::Acquire) {
                if !its_engine.prepare() {
                    thread::park();
                }
            }
        })?;
        let handle = thread.thread().clone();
        engine.on_need(move || handle.unpark());
        // It may have stopped before the engine knew whom to wake.
        thread.thread().unpark();
        Ok(Preparer { thread: Some(thread), ending })
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Had it panicked, nothing would be lost but time.
            let _ = thread.join();
        }
    }
}
