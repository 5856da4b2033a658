//! Hosts that are network namespaces. It needs root.

use std::ops::Deref;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `ip`; whether it did what it was told.
pub(crate) fn ip(words: &[&str]) -> bool {
    let status = Command::new("ip").args(words).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A number that no other has in this process.
pub(crate) fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// A namespace, which goes when this is dropped.
pub(crate) struct Namespace(String);

impl Namespace {
    /// One that is made now, unless it cannot be.
    pub(crate) fn new(what: &str) -> Option<Self> {
        let name = format!("colo-{}-{}{what}", std::process::id(), next_number());
        ip(&["netns", "add", &name]).then_some(Self(name))
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, words: &[&str]) -> bool {
        ip(&[&["-n", self], words].concat())
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", self]);
    }
}

/// Whether this user may make none; it is a failure, where it was possible before.
pub(crate) fn no_namespaces() -> bool {
    if Namespace::new("try").is_some() {
        return false;
    }
    let required = std::env::var_os("COLO_REQUIRE_NAMESPACES").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_NAMESPACES=1, and none can be made");
    eprintln!("SKIPPED, no network namespaces can be made here");
    true
}
