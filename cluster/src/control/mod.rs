//! The control plane as a value: commands in, state out, and what should be proposed next. Knows
//! neither Raft, which orders the commands, nor how anybody learns who is up.

mod apply;
mod balance;
mod change;
mod command;
mod failover;
mod health;
mod moves;
mod placement;
mod plan;
mod settings;
mod state;
mod voters;

pub use command::{
    Change, ControlCommand, Credential, GroupChange, Outcome, Rejection, Token, TokenHash,
};
pub use failover::positions_wanted;
pub use health::{Health, Position};
pub use placement::{Candidate, place};
pub use plan::plan;
pub use settings::{
    FACTOR_MAX, Join, MOVES_MAX, Replication, Settings, SettingsError, VIRTUAL_NODES_MAX,
};
pub use state::{ControlState, GroupConfig};
pub use voters::wanted_voters;

/// Most nodes a cluster remembers, those that are gone included.
pub const NODES_MAX: usize = 1024;
/// Most one-time tokens that nobody has used yet; the ones that expire first make place.
pub const TOKENS_MAX: usize = 256;
/// Most changes of groups in one command that the planner proposes.
pub const CHANGES_MAX: usize = 256;
/// Most voters.
pub const VOTERS_MAX: usize = 5;
