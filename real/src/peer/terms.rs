//! What both sides of a pair have to agree on before either of them speaks COLO.
//!
//! On the wire terms are names with texts, in an order: a side that knows other fields than its peer can still say which
//! of them differs. They are compared, and nothing else is ever made of them.

use super::PeerError;
use crate::vm::Workload;
use colo_protocol::{NodeName, Rules};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What both sides have to agree on, and which of the two this one is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Which side this is; the peer is the other.
    pub side: NodeName,
    /// The variant of the protocol, its dialect with it.
    pub rules: Rules,
    /// Guest memory, MiB.
    pub memory_mib: u64,
    /// What the guest does, and how large its disk is.
    pub workload: Workload,
    /// Who says which side may serve alone, in words that mean the same on both.
    pub arbiter: Option<String>,
}

/// One of a pair's connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Connection {
    /// The link.
    Link,
    /// That of the comparison, where both VMs execute.
    Comparison,
    /// That of the disks, where the machine has one.
    Replication,
}

impl Terms {
    /// Whether the machines have disks.
    pub(super) const fn has_disk(&self) -> bool {
        self.workload.disk_blocks > 0
    }

    /// The connections that a pair of these terms has, the link first.
    pub(super) fn connections(&self) -> Vec<Connection> {
        let comparison = self.rules.is_hybrid().then_some(Connection::Comparison);
        let replication = self.has_disk().then_some(Connection::Replication);
        [Some(Connection::Link), comparison, replication].into_iter().flatten().collect()
    }

    /// What tells images of the guest's program apart. Each side boots its own, and only what has changed since is sent: a pair
    /// whose images differ by a byte, as those of two compilers do, would fail over to a machine that never was.
    fn image(&self) -> u32 {
        crc32fast::hash(self.workload.guest.image())
    }

    /// As they are told to the peer.
    pub(super) fn told(&self) -> Told {
        let mut told = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        append(&mut told, "rules", serde_json::to_value(self.rules).unwrap_or_default());
        append(&mut told, "memory, MiB", self.memory_mib.into());
        append(&mut told, "arbiter", self.arbiter.as_deref().unwrap_or(NOTHING).into());
        append(&mut told, "workload", serde_json::to_value(self.workload).unwrap_or_default());
        append(&mut told, IMAGE, format!("{:08x}", self.image()).into());
        Told(told)
    }
}

/// Appends a value: each field of its own, if it has any.
fn append(told: &mut Vec<(String, String)>, name: &str, value: Value) {
    match value {
        Value::Object(fields) => {
            fields.into_iter().for_each(|(field, value)| append(told, &format!("{name}.{field}"), value));
        }
        Value::String(text) => told.push((name.to_owned(), text)),
        value => told.push((name.to_owned(), value.to_string())),
    }
}

/// Terms as they are told: names and texts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Told(Vec<(String, String)>);

/// The name of what tells images of a program apart.
const IMAGE: &str = "image of the guest, CRC-32";

/// What stands where a side has nothing of a name.
const NOTHING: &str = "nothing";

impl Told {
    /// That these terms are the peer's, too; or the first that is not, in the order in which this side tells them.
    pub(super) fn agree(&self, peer: &Self) -> Result<(), PeerError> {
        let names = self.0.iter().chain(&peer.0).map(|(name, _)| name);
        for name in names {
            let (ours, theirs) = (self.text(name), peer.text(name));
            if ours != theirs {
                return Err(PeerError::differs(name, ours.unwrap_or(NOTHING), theirs.unwrap_or(NOTHING)));
            }
        }
        Ok(())
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.as_str())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::vm::{Divergence, Guest, Network};
    use colo_protocol::{Detection, Dialect};
    use std::net::Ipv4Addr;

    /// Terms of a pair with one connection.
    pub(in crate::peer) fn terms(side: NodeName) -> Terms {
        Terms { side, rules: Rules::V12, memory_mib: 16, workload: Workload::default(), arbiter: None }
    }

    fn difference(ours: &Terms, theirs: &Terms) -> String {
        ours.told().agree(&theirs.told()).unwrap_err().to_string()
    }

    #[test]
    fn a_pair_has_the_connections_that_its_rules_and_its_disk_need() {
        let mut terms = terms(NodeName::Primary);
        assert_eq!(terms.connections(), [Connection::Link]);
        terms.workload.disk_blocks = 1;
        assert_eq!(terms.connections(), [Connection::Link, Connection::Replication]);
        terms.rules = Rules::QEMU;
        let all = [Connection::Link, Connection::Comparison, Connection::Replication];
        assert_eq!(terms.connections(), all);
    }

    #[test]
    fn terms_that_are_the_same_agree_whoever_tells_them() {
        let [ours, theirs] = NodeName::ALL.map(terms);
        assert!(ours.told().agree(&theirs.told()).is_ok());
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let ours = terms(NodeName::Primary);
        let rules = |rules| Terms { rules, ..ours.clone() };
        let workload = |workload| Terms { workload, ..ours.clone() };
        let divergence = Some(Divergence { of: 10, lost: 1, seed: 7 });
        let elsewhere = Network { address: Ipv4Addr::new(10, 66, 0, 3), ..Network::default() };
        let at_another_port = Network { port: 6380, ..Network::default() };
        for (theirs, name, here, there) in [
            (rules(Rules { dialect: Dialect::Current, ..ours.rules }), "rules.dialect", "v12", "current"),
            (
                rules(Rules { detection: Detection::Timeout, ..ours.rules }),
                "rules.detection",
                "external",
                "timeout",
            ),
            (rules(Rules { checkpoint_delay_ms: 7, ..ours.rules }), "rules.checkpoint_delay_ms", "200", "7"),
            (Terms { arbiter: Some("file".to_owned()), ..ours.clone() }, "arbiter", "nothing", "file"),
            (Terms { memory_mib: 32, ..ours.clone() }, "memory, MiB", "16", "32"),
            (workload(Workload { disk_blocks: 9, ..ours.workload }), "workload.disk_blocks", "0", "9"),
            (workload(Workload { guest: Guest::Mixed, ..ours.workload }), "workload.guest", "Kv", "Mixed"),
            (
                workload(Workload { network: elsewhere, ..ours.workload }),
                "workload.network.address",
                "10.66.0.2",
                "10.66.0.3",
            ),
            (
                workload(Workload { network: at_another_port, ..ours.workload }),
                "workload.network.port",
                "6379",
                "6380",
            ),
            (workload(Workload { divergence, ..ours.workload }), "workload.divergence", "null", "nothing"),
        ] {
            let said =
                |name, here, there| format!("{name} differs: this side has {here:?}, the peer has {there:?}");
            assert_eq!(difference(&ours, &theirs), said(name, here, there));
            if there != NOTHING {
                assert_eq!(difference(&theirs, &ours), said(name, there, here));
            }
        }
    }

    #[test]
    fn sides_that_boot_other_programs_do_not_agree_whatever_these_are_called() {
        let ours = terms(NodeName::Primary).told();
        let mut theirs = ours.clone();
        let image = theirs.0.iter_mut().find(|(name, _)| name == IMAGE).unwrap();
        assert_eq!(image.1, format!("{:08x}", crc32fast::hash(Guest::Kv.image())));
        "0badc0de".clone_into(&mut image.1);
        let error = ours.agree(&theirs).unwrap_err().to_string();
        assert!(error.contains(IMAGE) && error.ends_with("the peer has \"0badc0de\""), "{error}");
    }

    #[test]
    fn a_term_that_only_one_side_knows_differs_on_both() {
        let ours = terms(NodeName::Primary).told();
        let mut newer = ours.clone();
        newer.0.push(("rules.novelty".to_owned(), "new".to_owned()));
        let said = |error: PeerError| error.to_string();
        assert!(
            said(ours.agree(&newer).unwrap_err()).contains("this side has \"nothing\", the peer has \"new\"")
        );
        assert!(
            said(newer.agree(&ours).unwrap_err()).contains("this side has \"new\", the peer has \"nothing\"")
        );
    }

    #[test]
    fn what_a_peer_tells_cannot_steer_a_terminal() {
        let ours = terms(NodeName::Primary).told();
        let theirs =
            Told(vec![("version".to_owned(), "\u{1b}[2J".to_owned()), ("\u{7}".to_owned(), String::new())]);
        let error = ours.agree(&theirs).unwrap_err().to_string();
        assert!(error.contains("\\u{1b}[2J") && !error.contains(char::is_control), "{error}");
        let error = Told(Vec::new()).agree(&Told(theirs.0[1..].to_vec())).unwrap_err().to_string();
        assert!(error.contains("\\u{7} differs") && !error.contains(char::is_control), "{error}");
    }
}
