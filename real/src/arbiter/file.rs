//! An arbiter on shared storage, as VMware FT has it: a directory in which a file can be made once.
//!
//! A claim is written to a file of its own, whole and on the disk, and then linked to the name of what it claims. A link is
//! made or is not, over NFS as well, and of two only one is made; that its reply is lost makes no difference, because the
//! claim that stands is read back whatever the link came to. It is never written to again, and never removed.

use super::{Arbiter, ArbiterError, Claim, RunId, excerpt};
use colo_protocol::NodeName;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// More than any claim has, bytes.
const MOST_BYTES: u64 = 4096;

/// Claims as files in a directory.
#[derive(Debug)]
pub struct FileArbiter {
    directory: PathBuf,
    /// What makes a file's second name. Tests have one whose replies are lost.
    link: fn(&Path, &Path) -> io::Result<()>,
}

impl FileArbiter {
    /// The arbiter of this directory. Whether it is there is seen when somebody asks.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, link: |from, to| fs::hard_link(from, to) }
    }

    /// Who holds what is claimed, if anybody does.
    fn holder(&self, claim: &Claim, place: &Path) -> Result<Option<NodeName>, ArbiterError> {
        let mut words = Vec::new();
        match File::open(place).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut words)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && self.directory.is_dir() => return Ok(None),
            Err(source) => return Err(storage("read", place, source)),
        }
        let holder = claim.holder(&words).ok_or_else(|| ArbiterError::Unreadable {
            place: place.display().to_string(),
            got: excerpt(&words),
            expected: claim.what(),
        })?;
        Ok(Some(holder))
    }

    /// Makes the claim, if there is none.
    fn make(&self, claim: &Claim, place: &Path) -> Result<(), ArbiterError> {
        let draft = Draft::write(&self.directory, claim)?;
        match (self.link)(&draft.path, place) {
            // There is one: perhaps it is this one, and the reply to the first try was lost.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(|source| storage("link a claim to", place, source)),
        }
    }

    /// Who holds it after a claim was made, as far as is known. Whatever was said of that: what counts is what is there now.
    fn holder_after(
        &self,
        made: Result<(), ArbiterError>,
        claim: &Claim,
        place: &Path,
    ) -> Result<NodeName, ArbiterError> {
        let missing = || made.err().unwrap_or_else(|| storage("find", place, ErrorKind::NotFound.into()));
        self.holder(claim, place)?.ok_or_else(missing)
    }

    /// Until the directory is on the disk the storage may forget the name that has just been made in it.
    fn keep(&self) -> Result<(), ArbiterError> {
        let kept = File::open(&self.directory).and_then(|directory| directory.sync_all());
        kept.map_err(|source| storage("write down", &self.directory, source))
    }
}

impl Arbiter for FileArbiter {
    fn claim(&mut self, claim: &Claim) -> Result<bool, ArbiterError> {
        let place = self.directory.join(format!("{}.claim", claim.name()));
        let holder = match self.holder(claim, &place)? {
            Some(holder) => holder,
            None => self.holder_after(self.make(claim, &place), claim, &place)?,
        };
        // Also of a claim that was there already: who made it may have been cut off before it had done this.
        self.keep()?;
        Ok(holder == claim.claimant)
    }
}

/// A claim in a file of its own, which is gone when this is dropped: what counts is its second name.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(directory: &Path, claim: &Claim) -> Result<Self, ArbiterError> {
        let name = RunId::drawn().map_err(|source| storage("draw a name in", directory, source))?;
        let path = directory.join(format!("{name}.draft"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = file.map_err(|source| storage("create", &path, source))?;
        let draft = Self { path };
        let written = file.write_all(claim.words().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| storage("write", &draft.path, source))?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is left lying about claims nothing.
        let _ = fs::remove_file(&self.path);
    }
}

fn storage(action: &'static str, path: &Path, source: io::Error) -> ArbiterError {
    ArbiterError::Storage { action, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
