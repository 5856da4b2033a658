//! Strangers at a listener: none of them holds it up, none ends it, and each is noted.

use super::{dialled, eventually, hello, keys};
use crate::peer::terms::tests::terms;
use crate::peer::words::{Hello, Identity, framed};
use crate::peer::{Address, Keys, Listener, PeerError, Stranger, connect};
use colo_protocol::NodeName::{Primary, Secondary};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Lets somebody at a listener before the peer comes. What was noted, and how long it took the peer.
fn with_strangers(
    keys: Option<[Keys; 2]>,
    strangers: impl FnOnce(&Address, &dyn Fn() -> usize),
) -> (Vec<Stranger>, Duration) {
    let [ours, theirs] = keys.map_or([None, None], |keys| keys.map(Some));
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), theirs).unwrap();
    let notes: Mutex<Vec<Stranger>> = Mutex::default();
    let secondary = terms(Secondary);
    let note = |stranger| notes.lock().unwrap().push(stranger);
    let took = thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(&secondary, || false, note));
        strangers(listener.local_address(), &|| notes.lock().unwrap().len());
        let since = Instant::now();
        let met = connect(listener.local_address(), ours.as_ref(), &terms(Primary), PATIENCE).unwrap();
        let took = since.elapsed();
        assert_eq!(listening.join().unwrap().unwrap().run, met.run);
        took
    });
    (notes.into_inner().unwrap(), took)
}

#[test]
fn whatever_a_stranger_says_it_is_noted_and_the_peer_comes_through() {
    let whole = hello();
    let mut no_side = whole.clone();
    let place = no_side.windows(7).position(|bytes| bytes == b"primary").unwrap();
    no_side[place] = b'x';
    for (words, noted) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "its first bytes are GET , expected \"COLO\""),
        (b"\x1b[2J".to_vec(), "its first bytes are \\x1b[2J"),
        (vec![0x16, 3, 1, 2, 0, 1, 0], "it speaks TLS, and there are no keys here"),
        (b"COLO\x01\xff\xff\xff\xff".to_vec(), "a text of 4294967295 bytes"),
        (b"COLO\x01\0\0\0\0".to_vec(), "a text of 0 bytes"),
        (b"COLO\x01\0\0\0\x02{]".to_vec(), "its text cannot be read"),
        (no_side, "its text cannot be read: unknown variant `xrimary`"),
    ] {
        let (notes, _) = with_strangers(None, |address, noted| {
            let mut stranger = dialled(address);
            stranger.write_all(&words).unwrap();
            eventually(|| noted() == 1);
            let mut told = Vec::new();
            let _ = stranger.read_to_end(&mut told);
            assert!(told.is_empty() || told.starts_with(b"COLO"), "{}", told.escape_ascii());
        });
        assert!(notes[0].why.contains(noted), "{notes:?}");
        assert!(notes[0].from.starts_with("127.0.0.1:"), "{notes:?}");
    }
}

#[test]
fn half_a_hello_is_waited_for_and_not_for_ever() {
    let whole = hello();
    let (notes, took) = with_strangers(None, |address, noted| {
        let mut gone = dialled(address);
        gone.write_all(&whole[..100]).unwrap();
        drop(gone);
        eventually(|| noted() == 1);
        let mut waiting = dialled(address);
        waiting.write_all(&whole[..whole.len() - 1]).unwrap();
        let since = Instant::now();
        assert_eq!(waiting.read(&mut [0; 1]).unwrap(), 0, "it is turned away without a word");
        assert!(since.elapsed() > Duration::from_secs(4), "{:?}", since.elapsed());
    });
    assert!(notes[0].why.contains("after 100 bytes of a word"), "{notes:?}");
    assert!(
        notes[1].why.contains(&format!("{} bytes of a hello have come in 5 s", whole.len() - 1)),
        "{notes:?}"
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_hundred_silent_strangers_are_not_in_the_peers_way() {
    for keys in [None, Some(keys())] {
        let mut strangers = Vec::new();
        let (notes, took) = with_strangers(keys, |address, _| {
            strangers.extend((0..100).map(|_| dialled(address)));
        });
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(notes.iter().all(|note| note.why.contains("it had not said who it is")), "{notes:?}");
        assert!(notes.len() >= 36, "at most 64 are there at once: {}", notes.len());
    }
}

#[test]
fn a_hello_that_has_no_last_word_is_no_peer() {
    let (notes, _) = with_strangers(None, |address, noted| {
        let mut dead = dialled(address);
        dead.write_all(&hello()).unwrap();
        let mut answer = vec![0; 9 + "\"accepted\"".len()];
        dead.read_exact(&mut answer).unwrap();
        drop(dead);
        eventually(|| noted() == 1);
    });
    assert!(notes[0].why.contains("has closed the connection after 0 bytes"), "{notes:?}");
}

#[test]
fn nobody_joins_a_pair_whose_pairing_it_does_not_know() {
    let rules = |side| crate::peer::Terms { rules: colo_protocol::Rules::QEMU, ..terms(side) };
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), None).unwrap();
    let notes: Mutex<Vec<Stranger>> = Mutex::default();
    let secondary = rules(Secondary);
    let note = |stranger| notes.lock().unwrap().push(stranger);
    thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(&secondary, || false, note));
        let mut stranger = dialled(listener.local_address());
        let identity = || Identity::random().unwrap();
        let hello = Hello {
            connection: crate::peer::terms::Connection::Comparison,
            run: identity(),
            pairing: identity(),
            side: Primary,
            terms: rules(Primary).told(),
        };
        stranger.write_all(&framed(&hello).unwrap()).unwrap();
        let mut answer = Vec::new();
        stranger.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"\"not-due\""), "{}", answer.escape_ascii());
        connect(listener.local_address(), None, &rules(Primary), PATIENCE).unwrap();
        listening.join().unwrap().unwrap();
    });
    assert!(notes.into_inner().unwrap()[0].why.contains("its Comparison is not due"));
}

#[test]
fn a_peer_of_another_format_is_told_and_so_is_this_side() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), None).unwrap();
    let secondary = terms(Secondary);
    thread::scope(|scope| {
        let accepted = scope.spawn(|| listener.accept(&secondary, || false, |_| ()).unwrap_err());
        let mut newer = dialled(listener.local_address());
        newer.write_all(b"COLO\x02\0\0\0\x0a[\"unknown\"").unwrap();
        let mut answer = Vec::new();
        newer.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"COLO\x01"), "{}", answer.escape_ascii());
        drop(newer);
        let error = accepted.join().unwrap();
        let said = "the format of the hello differs: this side has \"1\", the peer has \"2\"";
        assert_eq!(error.to_string(), said);
    });
}

#[test]
fn whoever_listens_and_is_no_colo_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    for words in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"COLO\x01\0\0\0\x04nope"] {
        thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(&address, None, &terms(Primary), PATIENCE).unwrap_err());
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(words).unwrap();
            let error = connecting.join().unwrap();
            assert!(matches!(error, PeerError::NoColo { .. }), "{error}");
        });
    }
}
