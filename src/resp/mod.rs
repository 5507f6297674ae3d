//! RESP2, RESP3 and inline text as bytes: decoding commands, encoding answers. Pure codec: it knows
//! neither sockets nor what a command means.

mod decode;
mod encode;
mod error;
mod inline;
mod length;
mod output;
mod values;

pub use decode::{DecodeLimits, Decoder, Step};
pub use encode::{Encoder, Version};
pub use error::ProtocolError;
pub use output::{Mark, Output};
pub use values::{number, value_end};
