//! What many nodes agree on: slots, records, topology, the gate. Pure: knows no socket, clock,
//! thread or chance.

pub mod control;
pub mod gate;
pub mod group_set;
pub mod liveness;
pub mod message;
pub mod node;
pub mod record;
pub mod replication;
pub mod ring;
pub mod routing;
pub mod slot;
pub mod time;
pub mod topology;
