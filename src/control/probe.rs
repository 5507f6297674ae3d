//! The decoders of the room on bytes of anybody, for the fuzzer. Knows no meaning.

use super::codec::{decode, encode};
use super::machine::Stored;
use super::message::{
    AskPositions, Iam, Join, Joined, Positions, Proposal, Proposed, RaftAnswer, RaftCall, Who,
};
use super::types::{Entry, LogId, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes the bytes as everything that is stored or sent. What is read must be written so that it
/// reads the same: returns whether that holds.
#[doc(hidden)]
pub fn holds(bytes: &[u8]) -> bool {
    same::<Entry>(bytes)
        && same::<Vote>(bytes)
        && same::<Option<LogId>>(bytes)
        && same::<Stored>(bytes)
        && same::<RaftCall>(bytes)
        && same::<RaftAnswer>(bytes)
        && same::<Proposal>(bytes)
        && same::<Proposed>(bytes)
        && same::<Who>(bytes)
        && same::<Iam>(bytes)
        && same::<Join>(bytes)
        && same::<Joined>(bytes)
        && same::<AskPositions>(bytes)
        && same::<Positions>(bytes)
}

fn same<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(thing) = decode::<T>(bytes) else { return true };
    let Ok(once) = encode(&thing) else { return false };
    decode::<T>(&once).is_ok_and(|again| encode(&again).is_ok_and(|twice| twice == once))
}
