//! From pieces of the log to frames in the lane.

use crate::engine::LogPiece;
use crate::wal::lane::{Lane, LaneError};

/// Puts the frames of a piece into the lane; their bytes.
pub(super) fn put(lane: &mut Lane, piece: &LogPiece) -> Result<u64, LaneError> {
    let mut bytes = 0;
    for frame in 0..piece.frames() {
        let salt = lane.begin_frame(piece.frame_bytes(frame))?;
        let mut done = Ok(());
        piece.seal(frame, salt, |part| {
            if done.is_ok() {
                done = lane.put(part);
            }
        });
        done?;
        bytes += piece.frame_bytes(frame) as u64;
    }
    Ok(bytes)
}
