//! RESP2, RESP3 and inline text as bytes: decoding commands, encoding answers. Pure codec.
