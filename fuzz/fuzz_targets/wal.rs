//! The reader of log files: any bytes behind a good header, as the only file and as one before
//! another, are read without a panic, and no damage turns into a record out of order.

#![no_main]

use cluster::record::{Epoch, GroupTime, Salt, Seq};
use cluster::slot::Group;
use crabcache::wal::recovery::header::{FileHeader, Sort};
use crabcache::wal::recovery::{BadPayload, Target, recover};
use libfuzzer_sys::fuzz_target;
use std::fs;

struct Nobody;

impl Target for Nobody {
    fn apply(&self, _: Group, payload: &[u8], _: GroupTime) -> Result<(), BadPayload> {
        if payload.first() == Some(&0xff) { Err(BadPayload) } else { Ok(()) }
    }

    fn forget(&self, _: Group) {}

    fn set_log(&self, _: Group, _: Epoch, _: Seq, _: GroupTime) {}
}

fuzz_target!(|input: &[u8]| {
    let (Some(salt), Some((&how, body))) = (Salt::new(0x5eed_5a17), input.split_first()) else {
        return;
    };
    let folder = std::env::temp_dir().join(format!("crabcache-fuzz-wal-{}", std::process::id()));
    let wal = folder.join("wal");
    let _ = fs::remove_dir_all(&folder);
    let made = fs::create_dir_all(&wal).and_then(|()| fs::create_dir_all(folder.join("snapshots")));
    assert!(made.is_ok());
    let sort = if how & 1 == 0 { Sort::Segment } else { Sort::Snapshot };
    let mut bytes = FileHeader { salt, number: 1, created_ms: 0 }.bytes(sort);
    bytes.extend_from_slice(body);
    let into = if sort == Sort::Segment { wal.clone() } else { folder.join("snapshots") };
    assert!(fs::write(into.join(sort.name(1)), &bytes).is_ok());
    if how & 2 != 0 {
        let next = FileHeader { salt, number: 2, created_ms: 0 }.bytes(Sort::Segment);
        assert!(fs::write(wal.join(Sort::Segment.name(2)), next).is_ok());
    }
    if let Ok(outcome) = recover(&wal, 1, &Nobody, &|_| ()) {
        assert!(outcome.settle().is_ok());
        let again = recover(&wal, 2, &Nobody, &|_| ());
        assert!(again.is_ok_and(|again| again.applied == outcome.applied && again.cut.is_none()));
    }
});
