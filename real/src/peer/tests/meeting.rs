//! Two sides meet at an address of either kind, or are told why they do not.

use crate::link::Moved;
use crate::peer::terms::tests::terms;
use crate::peer::{Address, Listener, Met, PeerError, Stranger, Terms, connect};
use colo_protocol::{NodeName, Rules};
use std::io::IoSlice;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A listener of each kind, and what holds its directory.
fn listeners() -> Vec<(Listener, tempfile::TempDir)> {
    let directory = || tempfile::tempdir().unwrap();
    let bound =
        |address: &str, directory| (Listener::bind(&address.parse().unwrap(), None).unwrap(), directory);
    let unix = directory();
    let path = format!("unix:{}", unix.path().join("socket").display());
    vec![bound("127.0.0.1:0", directory()), bound("[::1]:0", directory()), bound(&path, unix)]
}

/// What a primary that connects, and a secondary that listens, come to.
fn meeting(listener: &Listener, primary: &Terms, secondary: &Terms) -> [Result<Met, PeerError>; 2] {
    thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(secondary, || false, |_| ()));
        let connected = connect(listener.local_address(), None, primary, PATIENCE);
        [connected, listening.join().unwrap()]
    })
}

fn said(met: &mut Met, word: &[u8]) {
    assert_eq!(met.connections.link.write(&[IoSlice::new(word)]), Moved::Bytes(word.len()));
}

fn heard(met: &mut Met) -> Vec<u8> {
    let mut buffer = [0; 64];
    loop {
        match met.connections.link.read(&mut buffer) {
            Moved::Bytes(count) => return buffer[..count].to_vec(),
            Moved::WouldBlock => thread::yield_now(),
            Moved::Gone => return Vec::new(),
        }
    }
}

#[test]
fn two_sides_meet_at_an_address_of_any_kind_and_their_nodes_can_speak() {
    for (listener, _directory) in listeners() {
        let [primary, secondary] = NodeName::ALL.map(terms);
        let [mut primary, mut secondary] = meeting(&listener, &primary, &secondary).map(Result::unwrap);
        assert_eq!(primary.run, secondary.run);
        assert_eq!(primary.run.len(), 32);
        said(&mut primary, b"there");
        said(&mut secondary, b"back");
        assert_eq!(heard(&mut secondary), b"there");
        assert_eq!(heard(&mut primary), b"back");
        drop(primary);
        assert_eq!(heard(&mut secondary), b"");
    }
}

#[test]
fn a_pair_gets_the_connections_that_its_terms_need_each_with_its_like() {
    for (listener, _directory) in listeners() {
        let [primary, secondary] = NodeName::ALL.map(|side| {
            let mut terms = Terms { rules: Rules::QEMU, ..terms(side) };
            terms.workload.disk_blocks = 8;
            terms
        });
        let [primary, secondary] = meeting(&listener, &primary, &secondary).map(Result::unwrap);
        let (here, there) = (primary.connections, secondary.connections);
        let ends = |one: crate::link::Connections| {
            [Some(one.link), one.comparison, one.replication].map(Option::unwrap)
        };
        for (number, (mut here, mut there)) in ends(here).into_iter().zip(ends(there)).enumerate() {
            let word = [u8::try_from(number).unwrap()];
            assert_eq!(here.write(&[IoSlice::new(&word)]), Moved::Bytes(1));
            let mut buffer = [9];
            while there.read(&mut buffer) == Moved::WouldBlock {}
            assert_eq!(buffer, word);
        }
    }
}

#[test]
fn sides_that_differ_are_told_in_what_on_both_sides() {
    let (listener, _directory) = listeners().remove(0);
    let [primary, secondary] = NodeName::ALL.map(terms);
    let secondary = Terms { memory_mib: 32, ..secondary };
    let [connecting, listening] = meeting(&listener, &primary, &secondary).map(Result::unwrap_err);
    assert_eq!(connecting.to_string(), "memory, MiB differs: this side has \"16\", the peer has \"32\"");
    assert_eq!(listening.to_string(), "memory, MiB differs: this side has \"32\", the peer has \"16\"");
    assert!(connecting.is_usage() && listening.is_usage());
}

#[test]
fn two_of_the_same_side_do_not_meet() {
    let (listener, _directory) = listeners().remove(0);
    let both = terms(NodeName::Primary);
    for error in meeting(&listener, &both, &both).map(Result::unwrap_err) {
        assert_eq!(error.to_string(), "both sides are the primary, expected one primary and one secondary");
    }
}

#[test]
fn who_connects_waits_for_the_listener_and_not_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let address = Address::Unix(directory.path().join("late"));
    let [primary, secondary] = NodeName::ALL.map(terms);
    let error = connect(&address, None, &primary, Duration::from_millis(120)).unwrap_err();
    assert!(matches!(error, PeerError::Unreached { .. }) && !error.is_usage(), "{error}");
    thread::scope(|scope| {
        let connecting = scope.spawn(|| connect(&address, None, &primary, PATIENCE));
        thread::sleep(Duration::from_millis(150));
        let listener = Listener::bind(&address, None).unwrap();
        let listening = listener.accept(&secondary, || false, |_| ()).unwrap();
        assert_eq!(connecting.join().unwrap().unwrap().run, listening.run);
    });
    assert!(!directory.path().join("late").exists(), "a listener takes its path with it");
}

#[test]
fn who_listens_can_be_told_to_stop() {
    let (listener, _directory) = listeners().remove(0);
    let stop = AtomicBool::new(false);
    let terms = terms(NodeName::Secondary);
    thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(&terms, || stop.load(Ordering::Relaxed), |_| ()));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(listening.join().unwrap(), Err(PeerError::Stopped)));
    });
}

#[test]
fn a_stranger_is_noted_and_the_peer_comes_through_beside_it() {
    for (listener, _directory) in listeners() {
        let [primary, secondary] = NodeName::ALL.map(terms);
        let notes: Mutex<Vec<Stranger>> = Mutex::default();
        let note = |stranger| notes.lock().unwrap().push(stranger);
        thread::scope(|scope| {
            let listening = scope.spawn(|| listener.accept(&secondary, || false, note));
            let silent = super::dialled(listener.local_address());
            let mut garbage = super::dialled(listener.local_address());
            std::io::Write::write_all(&mut garbage, b"GET / HTTP/1.1\r\n\r\n").unwrap();
            super::eventually(|| !notes.lock().unwrap().is_empty());
            let met = connect(listener.local_address(), None, &primary, PATIENCE).unwrap();
            assert_eq!(listening.join().unwrap().unwrap().run, met.run);
            drop(silent);
        });
        let notes = notes.into_inner().unwrap();
        assert!(notes[0].to_string().contains("turned away: its first bytes are GET "), "{notes:?}");
    }
}

#[test]
fn a_path_is_taken_over_from_who_was_killed_and_from_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let address = Address::Unix(path.clone());
    // A socket that nobody listens at any more: its owner had no time to take it away.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&address, None).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody but its owner can connect");
    let error = Listener::bind(&address, None).unwrap_err();
    assert!(matches!(error, PeerError::Listen { .. }), "{error}");
    drop(listener);
    std::fs::write(&path, "mine").unwrap();
    let error = Listener::bind(&address, None).unwrap_err();
    assert!(error.to_string().contains("Address already in use"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_last_word_that_does_not_come_is_not_waited_for() {
    let (listener, _directory) = listeners().remove(0);
    let [primary, secondary] = NodeName::ALL.map(terms);
    let notes: Mutex<Vec<Stranger>> = Mutex::default();
    let note = |stranger| notes.lock().unwrap().push(stranger);
    thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(&secondary, || false, note));
        let mut silent = super::dialled(listener.local_address());
        std::io::Write::write_all(&mut silent, &super::hello()).unwrap();
        super::eventually(|| !notes.lock().unwrap().is_empty());
        connect(listener.local_address(), None, &primary, PATIENCE).unwrap();
        listening.join().unwrap().unwrap();
    });
    assert!(notes.into_inner().unwrap()[0].why.contains("its last word has not come in time"));
}
