//! Asking as those see it who ask.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::{MemoryArbiter, RunId};
use super::*;
use colo_protocol::NodeName;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

fn claim(claimant: NodeName) -> Claim {
    Claim { run: RunId::new("run").unwrap(), generation: 0, claimant }
}

/// An arbiter that can be down, and that can lose a reply: then it has granted, and nobody knows.
#[derive(Clone, Default)]
struct Shaky {
    memory: Arc<Mutex<MemoryArbiter>>,
    is_down: Arc<AtomicBool>,
    loses_reply: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Arbiter for Shaky {
    fn claim(&mut self, claim: &Claim) -> Result<bool, ArbiterError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let down = || {
            let source = ErrorKind::ConnectionRefused.into();
            Err(ArbiterError::Storage { action: "reach", path: "here".into(), source })
        };
        if self.is_down.load(Ordering::Relaxed) {
            return down();
        }
        let answer = self.memory.lock().unwrap().claim(claim);
        if self.loses_reply.swap(false, Ordering::Relaxed) { down() } else { answer }
    }
}

fn start(arbiter: impl Arbiter + 'static) -> (Asking, Receiver<Told>) {
    let (tell, told) = channel();
    (Asking::start(Box::new(arbiter), move |it| tell.send(it).unwrap()), told)
}

fn answer(told: &Receiver<Told>) -> (NodeName, Option<bool>) {
    let Told { claim, answer } = told.recv_timeout(LONG).unwrap();
    (claim.claimant, answer.ok())
}

#[test]
fn each_question_has_one_answer() {
    let (asking, told) = start(MemoryArbiter::default());
    asking.ask(claim(NodeName::Secondary));
    assert_eq!(answer(&told), (NodeName::Secondary, Some(true)));
    asking.ask(claim(NodeName::Primary));
    assert_eq!(answer(&told), (NodeName::Primary, Some(false)));
    // Asked again, it is answered again.
    asking.ask(claim(NodeName::Secondary));
    assert_eq!(answer(&told), (NodeName::Secondary, Some(true)));
}

#[test]
fn an_arbiter_that_is_down_is_asked_until_it_answers_and_that_is_told_once() {
    let shaky = Shaky::default();
    shaky.is_down.store(true, Ordering::Relaxed);
    let (asking, told) = start(shaky.clone());
    asking.ask(claim(NodeName::Primary));
    assert_eq!(answer(&told), (NodeName::Primary, None));
    while shaky.asked.load(Ordering::Relaxed) < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(told.try_recv().is_err(), "told twice");
    shaky.is_down.store(false, Ordering::Relaxed);
    assert_eq!(answer(&told), (NodeName::Primary, Some(true)));
}

#[test]
fn a_grant_whose_reply_was_lost_is_heard_the_next_time() {
    let shaky = Shaky::default();
    shaky.loses_reply.store(true, Ordering::Relaxed);
    let (asking, told) = start(shaky);
    asking.ask(claim(NodeName::Secondary));
    assert_eq!(answer(&told), (NodeName::Secondary, None));
    asking.ask(claim(NodeName::Primary));
    let mut answers = [answer(&told), answer(&told)];
    answers.sort();
    assert_eq!(answers, [(NodeName::Primary, Some(false)), (NodeName::Secondary, Some(true))]);
}

#[test]
fn what_is_withdrawn_is_not_asked_again() {
    let shaky = Shaky::default();
    shaky.is_down.store(true, Ordering::Relaxed);
    let (asking, told) = start(shaky.clone());
    asking.ask(claim(NodeName::Primary));
    assert_eq!(answer(&told), (NodeName::Primary, None));
    asking.withdraw(claim(NodeName::Primary));
    // Orders are taken in turn: when this one is asked, that one is forgotten.
    asking.ask(claim(NodeName::Secondary));
    assert_eq!(answer(&told), (NodeName::Secondary, None));
    shaky.is_down.store(false, Ordering::Relaxed);
    assert_eq!(answer(&told), (NodeName::Secondary, Some(true)));
    assert!(told.recv_timeout(FIRST_PAUSE * 3).is_err());
}

/// Waits until it is let go, as on storage that hangs.
struct Hanging(Receiver<()>);

impl Arbiter for Hanging {
    fn claim(&mut self, _: &Claim) -> Result<bool, ArbiterError> {
        self.0.recv_timeout(LONG).unwrap();
        Ok(true)
    }
}

#[test]
fn an_arbiter_that_hangs_is_told_of_as_well_and_holds_nobody_up() {
    let (let_go, held) = channel();
    let (asking, told) = start(Hanging(held));
    asking.ask(claim(NodeName::Primary));
    let Told { answer, .. } = told.recv_timeout(LONG).unwrap();
    assert_eq!(answer.unwrap_err().to_string(), "no answer within 3 s");
    let_go.send(()).unwrap();
    assert_eq!(self::answer(&told), (NodeName::Primary, Some(true)));
}

#[test]
fn who_has_heard_enough_is_told_nothing_more() {
    let (let_go, held) = channel();
    let (asking, told) = start(Hanging(held));
    asking.ask(claim(NodeName::Primary));
    drop(asking);
    let_go.send(()).unwrap();
    assert!(matches!(told.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected)));
}
