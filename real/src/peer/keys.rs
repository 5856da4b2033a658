//! What a side shows its peer, and by what it knows it.

use colo_protocol::NodeName;
use std::path::Path;
use thiserror::Error;

/// A side's keys. There are none yet.
#[derive(Debug)]
pub enum Keys {}

/// Keys that cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// Nothing can be done with keys yet.
    #[error("keys cannot be read yet")]
    NotYet,
}

impl Keys {
    /// Reads a side's keys from a directory that `colo ctl keys` has made.
    pub fn load(_directory: &Path, _side: NodeName) -> Result<Self, KeysError> {
        Err(KeysError::NotYet)
    }
}
