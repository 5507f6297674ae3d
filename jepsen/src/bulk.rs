//! Many keys in one go, from their owners: to fill a cluster, and to look at all of it in the end.
//! For times in which nothing else happens.

use crate::Failure;
use crate::clock;
use crate::limits::{ASK_MS_MAX, BATCH_BYTES, BATCH_KEYS, BULK_ROUNDS_MAX, POLL_NS};
use crate::load::{number_in, value_of};
use crate::reply::{Nonsense, Reply, request};
use crate::status::{Asker, Map};
use cluster::slot::Slot;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What was found under a key: a number, nothing, or what nobody wrote.
pub type Found = Result<Option<u64>, Nonsense>;

/// Writes value 0 under each key.
pub fn fill(any: SocketAddr, keys: &[String], value_bytes: usize) -> Result<(), Failure> {
    let batch = BATCH_KEYS.min(BATCH_BYTES / value_bytes.max(1)).max(1);
    let words = |key: &str| {
        let value = value_of(key, 0, value_bytes);
        request(&[b"SET", key.as_bytes(), &value])
    };
    each(any, keys, batch, words, |_, reply| matches!(reply, Reply::Simple(_)))
}

/// Reads each key from its primary; large values one at a time.
pub fn read(any: SocketAddr, keys: &[String], large: bool) -> Result<Vec<Found>, Failure> {
    let batch = if large { 1 } else { BATCH_KEYS };
    let mut all = vec![Ok(None); keys.len()];
    let words = |key: &str| request(&[b"GET", key.as_bytes()]);
    each(any, keys, batch, words, |i, reply| match reply {
        Reply::Bulk(found) => {
            let number = found.as_ref().map(|found| number_in(&keys[i], found));
            all[i] = number.transpose();
            true
        }
        _ => false,
    })?;
    Ok(all)
}

/// Asks about each key until `take` has what it wants.
fn each(
    any: SocketAddr,
    keys: &[String],
    batch: usize,
    words: impl Fn(&str) -> Vec<u8>,
    mut take: impl FnMut(usize, &Reply) -> bool,
) -> Result<(), Failure> {
    let mut left: Vec<usize> = (0..keys.len()).collect();
    let mut wrong = String::new();
    for _ in 0..BULK_ROUNDS_MAX {
        let map = Map::of(any)?;
        let mut owned: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
        let mut again = Vec::new();
        for i in left {
            match map.owner(Slot::of(keys[i].as_bytes()).number()) {
                Some(owner) => owned.entry(owner).or_default().push(i),
                None => again.push(i),
            }
        }
        for (owner, mine) in owned {
            let mut asker = Asker::connect(owner, ASK_MS_MAX)?;
            for batch in mine.chunks(batch) {
                let bytes: Vec<u8> = batch.iter().flat_map(|i| words(&keys[*i])).collect();
                asker.send(&bytes)?;
                for i in batch {
                    let reply = asker.receive()?;
                    if !take(*i, &reply) {
                        wrong = format!("{}: {reply:?}", keys[*i]);
                        again.push(*i);
                    }
                }
            }
        }
        if again.is_empty() {
            return Ok(());
        }
        left = again;
        clock::wait(POLL_NS);
    }
    Err(format!("{} keys cannot be had, such as {wrong}", left.len()))
}
