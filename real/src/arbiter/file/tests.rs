//! The arbiter on shared storage, as its claimants see it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::sync::{Arc, Barrier};
use tempfile::TempDir;

fn claim(claimant: NodeName, generation: u64) -> Claim {
    Claim { run: RunId::new("run").unwrap(), generation, claimant }
}

fn arbiter(directory: &TempDir) -> FileArbiter {
    FileArbiter::new(directory.path().to_owned())
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn who_asks_first_has_a_generation_for_ever_and_no_other_generation() {
    let directory = tempfile::tempdir().unwrap();
    let [primary, secondary] = NodeName::ALL;
    assert!(arbiter(&directory).claim(&claim(primary, 0)).unwrap());
    for _ in 0..3 {
        // Whoever asks, and with whichever arbiter: the directory is all that there is.
        assert!(!arbiter(&directory).claim(&claim(secondary, 0)).unwrap());
        assert!(arbiter(&directory).claim(&claim(primary, 0)).unwrap());
    }
    assert!(arbiter(&directory).claim(&claim(secondary, 1)).unwrap());
    assert!(!arbiter(&directory).claim(&claim(primary, 1)).unwrap());
    assert_eq!(names(&directory), ["run-0.claim", "run-1.claim"]);
}

/// Eight hosts ask at once, four for either node, two hundred times over; some of the replies to their links are lost.
#[test]
fn of_many_that_ask_at_once_one_node_wins_whatever_replies_are_lost() {
    let directory = tempfile::tempdir().unwrap();
    let begin = Arc::new(Barrier::new(8));
    let hosts = (0..8).map(|host: usize| {
        let (begin, mut arbiter) = (Arc::clone(&begin), arbiter(&directory));
        if host.is_multiple_of(3) {
            arbiter.link = loses_replies;
        }
        let node = NodeName::ALL[host % 2];
        std::thread::spawn(move || {
            let ask = |generation| {
                begin.wait();
                arbiter.claim(&claim(node, generation)).unwrap()
            };
            (0..200).map(ask).collect::<Vec<_>>()
        })
    });
    let hosts: Vec<_> = hosts.collect::<Vec<_>>().into_iter().map(|host| host.join().unwrap()).collect();
    for round in 0..200 {
        let answers: [Vec<_>; 2] =
            [0, 1].map(|node| hosts.iter().skip(node).step_by(2).map(|answers| answers[round]).collect());
        let [primary, secondary] = answers.each_ref().map(|answers| answers[0]);
        assert!(primary != secondary, "round {round}: {answers:?}");
        assert!(
            answers.iter().all(|answers| answers.iter().all(|answer| *answer == answers[0])),
            "{answers:?}"
        );
    }
}

fn loses_replies(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    Err(ErrorKind::TimedOut.into())
}

fn loses_requests(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::TimedOut.into())
}

#[test]
fn a_link_whose_reply_was_lost_is_known_by_the_claim_that_stands() {
    let directory = tempfile::tempdir().unwrap();
    let [primary, secondary] = NodeName::ALL;
    let mut lossy = FileArbiter { link: loses_replies, ..arbiter(&directory) };
    assert!(lossy.claim(&claim(secondary, 0)).unwrap());
    assert!(!lossy.claim(&claim(primary, 0)).unwrap());
}

#[test]
fn a_link_that_was_not_made_is_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut lossy = FileArbiter { link: loses_requests, ..arbiter(&directory) };
    let error = lossy.claim(&claim(NodeName::Primary, 0)).unwrap_err().to_string();
    assert!(error.starts_with("cannot link a claim to ") && error.ends_with("timed out"), "{error}");
    assert_eq!(names(&directory), Vec::<String>::new());
    assert!(arbiter(&directory).claim(&claim(NodeName::Secondary, 0)).unwrap());
}

#[test]
fn a_claim_that_cannot_be_read_is_nobodys_grant() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("run-0.claim");
    let other = claim(NodeName::Primary, 1).words();
    let whole = claim(NodeName::Primary, 0).words();
    let (half, long) = (&whole[..whole.len() - 3], "x".repeat(10_000));
    for (words, got) in [
        ("", "holds nothing,"),
        ("\u{1b}[2J\0", "holds \"\\u{1b}[2J\\0\","),
        (half, "claimant prima"),
        (&other, "generation 1"),
        (&long, "xxx...\","),
    ] {
        fs::write(&place, words).unwrap();
        for node in NodeName::ALL {
            let error = arbiter(&directory).claim(&claim(node, 0)).unwrap_err().to_string();
            assert!(
                error.contains(got) && error.contains("expected a claim of generation 0 of run run"),
                "{error}"
            );
        }
        assert_eq!(fs::read_to_string(&place).unwrap(), words);
    }
}

#[test]
fn a_directory_that_is_gone_answers_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let (here, away) = (directory.path().join("here"), directory.path().join("away"));
    fs::create_dir(&here).unwrap();
    let mut arbiter = FileArbiter::new(here.clone());
    assert!(arbiter.claim(&claim(NodeName::Primary, 0)).unwrap());
    fs::rename(&here, &away).unwrap();
    for generation in [0, 1] {
        let error = arbiter.claim(&claim(NodeName::Primary, generation)).unwrap_err().to_string();
        assert!(error.contains("here/run-") && error.contains("No such file or directory"), "{error}");
    }
    fs::rename(&away, &here).unwrap();
    assert!(!arbiter.claim(&claim(NodeName::Secondary, 0)).unwrap());
    assert!(arbiter.claim(&claim(NodeName::Secondary, 1)).unwrap());
}
