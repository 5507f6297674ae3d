//! What many nodes agree on: slots, topology, records. Pure: knows no socket, clock, thread or chance.

pub mod slot;
