//! How sides meet, and who does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod descriptors;
mod keys;
mod meeting;
mod strangers;
mod tunnel;

use super::tls::Configs;
use super::words::{Hello, Identity, framed};
use super::{Address, Keys, make_keys};
use colo_protocol::NodeName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What a stranger has in hand.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A stranger's connection with a listener.
fn dialled(address: &Address) -> Box<dyn Stream> {
    match address {
        Address::Tcp { host, port } => Box::new(TcpStream::connect((host.as_str(), *port)).unwrap()),
        Address::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
    }
}

/// Waits until something is so.
fn eventually(is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "it is not so after 20 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The keys of a pair, the primary's first.
fn keys() -> [Keys; 2] {
    static KEYS: LazyLock<[Keys; 2]> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        make_keys(directory.path()).unwrap();
        NodeName::ALL.map(|side| Keys::load(directory.path(), side).unwrap())
    });
    KEYS.clone()
}

/// How the sides of a pair speak with each other, the primary first.
fn configs() -> [Configs; 2] {
    let [primary, secondary] = keys();
    [(primary, NodeName::Primary), (secondary, NodeName::Secondary)]
        .map(|(keys, side)| keys.configs(side).unwrap().clone())
}

/// A hello that would be the peer's.
fn hello() -> Vec<u8> {
    let identity = || Identity::random().unwrap();
    framed(&Hello {
        connection: super::terms::Connection::Link,
        run: identity(),
        pairing: identity(),
        side: NodeName::Primary,
        terms: super::terms::tests::terms(NodeName::Primary).told(),
    })
    .unwrap()
}
