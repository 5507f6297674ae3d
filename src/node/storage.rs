//! What a node keeps on disk, put together: the folder and who owns it, recovery, the log's thread.
//! Cold; the parts are in the room `wal`.

use super::NodeError;
use crate::clock;
use crate::config::{Config, OnError, WalPolicy};
use crate::engine::Engine;
use crate::limits;
use crate::wal::files::SystemFiles;
use crate::wal::lane::{Lane, LaneOptions};
use crate::wal::log::{Log, LogState};
use crate::worker::Shared;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The folder of a node's data, owned as long as this lives.
pub(super) struct Storage {
    folder: PathBuf,
    _owned: File,
}

/// The log's thread.
pub(super) struct Running {
    log: Arc<Log>,
    thread: JoinHandle<()>,
}

impl Storage {
    /// Makes the folder if need be and takes hold of it; `None` when data lives in memory only.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to a running node.
    pub(super) fn open(config: &Config) -> Result<Option<Storage>, NodeError> {
        let folder = config.data.dir.clone();
        if folder.as_os_str().is_empty() {
            return Ok(None);
        }
        let refused = |reason: String| NodeError::Data(folder.clone(), reason);
        fs::create_dir_all(folder.join("wal")).map_err(|e| refused(e.to_string()))?;
        let path = folder.join("LOCK");
        let owned = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let owned = owned.map_err(|e| refused(e.to_string()))?;
        // SAFETY: a descriptor of our own.
        if unsafe { libc::flock(owned.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(refused("another node is running on it".into()));
        }
        Ok(Some(Storage { folder, _owned: owned }))
    }

    /// Gets the data back, then lets the log begin.
    ///
    /// # Errors
    /// When the data on disk cannot be trusted, or the log cannot be written.
    pub(super) fn start(
        &self,
        config: &Config,
        shared: &Arc<Shared>,
        end: impl Fn() + Send + Sync + 'static,
    ) -> Result<Option<Running>, NodeError> {
        let engine = &shared.engine;
        let refused = |reason: String| NodeError::Data(self.folder.clone(), reason);
        let next = recover(engine, &self.folder).map_err(refused)?;
        let Some(log) = shared.log.clone().filter(|_| config.wal.policy != WalPolicy::None) else {
            engine.count_only();
            return Ok(None);
        };
        let options = LaneOptions {
            folder: self.folder.join("wal"),
            first_number: next,
            segment_bytes: config.wal.segment_bytes,
        };
        let salts = Box::new(|| clock::random_u64() as u32);
        let now = Box::new(|| clock::now().0);
        let lane = Lane::open(Arc::new(SystemFiles), options, salts, now)
            .map_err(|error| refused(error.to_string()))?;
        let (told, on_error) = (Arc::downgrade(shared), config.wal.on_error);
        let on_state = Box::new(move |state: &LogState| {
            let Some(shared) = told.upgrade() else { return };
            let failing = matches!(state, LogState::Failing(_));
            shared.notice.set_refusing(failing);
            if failing && on_error == OnError::Stop {
                tracing::error!("stopping: wal.on_error = \"stop\"");
                end();
            }
        });
        let thread = log.start(lane, on_state)?;
        Ok(Some(Running { log, thread }))
    }
}

impl Running {
    /// Writes what there is, syncs it, ends the thread. Whether all of it is on disk.
    pub(super) fn stop(self) -> bool {
        self.log.end();
        let ended = self.thread.join().is_ok();
        ended && self.log.state() == LogState::Well
    }
}

fn recover(_engine: &Engine, folder: &std::path::Path) -> Result<u64, String> {
    let mut next = 1;
    for e in fs::read_dir(folder.join("wal")).map_err(|e| e.to_string())?.flatten() {
        let n = e.file_name().to_string_lossy().split('.').next().and_then(|d| d.parse::<u64>().ok());
        next = next.max(n.unwrap_or(0) + 1);
    }
    Ok(next)
}
