//! Who is the peer, and who is not: with keys, nobody else is heard.

use super::{dialled, eventually, keys};
use crate::link::Moved;
use crate::peer::keys::{KeysError, certificate_name};
use crate::peer::making::{Validity, authority, of_a_side, signed};
use crate::peer::terms::tests::terms;
use crate::peer::tls::Configs;
use crate::peer::tunnel::Tunnel;
use crate::peer::{Address, Keys, Listener, Met, PeerError, Stranger, connect, make_keys};
use colo_protocol::NodeName::{self, Primary, Secondary};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io::{IoSlice, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_hours(24);

fn now_valid() -> Validity {
    Validity { from: SystemTime::now() - DAY, to: SystemTime::now() + DAY }
}

fn private(key: &rcgen::KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// An authority that signs whatever it is asked to.
struct Authority(CertificateDer<'static>, rcgen::Issuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let (certificate, issuer) = authority(now_valid()).unwrap();
        Self(certificate.der().clone(), issuer)
    }

    /// The keys of a side, in which there is a certificate for this name.
    fn keys(&self, side: NodeName, name: &str, validity: Validity) -> Keys {
        let (certificate, key) = signed(&self.1, name, validity).unwrap();
        self.with(side, certificate.der(), &key)
    }

    fn good(&self, side: NodeName) -> Keys {
        self.keys(side, &certificate_name(side), now_valid())
    }

    fn with(&self, side: NodeName, certificate: &CertificateDer<'static>, key: &rcgen::KeyPair) -> Keys {
        let chain = [certificate.clone()];
        let configs = Configs::new(side, std::slice::from_ref(&self.0), &chain, &private(key)).unwrap();
        Keys::unchecked(side, configs)
    }
}

/// What is wrong with a primary's keys; what a secondary says of it, and what it is told itself.
fn impostors(pair: &Authority) -> Vec<(Keys, &'static str, &'static str)> {
    let own = certificate_name(Primary);
    let expired = Validity { from: SystemTime::now() - 9 * DAY, to: SystemTime::now() - 3 * DAY };
    let early = Validity { from: SystemTime::now() + 3 * DAY, to: SystemTime::now() + 9 * DAY };
    let key = rcgen::KeyPair::generate().unwrap();
    let self_signed = of_a_side(&own, now_valid()).unwrap().self_signed(&key).unwrap();
    let other = Authority::new();
    // It knows the pair's authority, and has a certificate of another.
    let (foreign, foreign_key) = signed(&other.1, &own, now_valid()).unwrap();
    vec![
        (pair.with(Primary, foreign.der(), &foreign_key), "of another authority", "of another authority"),
        (pair.with(Primary, self_signed.der(), &key), "of another authority", "of another authority"),
        (
            pair.keys(Primary, &certificate_name(Secondary), now_valid()),
            "for [\"DnsName",
            "not that of its peer",
        ),
        (pair.keys(Primary, "primary.colo.example", now_valid()), "for [\"DnsName", "not that of its peer"),
        (pair.keys(Primary, &own, expired), "has expired, 3 days ago", "has expired"),
        (pair.keys(Primary, &own, early), "not valid yet", "not valid yet"),
    ]
}

fn listener(keys: Keys) -> Listener {
    Listener::bind(&"127.0.0.1:0".parse().unwrap(), Some(keys)).unwrap()
}

fn speak(one: &mut Met, other: &mut Met) {
    assert_eq!(one.connections.link.write(&[IoSlice::new(b"word")]), Moved::Bytes(4));
    let mut buffer = [0; 8];
    while other.connections.link.read(&mut buffer) == Moved::WouldBlock {
        std::thread::yield_now();
    }
    assert_eq!(&buffer[..4], b"word");
}

#[test]
fn the_two_sides_of_a_pair_meet_by_their_keys_whichever_of_them_listens() {
    let directory = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", directory.path().join("socket").display());
    let ways =
        ["127.0.0.1:0", &unix].into_iter().flat_map(|address| NodeName::ALL.map(|side| (address, side)));
    for (address, listening_side) in ways {
        let keys = keys();
        let of = |side| keys[usize::from(side == Secondary)].clone();
        let listener = Listener::bind(&address.parse().unwrap(), Some(of(listening_side))).unwrap();
        let [mut here, mut there] = std::thread::scope(|scope| {
            let listening = scope.spawn(|| listener.accept(&terms(listening_side), || false, |_| ()));
            let side = listening_side.peer();
            let met = connect(listener.local_address(), Some(&of(side)), &terms(side), PATIENCE);
            [met.unwrap(), listening.join().unwrap().unwrap()]
        });
        speak(&mut here, &mut there);
        speak(&mut there, &mut here);
        drop(here.connections);
        drop(there.connections);
        eventually(|| here.tunnels.iter().chain(&there.tunnels).all(Tunnel::is_over));
    }
}

#[test]
fn who_is_not_the_peer_is_turned_away_and_the_peer_comes_through_after_it() {
    let pair = Authority::new();
    for (impostor, noted, told) in impostors(&pair) {
        let listener = listener(pair.good(Secondary));
        let notes: Mutex<Vec<Stranger>> = Mutex::default();
        let secondary = terms(Secondary);
        let note = |stranger| notes.lock().unwrap().push(stranger);
        std::thread::scope(|scope| {
            let listening = scope.spawn(|| listener.accept(&secondary, || false, note));
            let error =
                connect(listener.local_address(), Some(&impostor), &terms(Primary), PATIENCE).unwrap_err();
            assert!(matches!(error, PeerError::NotTaken { .. }), "{error:?}");
            assert!(error.to_string().contains(told), "{error}");
            let peer = pair.good(Primary);
            connect(listener.local_address(), Some(&peer), &terms(Primary), PATIENCE).unwrap();
            listening.join().unwrap().unwrap();
        });
        let notes = notes.into_inner().unwrap();
        assert!(notes[0].why.contains(noted), "{notes:?}");
    }
}

#[test]
fn who_listens_and_is_not_the_peer_is_told_nothing() {
    let pair = Authority::new();
    for (impostor, said, _) in impostors(&pair) {
        let listener = listener(impostor);
        let stop = AtomicBool::new(false);
        let primary = terms(Primary);
        std::thread::scope(|scope| {
            let listening = scope
                .spawn(|| listener.accept(&primary, || stop.load(Ordering::Relaxed), |_| ()).unwrap_err());
            let keys = pair.good(Secondary);
            let error =
                connect(listener.local_address(), Some(&keys), &terms(Secondary), PATIENCE).unwrap_err();
            assert!(matches!(error, PeerError::NotThePeer { .. }) && error.is_usage(), "{error:?}");
            assert!(error.to_string().contains(said), "{error}");
            stop.store(true, Ordering::Relaxed);
            assert!(matches!(listening.join().unwrap(), PeerError::Stopped), "no hello was heard");
        });
    }
}

#[test]
fn who_shows_no_certificate_is_turned_away() {
    let pair = Authority::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.0.clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = certificate_name(Secondary).try_into().unwrap();
    let tls = rustls::ClientConnection::new(config.into(), name).unwrap();
    let note = noted_by(&listener(pair.good(Secondary)), |address| {
        let mut stream = rustls::StreamOwned::new(tls, dialled(address));
        let _ = stream.write_all(b"COLO");
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    });
    assert!(note.contains("it has shown no certificate"), "{note}");
}

#[test]
fn a_side_with_keys_and_one_without_are_told_so() {
    let pair = Authority::new();
    let listener = listener(pair.good(Secondary));
    let note = noted_by(&listener, |address| {
        let error = connect(address, None, &terms(Primary), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("has keys, and this side has none"), "{error}");
    });
    assert!(note.contains("corrupt message"), "{note}");
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), None).unwrap();
    let note = noted_by(&listener, |address| {
        let error = connect(address, Some(&pair.good(Primary)), &terms(Primary), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("has no keys, and this side has"), "{error}");
    });
    assert!(note.contains("it speaks TLS, and there are no keys here"), "{note}");
}

#[test]
fn keys_of_the_other_side_are_refused_before_anything_is_said() {
    let [primary, _] = keys();
    let listener = listener(primary);
    let error = listener.accept(&terms(Secondary), || false, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "these are the primary's keys, and this side is the secondary");
}

#[test]
fn new_keys_are_five_files_of_which_nobody_else_can_read_the_private_ones() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("new/keys");
    let made = make_keys(&keys).unwrap();
    let permissions = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut names: Vec<_> = fs::read_dir(&keys).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "primary.key", "primary.pem", "secondary.key", "secondary.pem"]);
    assert_eq!(made.len(), names.len());
    assert_eq!(permissions(&keys.join("primary.key")) | permissions(&keys.join("secondary.key")), 0o600);
    assert_eq!(permissions(&keys), 0o700);
}

#[test]
fn no_key_is_ever_written_over() {
    for name in ["ca.pem", "primary.pem", "primary.key", "secondary.pem", "secondary.key"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "mine").unwrap();
        let error = make_keys(directory.path()).unwrap_err();
        assert!(matches!(&error, KeysError::Exists(path) if path.ends_with(name)), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left of the attempt");
        assert_eq!(fs::read_to_string(directory.path().join(name)).unwrap(), "mine");
    }
}

/// What is said of the primary's keys, of which something has been changed.
fn spoilt(change: impl FnOnce(&Path)) -> String {
    let directory = tempfile::tempdir().unwrap();
    make_keys(directory.path()).unwrap();
    assert!(Keys::load(directory.path(), Primary).is_ok());
    change(directory.path());
    Keys::load(directory.path(), Primary).unwrap_err().to_string()
}

#[test]
fn keys_that_are_missing_garbled_or_open_to_others_are_refused_by_the_name_of_the_file() {
    for name in ["ca.pem", "primary.pem", "primary.key"] {
        let said = spoilt(|keys| fs::remove_file(keys.join(name)).unwrap());
        assert!(said.contains(name) && said.contains("No such file"), "{said}");
        let said = spoilt(|keys| fs::write(keys.join(name), "garbled").unwrap());
        assert!(said.contains(name) && said.contains("PEM"), "{said}");
        let said = spoilt(|keys| fs::write(keys.join(name), vec![b'x'; 300_000]).unwrap());
        assert!(said.contains(name) && said.contains("more than 262144 bytes"), "{said}");
    }
    for mode in [0o640, 0o604, 0o620, 0o601] {
        let said = spoilt(|keys| {
            fs::set_permissions(keys.join("primary.key"), fs::Permissions::from_mode(mode)).unwrap();
        });
        assert!(said.contains("primary.key: others than its owner may"), "{said}");
    }
}

#[test]
fn keys_that_no_peer_would_take_are_refused_before_it_is_asked() {
    let said = spoilt(|keys| {
        fs::copy(keys.join("secondary.key"), keys.join("primary.key")).unwrap();
    });
    assert!(said.contains("primary.pem: the private key is not that of this certificate"), "{said}");
    let said = spoilt(|keys| {
        fs::copy(keys.join("secondary.key"), keys.join("primary.key")).unwrap();
        fs::copy(keys.join("secondary.pem"), keys.join("primary.pem")).unwrap();
    });
    assert!(
        said.contains("primary.pem: no peer would take this certificate: its certificate is for"),
        "{said}"
    );
    let said = spoilt(|keys| {
        let (other, _) = authority(now_valid()).unwrap();
        fs::write(keys.join("ca.pem"), other.pem()).unwrap();
    });
    assert!(said.contains("another authority than ca.pem"), "{said}");
    let said = spoilt(|keys| {
        let expired = Validity { from: SystemTime::now() - 9 * DAY, to: SystemTime::now() - 3 * DAY };
        let (root, issuer) = authority(now_valid()).unwrap();
        let (certificate, key) = signed(&issuer, &certificate_name(Primary), expired).unwrap();
        fs::write(keys.join("ca.pem"), root.pem()).unwrap();
        fs::write(keys.join("primary.pem"), certificate.pem()).unwrap();
        fs::write(keys.join("primary.key"), key.serialize_pem()).unwrap();
    });
    assert!(said.contains("its certificate has expired, 3 days ago"), "{said}");
}

/// What a listener notes of the first who does this.
fn noted_by(listener: &Listener, stranger: impl FnOnce(&Address)) -> String {
    let notes: Mutex<Vec<Stranger>> = Mutex::default();
    let is_done = AtomicBool::new(false);
    let secondary = terms(Secondary);
    let stop = || is_done.load(Ordering::Relaxed) && !notes.lock().unwrap().is_empty();
    let note = |stranger| notes.lock().unwrap().push(stranger);
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| listener.accept(&secondary, stop, note).map(drop));
        stranger(listener.local_address());
        is_done.store(true, Ordering::Relaxed);
        assert!(matches!(listening.join().unwrap(), Err(PeerError::Stopped)));
    });
    notes.into_inner().unwrap().remove(0).why
}
