//! A TAP device in a namespace of its own, whose kernel talks with a guest behind the switch. It needs root.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::net::endpoints::Endpoint;
use crate::net::faults::FrameFaults;
use crate::net::switch::Switch;
use crate::net::test_guest::{ECHO, TestGuest};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A network namespace, which is gone with this value.
struct Namespace(String);

impl Namespace {
    /// None, if this user may not make one; it is a failure not to, where it was possible before.
    fn new() -> Option<Self> {
        let name = format!("colo-tap-{}", std::process::id());
        if ip(&["netns", "add", &name]) {
            return Some(Self(name));
        }
        let required = std::env::var_os("COLO_REQUIRE_NAMESPACES").is_some_and(|value| value == "1");
        assert!(!required, "COLO_REQUIRE_NAMESPACES=1, and none can be made");
        eprintln!("SKIPPED, no network namespaces can be made here");
        None
    }

    /// Does this in the namespace.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.0)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip").args(words).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn the_kernel_talks_with_a_guest_through_a_tap_device() {
    let Some(namespace) = Namespace::new() else { return };
    let name = format!("colotap{}", std::process::id() % 10_000_000);
    let tap = Tap::new(&name).unwrap();
    let taken = Tap::new(&name).unwrap_err().to_string();
    assert!(taken.starts_with(&format!("the TAP device {name} cannot be had: ")), "{taken}");
    let switch = Switch::start(FrameFaults::default()).unwrap();
    let _guest = TestGuest::start(&switch);
    switch.tap(tap).unwrap();
    let host = format!("{}/24", Endpoint::HOST.ip);
    let inside = |words: &[&str]| ip(&[&["-n", &namespace.0], words].concat());
    assert!(
        ip(&["link", "set", &name, "netns", &namespace.0])
            && inside(&["addr", "add", &host, "dev", &name])
            && inside(&["link", "set", &name, "up"])
    );
    let sent: Vec<u8> = (0..1 << 20).map(|number: u32| number.to_le_bytes()[1]).collect();
    let mut came = vec![0; sent.len()];
    namespace.inside(|| {
        let address = (Endpoint::GUEST.ip, ECHO).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(30)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut sender = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&sent).unwrap());
            stream.read_exact(&mut came).unwrap();
        });
    });
    assert!(came == sent);
    let figures = switch.figures().unwrap();
    let tap =
        figures.ports.iter().find(|port| port.is_there && port.side == crate::net::Side::Client).unwrap();
    assert!(tap.sent > 700 && tap.received > 700, "{tap:?}");
}

#[test]
fn what_is_no_name_of_an_interface_is_told() {
    for name in ["", "a-name-of-sixteen", "tap/0", "tap%d", "tap 0"] {
        let error = Tap::new(name).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name:?} is no name of an interface: ")), "{error}");
    }
}
