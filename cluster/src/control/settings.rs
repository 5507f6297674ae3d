//! What holds for the whole cluster: taken from the configuration when it is formed, then changed
//! through Raft only. Knows no file.

use serde::{Deserialize, Serialize};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replication {
    /// After it was executed by the primary.
    Async,
    /// When every member of the in-sync set has it. Reserved: [`Settings::check`] refuses it.
    Sync,
}

/// What a node shows that was not of the cluster and is none of the seeds, to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// Its certificate and a one-time token.
    Token,
    /// Its certificate is enough.
    Certificate,
}

/// What holds for the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// When a write is acknowledged. Fixed at formation.
    pub replication: Replication,
    /// Wanted copies of each group, the primary's included; with fewer nodes, as many as nodes.
    pub factor: u8,
    /// Fewest members of an in-sync set; counts in synchronous mode only.
    pub min_isr: u8,
    /// How long a promise to a primary holds, at who promises.
    pub lease_ms: u32,
    /// Time between two heartbeats.
    pub heartbeat_ms: u32,
    /// A replica silent for this long is no longer in sync.
    pub in_sync_timeout_ms: u32,
    /// A node down for this long is lost: its copies are rebuilt elsewhere.
    pub down_to_lost_ms: u64,
    /// A group whose copies, complete ones and those that fell behind, are all on nodes that are
    /// down is given up after this time.
    pub lost_group_after_ms: u64,
    /// How long a removed node serves as a proxy for the clients it still has.
    pub linger_ms: u64,
    /// Seed of the hash of keys and of the ring. Fixed at formation.
    pub hash_seed: u64,
    /// Points of each node on the ring. Fixed at formation.
    pub virtual_nodes: u16,
    /// Most groups that are moved at a time.
    pub moves_max: u16,
    /// Most bytes a second that a node sends to resync others; 0: no bound.
    pub resync_bytes_per_second: u64,
    /// What a node shows to be let in.
    pub join: Join,
}

/// Why settings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingsError {
    /// Synchronous replication is not there yet.
    Reserved,
    /// One is outside of its bounds.
    Bounds,
    /// One that is fixed at formation differs.
    Fixed,
}

/// Largest replication factor.
pub const FACTOR_MAX: u8 = 8;
/// Most points of a node on the ring.
pub const VIRTUAL_NODES_MAX: u16 = 512;
/// Most groups moved at a time: all of them.
pub const MOVES_MAX: u16 = crate::slot::GROUPS;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            replication: Replication::Async,
            factor: 2,
            min_isr: 1,
            lease_ms: 1000,
            heartbeat_ms: 100,
            in_sync_timeout_ms: 500,
            down_to_lost_ms: 300_000,
            lost_group_after_ms: 30_000,
            linger_ms: 30_000,
            hash_seed: 0,
            virtual_nodes: 8,
            moves_max: 16,
            resync_bytes_per_second: 64 * 1024 * 1024,
            join: Join::Token,
        }
    }
}

impl Settings {
    /// Whether they can hold in a cluster.
    ///
    /// # Errors
    /// When one is out of bounds or reserved.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.replication == Replication::Sync {
            return Err(SettingsError::Reserved);
        }
        let within = (1..=FACTOR_MAX).contains(&self.factor)
            && (1..=self.factor).contains(&self.min_isr)
            && (1..=VIRTUAL_NODES_MAX).contains(&self.virtual_nodes)
            && (1..=MOVES_MAX).contains(&self.moves_max)
            && (10..=60_000).contains(&self.heartbeat_ms)
            && self.lease_ms >= self.heartbeat_ms.saturating_mul(4)
            && self.in_sync_timeout_ms >= self.heartbeat_ms
            && self.down_to_lost_ms >= u64::from(self.lease_ms);
        within.then_some(()).ok_or(SettingsError::Bounds)
    }

    /// Whether these may follow `before` in a cluster that is formed.
    ///
    /// # Errors
    /// As [`Settings::check`], and when one that is fixed differs.
    pub fn check_change(&self, before: &Settings) -> Result<(), SettingsError> {
        self.check()?;
        let same = self.replication == before.replication
            && self.hash_seed == before.hash_seed
            && self.virtual_nodes == before.virtual_nodes;
        same.then_some(()).ok_or(SettingsError::Fixed)
    }

    /// Fewest complete copies that a change may leave: the floor. Asynchronous mode
    /// only keeps the last one: a replica's silence never stops it.
    pub fn floor(&self) -> usize {
        match self.replication {
            Replication::Async => 1,
            Replication::Sync => usize::from(self.min_isr.max(1)),
        }
    }

    /// After how long without a sign a node is taken to be down: four heartbeats.
    pub fn detection_ms(&self) -> u64 {
        u64::from(self.heartbeat_ms) * 4
    }
}
