//! What many nodes agree on: slots, records, topology, the gate. Pure: knows no socket, clock,
//! thread or chance.

pub mod gate;
pub mod record;
pub mod slot;
pub mod topology;
