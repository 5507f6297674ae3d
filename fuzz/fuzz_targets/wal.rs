//! The readers of log, snapshot and backup files: any bytes behind a good header, and files as a
//! node writes them with a few bytes changed, are read without a panic; no damage turns into a
//! record out of order; a flipped bit of a backup is always noticed, and what is restored from one
//! that is taken is what recovery finds.

#![no_main]

use cluster::record::frame::FrameWriter;
use cluster::record::{Epoch, GroupTime, Header, Kind, Salt, Seq};
use cluster::slot::{Group, Slot};
use crabcache::command::Time;
use crabcache::command::effect::Effect;
use crabcache::wal::backup;
use crabcache::wal::recovery::header::{FileHeader, HEADER_BYTES, Sort};
use crabcache::wal::recovery::repair::{Repair, check, repair};
use crabcache::wal::recovery::recover;
use crabcache::wal::recovery::{BadPayload, Target};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

struct Nobody;

impl Target for Nobody {
    fn apply(&self, _: Group, payload: &[u8], _: GroupTime) -> Result<(), BadPayload> {
        if payload.first() == Some(&0xff) { Err(BadPayload) } else { Ok(()) }
    }

    fn forget(&self, _: Group) {}

    fn set_log(&self, _: Group, _: Epoch, _: Seq, _: GroupTime) {}
}

/// A key of each group.
fn keys() -> &'static Vec<Vec<u8>> {
    static KEYS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = vec![Vec::new(); usize::from(cluster::slot::GROUPS)];
        let mut left = keys.len();
        for number in 0u32.. {
            let key = number.to_string().into_bytes();
            let place = &mut keys[usize::from(Slot::of(&key).group().number())];
            if place.is_empty() {
                *place = key;
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        keys
    })
}

/// Frames one behind the other, as a node writes them.
struct Built {
    bytes: Vec<u8>,
    salt: Salt,
    seqs: Vec<u64>,
}

impl Built {
    fn frame(&mut self, records: &[(Header, Vec<u8>)]) {
        let mut frame = FrameWriter::begin(&mut self.bytes, self.salt);
        for (header, payload) in records {
            assert!(frame.push(*header, &[payload]).is_ok());
        }
        frame.finish();
    }

    fn header(&mut self, kind: Kind, group: u16) -> Header {
        let seq = &mut self.seqs[usize::from(group)];
        *seq += u64::from(kind == Kind::Effects);
        let (seq, time) = (Seq(*seq), GroupTime(1_000_000));
        Header { kind, group: Group::new(group).expect("a group"), epoch: Epoch(1), seq, time }
    }

    fn synced(&mut self, at: u64) {
        let header = Header { seq: Seq(1), epoch: Epoch(0), ..self.header(Kind::Synced, 0) };
        self.frame(&[(header, at.to_le_bytes().to_vec())]);
    }
}

/// An effect on a key of the group, as two bytes say.
fn effect(group: u16, how: u8, size: u8) -> Vec<u8> {
    let key = &keys()[usize::from(group)][..];
    let value = vec![size; usize::from(size)];
    let deadline = (how & 8 != 0).then_some(Time(1_000_000 + u64::from(size)));
    let effect = match how & 7 {
        0..4 => Effect::Set { key, value: &value, deadline },
        4 => Effect::Delete { key },
        5 => Effect::Deadline { key, deadline },
        6 => Effect::ExpireUpTo { up_to: Time(1_000_000 + u64::from(size)) },
        _ => Effect::Flush,
    };
    let mut out = Vec::new();
    effect.encode(&mut out);
    out
}

/// A file of this kind, made as `script` says: three bytes an effect.
fn build(sort: Sort, salt: Salt, script: &[u8]) -> Vec<u8> {
    let bytes = FileHeader { salt, number: 1, created_ms: 0 }.bytes(sort);
    let mut built = Built { bytes, salt, seqs: vec![0; usize::from(cluster::slot::GROUPS)] };
    let mut steps: Vec<(u16, u8, u8)> =
        script.chunks_exact(3).map(|s| (u16::from(s[0]) * 4 % 1024, s[1], s[2])).collect();
    if sort == Sort::Segment {
        for pair in steps.chunks(2) {
            let records: Vec<_> = pair
                .iter()
                .map(|&(group, how, size)| {
                    (built.header(Kind::Effects, group), effect(group, how, size))
                })
                .collect();
            built.frame(&records);
            if pair[0].1 & 16 != 0 {
                built.synced(built.bytes.len() as u64);
            }
        }
        return built.bytes;
    }
    steps.sort_by_key(|step| step.0);
    let mut steps = steps.into_iter().peekable();
    for group in 0..cluster::slot::GROUPS {
        while let Some((_, how, size)) = steps.next_if(|step| step.0 == group) {
            let header = Header { seq: Seq(0), ..built.header(Kind::Effects, group) };
            built.frame(&[(header, effect(group, how, size))]);
            if how == 0xff {
                let header = built.header(Kind::Truncate, group);
                built.frame(&[(header, Vec::new())]);
            }
        }
        let header = built.header(Kind::Base, group);
        built.frame(&[(header, Vec::new())]);
    }
    built.synced(built.bytes.len() as u64);
    built.bytes
}

fn look_at_backup(folder: &Path, bytes: &[u8], flipped: bool) {
    let file = folder.join("copy.backup");
    assert!(fs::write(&file, bytes).is_ok());
    let found = backup::verify(&file, &mut |_| ());
    assert!(!flipped || found.is_err(), "a flipped bit is noticed");
    let Ok(facts) = found else { return };
    let data = folder.join("restored");
    assert!(backup::restore(&file, &data, &mut |_| ()).is_ok_and(|again| again == facts));
    let found = check(&data.join("wal")).expect("what was restored is read");
    assert!(found.is_sound() && found.cut.is_none(), "{found:?}");
    assert_eq!(found.snapshots.len(), 1);
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
    let sort = [Sort::Segment, Sort::Snapshot, Sort::Backup][usize::from(how & 3) % 3];
    let mut flipped = false;
    let mut bytes = if how & 4 == 0 {
        let mut bytes = FileHeader { salt, number: 1, created_ms: 0 }.bytes(sort);
        bytes.extend_from_slice(body);
        bytes
    } else {
        let (mutation, script) = body.split_at(body.len().min(4));
        let mut bytes = build(sort, salt, script);
        if let &[what, a, b, c] = mutation {
            let at = u32::from_le_bytes([a, b, c, 0]) as usize % bytes.len();
            match what % 4 {
                0 => {}
                1 => {
                    bytes[at] ^= 1 << (what >> 4 & 7);
                    flipped = true;
                }
                2 => bytes.truncate(at),
                _ => {
                    let again = bytes[HEADER_BYTES as usize..].to_vec();
                    bytes.extend_from_slice(&again[..at.min(again.len())]);
                }
            }
        }
        bytes
    };
    if sort == Sort::Backup {
        return look_at_backup(&folder, &bytes, flipped);
    }
    if sort == Sort::Segment && how & 16 != 0 {
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    let into = if sort == Sort::Segment { wal.clone() } else { folder.join("snapshots") };
    assert!(fs::write(into.join(sort.name(1)), &bytes).is_ok());
    if how & 8 != 0 {
        let next = FileHeader { salt, number: 2, created_ms: 0 }.bytes(Sort::Segment);
        assert!(fs::write(wal.join(Sort::Segment.name(2)), next).is_ok());
    }
    if let Ok(outcome) = recover(&wal, 1, &Nobody, &|_| ()) {
        assert!(outcome.settle().is_ok());
        let again = recover(&wal, 2, &Nobody, &|_| ());
        assert!(again.is_ok_and(|again| again.applied == outcome.applied && again.cut.is_none()));
    }
    if how & 32 != 0 && repair(&wal, Repair { dry_run: false, force: true }).is_ok() {
        let found = check(&wal).expect("what was repaired is read");
        assert!(found.is_sound(), "{found:?}");
    }
});
