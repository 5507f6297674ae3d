//! The log's thread with an engine before it: who waits for records that are not to come any more.

use cluster::record::{Epoch, GroupTime, Seq};
use cluster::slot::Group;
use crabcache::command::{Time, Value};
use crabcache::config::{Wal, WalPolicy};
use crabcache::engine::{Engine, EngineOptions};
use crabcache::wal::collect::Collector;
use crabcache::wal::files::SystemFiles;
use crabcache::wal::lane::{Lane, LaneOptions};
use crabcache::wal::log::{Hooks, Log};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NOW: Time = Time(1_700_000_000_000);

#[test]
fn nobody_waits_for_records_of_a_log_that_has_begun_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let (folder, segment_bytes) = (dir.path().join("wal"), 1 << 20);
    let options = LaneOptions { folder, first_number: 1, segment_bytes, fill: true };
    let files = Arc::new(SystemFiles);
    let lane = Lane::open(files, options, Box::new(|| 7), Box::new(|| NOW.0)).expect("a lane");
    let engine = Arc::new(Engine::new(&EngineOptions::default()));
    engine.open_log();
    let wal = Wal { policy: WalPolicy::Sync, ..Wal::default() };
    let log = Arc::new(Log::new(engine.clone(), wal));
    let hooks = Hooks {
        on_state: Box::new(|_| {}),
        want_snapshot: Box::new(|| {}),
        last_snapshot_ms: None,
    };
    let thread = log.start(lane, Collector::default(), hooks).expect("a thread");

    let key = engine.key(b"key");
    let group = key.group();
    engine.become_primary(group, Epoch(1), NOW);
    for _ in 0..9 {
        let mut shard = engine.lock(engine.shard_of(&key));
        assert_eq!(shard.store().set(&key, Value::Slice(b"value"), None, NOW), Ok(()));
    }
    let (epoch, seq, _) = engine.log_position(group);
    let waits = |groups: Vec<(Group, Epoch, Seq)>| {
        let (log, (tell, told)) = (log.clone(), mpsc::channel());
        std::thread::spawn(move || tell.send(log.settle(&groups).is_ok()));
        told.recv_timeout(Duration::from_secs(60))
    };
    assert_eq!(waits(vec![(group, epoch, seq)]), Ok(true));
    // All copies were lost, the group began anew elsewhere, and a copy of that comes.
    engine.begin_copy(group);
    engine.end_copy(group, Epoch(2), Seq(1), GroupTime(NOW.0));
    assert!(engine.log_position(group).1 < seq);
    assert_eq!(waits(vec![(group, epoch, seq)]), Ok(true), "it waits for ever");
    // Answers that depend on it never go.
    assert!(log.is_gone(group, seq) && !log.is_durable(group, seq));
    assert!(!log.is_gone(group, Seq(1)) && log.is_durable(group, Seq(1)));
    assert_eq!(waits(vec![(group, Epoch(2), Seq(1))]), Ok(true));
    log.end();
    thread.join().expect("the thread ends");
}
