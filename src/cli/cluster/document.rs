//! What nodes answer about their cluster, as values. Knows no wire and no terminal.

use super::call::{CallError, Target};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The answer to CRABCACHE STATUS.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Status {
    /// `None`: there is none yet.
    pub(in crate::cli) cluster: Option<String>,
    pub(in crate::cli) version: u64,
    pub(in crate::cli) asked: Option<u64>,
    pub(in crate::cli) leader: Option<u64>,
    pub(in crate::cli) lease: bool,
    pub(in crate::cli) trouble: Option<String>,
    pub(in crate::cli) replication_factor: u32,
    pub(in crate::cli) nodes: Vec<Node>,
    pub(in crate::cli) gone: Vec<u64>,
    pub(in crate::cli) groups: Groups,
    pub(in crate::cli) moves: Vec<Move>,
}

/// A node of it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Node {
    pub(in crate::cli) id: u64,
    pub(in crate::cli) up: bool,
    pub(in crate::cli) phase: String,
    pub(in crate::cli) zone: String,
    pub(in crate::cli) incarnation: u64,
    pub(in crate::cli) voter: bool,
    pub(in crate::cli) leader: bool,
    pub(in crate::cli) control: String,
    pub(in crate::cli) clients: Vec<Client>,
    pub(in crate::cli) primaries: u32,
    pub(in crate::cli) copies: u32,
    pub(in crate::cli) learners: u32,
    /// How far its copies are behind; not known while it is away, or told by an earlier version.
    pub(in crate::cli) lag: Option<Lag>,
}

/// How far copies are behind.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::cli) struct Lag {
    pub(in crate::cli) records: u64,
    pub(in crate::cli) ms: u64,
}

/// Where clients reach it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Client {
    pub(in crate::cli) address: String,
    pub(in crate::cli) forward: bool,
}

/// How the groups stand.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Groups {
    pub(in crate::cli) total: u32,
    pub(in crate::cli) without_primary: u32,
    pub(in crate::cli) under_replicated: u32,
    pub(in crate::cli) moving: u32,
    pub(in crate::cli) lost: u64,
}

/// A group that is not kept as it should be.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Move {
    pub(in crate::cli) holders: Vec<u64>,
    pub(in crate::cli) target: Vec<u64>,
}

/// The answer to CRABCACHE PLAN.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Plan {
    pub(in crate::cli) groups: u32,
    pub(in crate::cli) copies: u32,
    pub(in crate::cli) handovers: u32,
    pub(in crate::cli) at_a_time: u32,
    pub(in crate::cli) nodes: Vec<Share>,
}

/// What a node should keep, now and then.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Share {
    pub(in crate::cli) id: u64,
    pub(in crate::cli) primaries: [u32; 2],
    pub(in crate::cli) copies: [u32; 2],
}

/// The answer to CRABCACHE SETTINGS.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) settings: BTreeMap<String, String>,
    pub(in crate::cli) fixed: Vec<String>,
}

/// The answer to a wish.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Wished {
    pub(in crate::cli) message: String,
}

impl Status {
    /// Asks for it.
    pub(in crate::cli) fn of(target: &Target) -> Result<Status, CallError> {
        read(&target.ask(&["STATUS"])?)
    }

    /// The node of this number.
    pub(in crate::cli) fn node(&self, id: u64) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether every group is served, and kept as often as it should be.
    pub(in crate::cli) fn is_healthy(&self) -> bool {
        let groups = &self.groups;
        self.cluster.is_some()
            && self.lease
            && groups.without_primary == 0
            && groups.under_replicated == 0
    }
}

impl Node {
    /// Where clients reach it that are told of others.
    pub(in crate::cli) fn address(&self) -> Option<&str> {
        let first = self.clients.iter().find(|client| !client.forward);
        first.map(|client| client.address.as_str())
    }

    /// Groups that it keeps in some way.
    pub(in crate::cli) fn keeps(&self) -> u32 {
        self.copies + self.learners
    }
}

/// What an answer says.
pub(in crate::cli) fn read<T: DeserializeOwned>(text: &str) -> Result<T, CallError> {
    serde_json::from_str(text).map_err(|error| CallError::Nonsense(format!("{error} in {text}")))
}
