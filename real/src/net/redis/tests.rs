//! A service that does what it should, and some that do not: what clients say of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

/// What is wrong with a service, from its hundredth request on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    /// Each increment is done twice, and answered once.
    DoublesIncrements,
    /// Each second increment is answered, and not done.
    LosesIncrements,
    /// What was written is read as it was before.
    ReadsStale,
    /// An error is answered.
    Refuses,
    /// Connections are closed.
    HangsUp,
}

#[derive(Default)]
struct Store {
    values: HashMap<String, u64>,
    before: HashMap<String, u64>,
    requests: u64,
}

/// A service in this process.
fn serve(flaw: Flaw) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let store = Arc::new(Mutex::new(Store::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let store = Arc::clone(&store);
            std::thread::spawn(move || answer_all(BufReader::new(stream.unwrap()), &store, flaw));
        }
    });
    address
}

fn answer_all(mut stream: BufReader<TcpStream>, store: &Mutex<Store>, flaw: Flaw) -> Option<()> {
    loop {
        let words = request(&mut stream)?;
        let answer = store.lock().unwrap().answer(&words, flaw)?;
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    (0..line(stream)?)
        .map(|_| {
            let mut word = vec![0; line(stream)? + 2];
            stream.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            String::from_utf8(word).ok()
        })
        .collect()
}

impl Store {
    fn answer(&mut self, words: &[String], flaw: Flaw) -> Option<String> {
        self.requests += 1;
        let flaw = if self.requests < 100 { Flaw::None } else { flaw };
        let key = words.get(1).cloned().unwrap_or_default();
        let value = self.values.get(&key).copied();
        match (words[0].as_str(), flaw) {
            (_, Flaw::HangsUp) => return None,
            (_, Flaw::Refuses) => return Some("-ERR no\r\n".to_owned()),
            ("DEL", _) => return Some(format!(":{}\r\n", u64::from(self.values.remove(&key).is_some()))),
            ("SET", _) => {
                self.write(&key, words[2].parse().unwrap());
                return Some("+OK\r\n".to_owned());
            }
            ("INCR", _) => {
                let sum = value.unwrap_or_default() + 1;
                let kept = match flaw {
                    Flaw::DoublesIncrements => sum + 1,
                    Flaw::LosesIncrements if self.requests.is_multiple_of(2) => sum - 1,
                    _ => sum,
                };
                self.write(&key, kept);
                return Some(format!(":{sum}\r\n"));
            }
            _ => {}
        }
        let read = if flaw == Flaw::ReadsStale { self.before.get(&key).copied() } else { value };
        Some(read.map_or("$-1\r\n".to_owned(), |value| {
            let text = value.to_string();
            format!("${}\r\n{text}\r\n", text.len())
        }))
    }

    fn write(&mut self, key: &str, value: u64) {
        let before = self.values.insert(key.to_owned(), value);
        self.before.insert(key.to_owned(), before.unwrap_or_default());
    }
}

/// What clients say of such a service.
fn outcome(flaw: Flaw) -> RedisOutcome {
    let load =
        RedisLoad { connections: 4, seed: 5, patience: Duration::from_secs(20), ..RedisLoad::default() };
    let clients = RedisClients::start(serve(flaw), load).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    clients.finish().unwrap()
}

#[test]
fn of_a_service_that_does_what_it_should_nothing_is_said() {
    let begun = Instant::now();
    let outcome = outcome(Flaw::None);
    assert_eq!((outcome.violations.as_slice(), outcome.resets), (&[][..], 0));
    assert!(outcome.increments > 100 && outcome.asked.operations > 100, "{:?}", outcome.asked);
    assert_eq!(outcome.asked.left_out, 0, "all of it is looked at");
    let asked = outcome.asked.operations as u64;
    assert!(outcome.answered >= asked + outcome.increments, "and keys that are done with are deleted");
    let waits = outcome.longest_waits();
    let longest = *waits.iter().max().unwrap();
    assert_eq!((waits.len(), outcome.longest_wait_between(begun, Instant::now())), (4, longest));
    assert!(longest > Duration::ZERO && outcome.waits().count() as u64 == outcome.answered);
    assert_eq!(outcome.longest_wait_between(Instant::now(), Instant::now()), Duration::ZERO);
}

/// Whether clients say something of this kind of such a service.
fn says(flaw: Flaw, is_of_kind: impl Fn(&RedisViolation) -> bool) {
    let outcome = outcome(flaw);
    assert!(outcome.violations.iter().any(is_of_kind), "{flaw:?}: {:?}", outcome.violations);
}

#[test]
fn an_increment_that_is_done_twice_is_found() {
    says(Flaw::DoublesIncrements, |violation| matches!(violation, RedisViolation::Doubled { .. }));
}

#[test]
fn an_increment_that_is_not_done_is_found() {
    says(Flaw::LosesIncrements, |violation| matches!(violation, RedisViolation::Repeated { .. }));
    says(Flaw::LosesIncrements, |violation| matches!(violation, RedisViolation::Lost { .. }));
}

#[test]
fn a_stale_read_is_found() {
    says(Flaw::ReadsStale, |violation| matches!(violation, RedisViolation::NoOrder { .. }));
}

#[test]
fn an_answer_of_the_wrong_kind_is_told() {
    says(Flaw::Refuses, |violation| matches!(violation, RedisViolation::Unexpected { .. }));
    // Nor is there anything to be told of the counters.
    says(Flaw::Refuses, |violation| matches!(violation, RedisViolation::Unknown { .. }));
}

#[test]
fn a_connection_that_does_not_last_is_told() {
    let outcome = outcome(Flaw::HangsUp);
    let broken =
        outcome.violations.iter().filter(|violation| matches!(violation, RedisViolation::Broken { .. }));
    assert_eq!(broken.count(), 4, "{:?}", outcome.violations);
}
