//! The arbiter in a real etcd, which is killed while it is asked.
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "etcd"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::NodeName;
use colo_real::arbiter::{Asking, Claim, RunId, Told};
use common::etcd::{Etcd, etcd_or_skip};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn claim(run: &RunId, generation: u64, claimant: NodeName) -> Claim {
    Claim { run: run.clone(), generation, claimant }
}

/// The answers to both nodes' claims, whatever was said of a silent arbiter before.
fn answers(told: &Receiver<Told>) -> [bool; 2] {
    let mut answers = [None; 2];
    while answers.contains(&None) {
        let Told { claim, answer } = told.recv_timeout(Duration::from_mins(1)).unwrap();
        if let Ok(granted) = answer {
            answers[claim.claimant as usize] = Some(granted);
        }
    }
    answers.map(Option::unwrap)
}

#[test]
fn who_asks_first_has_it_for_whoever_asks_however_often() {
    if !etcd_or_skip("who_asks_first_has_it_for_whoever_asks_however_often") {
        return;
    }
    let (etcd, run) = (Etcd::start(), RunId::drawn().unwrap());
    let [mut one, mut other] = [etcd.arbiter().arbiter(), etcd.arbiter().arbiter()];
    for (generation, first) in (0..).zip([NodeName::Primary, NodeName::Secondary]) {
        for _ in 0..3 {
            assert!(one.claim(&claim(&run, generation, first)).unwrap());
            assert!(!other.claim(&claim(&run, generation, first.peer())).unwrap());
        }
    }
}

/// What is asked of an etcd that has been stopped is outstanding for certain when it is killed.
#[test]
fn a_claim_that_is_outstanding_when_etcd_is_killed_is_made_when_it_is_back() {
    if !etcd_or_skip("a_claim_that_is_outstanding_when_etcd_is_killed_is_made_when_it_is_back") {
        return;
    }
    let (mut etcd, run) = (Etcd::start(), RunId::drawn().unwrap());
    let (tell, told) = channel();
    let asking = Asking::start(etcd.arbiter().arbiter(), move |it| tell.send(it).unwrap());
    etcd.stop();
    asking.ask(claim(&run, 0, NodeName::Secondary));
    let Told { answer, .. } = told.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(answer.unwrap_err().to_string().contains("timeout"));
    asking.ask(claim(&run, 0, NodeName::Primary));
    std::thread::sleep(Duration::from_millis(100));
    etcd.kill();
    etcd.restart();
    let [primary, secondary] = answers(&told);
    assert!(primary != secondary);
}

/// Both nodes ask, from two hosts, and etcd is killed at some moment of it: before, between, or after their claims.
#[test]
fn whenever_etcd_is_killed_one_wins_and_still_has_it_when_etcd_is_back() {
    if !etcd_or_skip("whenever_etcd_is_killed_one_wins_and_still_has_it_when_etcd_is_back") {
        return;
    }
    let (mut etcd, run) = (Etcd::start(), RunId::drawn().unwrap());
    let (tell, told) = channel();
    let hosts = NodeName::ALL.map(|_| {
        let tell = tell.clone();
        Asking::start(etcd.arbiter().arbiter(), move |it| {
            // It fails when the test is over.
            let _ = tell.send(it);
        })
    });
    let mut won = Vec::new();
    for (generation, wait_us) in (0..).zip([0, 200, 500, 1_000, 2_000, 5_000]) {
        for (host, node) in hosts.iter().zip(NodeName::ALL) {
            host.ask(claim(&run, generation, node));
        }
        std::thread::sleep(Duration::from_micros(wait_us));
        etcd.kill();
        etcd.restart();
        let [primary, secondary] = answers(&told);
        assert!(primary != secondary, "generation {generation}: {primary}, {secondary}");
        won.push([primary, secondary]);
    }
    for (generation, won) in (0..).zip(won) {
        for (host, node) in hosts.iter().zip(NodeName::ALL) {
            host.ask(claim(&run, generation, node));
        }
        assert_eq!(answers(&told), won, "generation {generation}");
    }
}
