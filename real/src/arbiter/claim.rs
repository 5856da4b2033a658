//! A claim: which generation of which service, and by whom. And the words in which it is kept, which are read back
//! exactly or not at all.

use colo_protocol::NodeName;
use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, Read};

/// The most characters of a run's name.
const MOST_CHARACTERS: usize = 64;

/// The name of one run of a service. Whoever protects the same service calls it the same; no other run may have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId(String);

impl RunId {
    /// A name: letters, digits, `-` and `_`, so that it can be part of a file's. None if it is anything else.
    pub fn new(name: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=MOST_CHARACTERS).contains(&name.len()) && name.bytes().all(is_plain);
        fits.then(|| Self(name.to_owned()))
    }

    /// A name that nobody else has: 128 bits from the system's source of randomness.
    pub fn drawn() -> io::Result<Self> {
        let mut drawn = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut drawn)?;
        Ok(Self(drawn.iter().fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A claim to serve alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim {
    /// The service.
    pub run: RunId,
    /// Which pair of it, from 0: a survivor and its replacement are the next.
    pub generation: u64,
    /// Which node of that pair.
    pub claimant: NodeName,
}

impl Claim {
    /// What is claimed, as a name that it shares with the peer's claim and with no other.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.run, self.generation)
    }

    /// What is claimed, for a person.
    pub(super) fn what(&self) -> String {
        format!("generation {} of run {}", self.generation, self.run)
    }

    /// The words in which an arbiter keeps it.
    pub(super) fn words(&self) -> String {
        self.words_of(self.claimant)
    }

    /// Who has claimed the same generation in these words. None if they are not all there.
    pub(super) fn holder(&self, words: &[u8]) -> Option<NodeName> {
        NodeName::ALL.into_iter().find(|node| self.words_of(*node).as_bytes() == words)
    }

    fn words_of(&self, node: NodeName) -> String {
        let Self { run, generation, .. } = self;
        format!("colo arbiter 1\nrun {run}\ngeneration {generation}\nclaimant {node}\n")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn claim(claimant: NodeName) -> Claim {
        Claim { run: RunId::new("run").unwrap(), generation: 1, claimant }
    }

    #[test]
    fn a_claim_is_read_back_whole_or_not_at_all() {
        for node in NodeName::ALL {
            let words = claim(node).words();
            assert_eq!(claim(node.peer()).holder(words.as_bytes()), Some(node));
            for length in 0..words.len() {
                assert_eq!(claim(node).holder(&words.as_bytes()[..length]), None);
            }
            assert_eq!(claim(node).holder(format!("{words} ").as_bytes()), None);
        }
    }

    #[test]
    fn a_claim_of_another_generation_or_run_is_none_of_this() {
        let words = claim(NodeName::Primary).words();
        assert_eq!(Claim { generation: 11, ..claim(NodeName::Primary) }.holder(words.as_bytes()), None);
        let run = RunId::new("rum").unwrap();
        assert_eq!(Claim { run, ..claim(NodeName::Primary) }.holder(words.as_bytes()), None);
    }

    #[test]
    fn a_run_is_named_by_what_a_file_can_be() {
        for bad in ["", "a/b", "..", "a b", "\u{e4}", "a\n", &"x".repeat(65)] {
            assert_eq!(RunId::new(bad), None, "{bad:?}");
        }
        let [one, other] = [RunId::drawn().unwrap(), RunId::drawn().unwrap()];
        assert!(one != other && RunId::new(&one.to_string()) == Some(one));
    }
}
