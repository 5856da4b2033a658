//! What a side shows its peer, and by what it knows it: a certificate of its own with its key, and the certificate of
//! the authority that has signed both sides'.
//!
//! A certificate says which side it is of by its name, so that nobody can play the other. Keys are read and held here,
//! in a harness: a node gets none.

use super::PeerError;
use super::tls::{self, Configs};
use colo_protocol::NodeName;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The most of a file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 18;

/// The name of the file that has the authority's certificate.
pub(super) const AUTHORITY: &str = "ca.pem";

/// The names of the files that have a side's certificate, with what leads from it to the authority's, and its key.
pub(super) fn file_names(side: NodeName) -> [String; 2] {
    [format!("{side}.pem"), format!("{side}.key")]
}

/// The name that a side's certificate is for.
pub(super) fn certificate_name(side: NodeName) -> String {
    format!("{side}.colo")
}

/// A side's keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Which side's.
    side: NodeName,
    configs: Configs,
}

/// Keys that cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A file that is not there, or cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A key that others can read.
    #[error("{}: others than its owner may read it (mode {mode:o}), expected 600; make new keys if any has", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not what it should be.
    #[error("{}: {problem}", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate that the peer would not take.
    #[error("{}: no peer would take this certificate: {why}", path.display())]
    Useless {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Keys of the one side, where it is the other.
    #[error("these are the {keys}'s keys, and this side is the {side}")]
    OtherSide {
        /// Whose they are.
        keys: NodeName,
        /// Which side this is.
        side: NodeName,
    },
    /// A file that is there already.
    #[error("{}: it is there already, and no key is ever written over; take another directory", .0.display())]
    Exists(PathBuf),
    /// New keys cannot be made.
    #[error("no keys can be made: {0}")]
    Making(String),
}

impl Keys {
    /// Reads a side's keys from a directory that `colo ctl keys` has made, or that has files of the same form.
    pub fn load(directory: &Path, side: NodeName) -> Result<Self, KeysError> {
        let [certificate, key] = file_names(side).map(|name| directory.join(name));
        let authority = certificates(&directory.join(AUTHORITY))?;
        let chain = certificates(&certificate)?;
        let key = private_key(&key)?;
        let garbled = |problem: String| KeysError::Garbled { path: certificate.clone(), problem };
        let configs =
            Configs::new(side, &authority, &chain, &key).map_err(|error| garbled(tls::why(&error)))?;
        let useless = |error| KeysError::Useless { path: certificate.clone(), why: tls::why(&error) };
        configs.check_own(side, &chain).map_err(useless)?;
        Ok(Self { side, configs })
    }

    /// Keys that nobody has looked at.
    #[cfg(test)]
    pub(super) const fn unchecked(side: NodeName, configs: Configs) -> Self {
        Self { side, configs }
    }

    /// How to speak with the peer of this side.
    pub(super) fn configs(&self, side: NodeName) -> Result<&Configs, PeerError> {
        if self.side == side {
            Ok(&self.configs)
        } else {
            Err(KeysError::OtherSide { keys: self.side, side }.into())
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, KeysError> {
    let (text, _) = read(path)?;
    let garbled = |problem: String| KeysError::Garbled { path: path.to_owned(), problem };
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| garbled(format!("no certificate in PEM: {error}")))?;
    if found.is_empty() { Err(garbled("no certificate in PEM is in it".to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, KeysError> {
    let (text, mode) = read(path)?;
    if mode & 0o077 != 0 {
        return Err(KeysError::TooOpen { path: path.to_owned(), mode });
    }
    let garbled = |error| KeysError::Garbled {
        path: path.to_owned(),
        problem: format!("no private key in PEM: {error}"),
    };
    PrivateKeyDer::from_pem_slice(&text).map_err(garbled)
}

/// All of a file, and who may do what with it.
fn read(path: &Path) -> Result<(Vec<u8>, u32), KeysError> {
    let unreadable = |source| KeysError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(KeysError::Garbled { path: path.to_owned(), problem });
    }
    Ok((text, mode))
}
