//! How sides meet, and who does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod meeting;

use super::Address;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
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
