//! Output commit for frames, on real pairs: whatever a guest sends, nothing reaches the network that no checkpoint covers, and what
//! the network has seen once is never something else later. And what a guest that floods it comes to.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{NodeName, Rules, rules_named};
use colo_real::misdeed::Misdeed;
use colo_real::net::{Direction, FrameFaults, Switch};
use colo_real::vm::{Guest, Workload};
use colo_real::{CheckpointFigures, Measured, RunOptions, RunOutcome, measure_pair};
use colo_trace::{Fault, FaultAction, Kind, NamedRules, Plan, Record};
use common::kvm_or_skip;
use common::pair::{assert_conforms, be_a_node_if_asked, dirty, options};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

/// A frame of the guest's that the network has seen: each says its place in the output, what only the machine that has sent it could
/// have put there, and what was in the frame before it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at_us: u64,
    place: u64,
    token: u64,
    before: u64,
}

/// All that the network has seen.
#[derive(Clone, Default)]
struct Witness {
    frames: Vec<Seen>,
    /// When somebody has announced that the service is there now.
    announced_us: Vec<u64>,
    /// Frames of any other kind.
    others: u64,
}

impl Witness {
    /// What has come since the first announcement, if there was one.
    fn frames_behind_the_announcement(&self) -> usize {
        let Some(announced_us) = self.announced_us.first() else { return 0 };
        self.frames.iter().rev().take_while(|seen| seen.at_us > *announced_us).count()
    }

    fn see(&mut self, frame: &[u8]) {
        let at_us = now_us();
        let word = |n: usize| u64::from_le_bytes(frame[14 + n * 8..][..8].try_into().unwrap());
        match frame[12..14] {
            // A flood is of longer ones.
            [0x88, 0xb5] if frame.len() == 38 => {
                self.frames.push(Seen { at_us, place: word(0), token: word(1), before: word(2) });
            }
            [0x08, 0x06] => self.announced_us.push(at_us),
            _ => self.others += 1,
        }
    }
}

/// Frames of a run, or of its survivor, after which it may end.
const ENOUGH: usize = 200;

/// A checkpoint that is longer carries as much output as may be withheld; after two of them a run may end, too.
const FULL_BYTES: u64 = 32 << 20;

/// How long a run may take to come to that.
const PATIENCE: Duration = Duration::from_secs(30);

/// The clock that the records are of.
fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
}

/// Runs a pair with this guest for so long, or until its network has seen enough; what it came to, and what the network has seen.
fn run(
    options: &RunOptions,
    misdeed: Misdeed,
    lasts: Duration,
    is_enough: fn(&Witness) -> bool,
) -> (RunOutcome, Measured, Witness) {
    // A run holds it for as long as it likes.
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let switch = Arc::new(Switch::start(FrameFaults::default()).unwrap());
    let witness = Arc::new(Mutex::new(Witness::default()));
    let seen = Arc::clone(&witness);
    switch
        .observe(Box::new(move |_, direction, frame| {
            assert_eq!(direction, Direction::FromService, "there is no client");
            let mut witness = seen.lock().unwrap();
            witness.see(frame);
            stop.fetch_or(is_enough(&witness), Ordering::Relaxed);
        }))
        .unwrap();
    let options = RunOptions {
        workload: Workload { guest: Guest::Hostile(misdeed), ..options.workload },
        network: Some(Arc::clone(&switch)),
        lasts: Some(lasts),
        stop: Some(stop),
        ..options.clone()
    };
    let directory = tempfile::tempdir().unwrap();
    let mut full = 0;
    let mut progress = |figures: &CheckpointFigures| {
        full += u64::from(figures.bytes > FULL_BYTES);
        stop.fetch_or(full >= 2, Ordering::Relaxed);
    };
    let (outcome, measured) = measure_pair(&options, directory.path(), &mut progress).unwrap();
    outcome.trace.iter().for_each(assert_conforms);
    drop(options);
    Arc::into_inner(switch).unwrap().end().unwrap();
    let witness = witness.lock().unwrap().clone();
    (outcome, measured, witness)
}

/// What the records say of output: up to where which was covered, released, and by whom taken over, at each time.
struct Account<'a> {
    records: &'a [Record],
    began_us: u64,
}

impl Account<'_> {
    fn until(&self, at_us: u64) -> impl Iterator<Item = &Record> {
        self.records.iter().take_while(move |record| self.began_us + record.time_us <= at_us)
    }

    fn has_taken_over(&self, at_us: u64) -> bool {
        self.until(at_us).any(|record| record.kind == Kind::Effect && record.name == "take-over")
    }

    /// The end of what somebody had released by then.
    fn released(&self, at_us: u64) -> u64 {
        let released =
            self.until(at_us).filter(|record| record.kind == Kind::Effect && record.name == "release");
        released.filter_map(|record| record.value).max().unwrap_or(0)
    }

    /// The end of what was, by then, in a checkpoint that the secondary had told the primary it has.
    fn covered(&self, at_us: u64) -> u64 {
        let (mut produced, mut captured, mut covered) = (0, 0, 0);
        for record in self.until(at_us).filter(|record| record.node == Some(NodeName::Primary)) {
            match (record.kind, record.name.as_str()) {
                (Kind::Input, "guest-output") => produced = record.value.unwrap(),
                (Kind::Effect, "save-state") => captured = produced,
                (Kind::Input, "vmstate-received") => covered = captured,
                _ => {}
            }
        }
        covered
    }
}

/// What of the frames the network should not have seen, or not then, or seen otherwise.
fn uncommitted(witness: &Witness, account: &Account<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for Seen { at_us, place, .. } in &witness.frames {
        let (released, covered) = (account.released(*at_us), account.covered(*at_us));
        if *place >= released {
            wrong.push(format!("frame {place} is seen when output up to {released} has been released"));
        }
        if *place >= covered && !account.has_taken_over(*at_us) {
            wrong.push(format!("frame {place} is seen when the secondary has output up to {covered}"));
        }
    }
    for pair in witness.frames.windows(2) {
        if pair[1].place != pair[0].place + 1 {
            wrong.push(format!("frame {} is seen behind frame {}", pair[1].place, pair[0].place));
        } else if pair[1].before != pair[0].token {
            wrong.push(format!(
                "frame {} is another than the one that its successor comes behind",
                pair[0].place
            ));
        }
    }
    let early = witness.announced_us.iter().filter(|at_us| !account.has_taken_over(**at_us));
    wrong.extend(early.map(|at_us| format!("somebody announces himself at {at_us} who has not taken over")));
    wrong
}

/// A run into this fault, if into any; what of its frames is wrong.
fn judged(name: &str, rules: Rules, fault: Option<Fault>) -> (RunOutcome, Witness, Vec<String>) {
    let usual = options(name, rules);
    let plan = Plan::new(fault.iter().copied().collect());
    let is_enough: fn(&Witness) -> bool = if fault.is_some() {
        |witness| witness.frames_behind_the_announcement() >= ENOUGH
    } else {
        |witness| witness.frames.len() >= ENOUGH
    };
    let options = RunOptions { plan, ..usual };
    let (outcome, _, witness) = run(&options, Misdeed::SendsUnasked, PATIENCE, is_enough);
    assert_eq!(witness.others, 0, "nobody sends any other");
    let records = &outcome.trace.as_ref().unwrap().records;
    let wrong = uncommitted(&witness, &Account { records, began_us: outcome.began_us });
    (outcome, witness, wrong)
}

fn crash(node: NodeName, at: &str) -> Fault {
    Fault { at: at.parse().unwrap(), action: FaultAction::Crash { node } }
}

/// Where the primary dies, and where the secondary does.
const DEATHS: [(NodeName, &str); 4] = [
    (NodeName::Primary, "primary checkpoint 12 during effect send-ram"),
    (NodeName::Primary, "primary checkpoint 12 after effect vmstate-size"),
    (NodeName::Primary, "primary checkpoint 12 after effect release"),
    (NodeName::Secondary, "secondary checkpoint 12 during effect load-state"),
];

#[test]
fn no_frame_is_sent_that_was_not_committed_whoever_dies_in_the_middle_of_a_checkpoint() {
    if !kvm_or_skip("no_frame_is_sent_that_was_not_committed_whoever_dies_in_the_middle_of_a_checkpoint") {
        return;
    }
    for (name, rules) in [
        ("v12", Rules::V12),
        ("late-release", rules_named("late-release").unwrap()),
        ("remus", Rules::REMUS),
        ("strict", Rules::STRICT),
    ] {
        let (outcome, witness, wrong) = judged(name, rules, None);
        assert_eq!((&outcome.violation, outcome.failovers, &wrong), (&None, 0, &Vec::new()), "{name}");
        assert!(witness.frames.len() >= ENOUGH, "{name}: {} frames", witness.frames.len());
        assert_eq!(witness.announced_us, [0; 0], "{name}");
        for (node, at) in DEATHS {
            let (outcome, witness, wrong) = judged(name, rules, Some(crash(node, at)));
            assert_eq!((&outcome.violation, outcome.unreached), (&None, Vec::new()), "{name}, {at}");
            assert_eq!((outcome.failovers, &wrong), (1, &Vec::new()), "{name}, {at}");
            assert!(!witness.announced_us.is_empty(), "{name}, {at}");
            let behind = witness.frames_behind_the_announcement();
            assert!(behind >= ENOUGH, "{name}, {at}: the survivor sends {behind}");
        }
    }
}

/// The check finds a rule that lets output go when it is captured: at the first checkpoint already, and what is worse, after a
/// death, when the survivor sends something else.
#[test]
fn a_rule_that_releases_too_early_is_found_out() {
    if !kvm_or_skip("a_rule_that_releases_too_early_is_found_out") {
        return;
    }
    let name = "bug:release-at-suspend";
    let rules = rules_named(name).unwrap();
    let says = |wrong: &[String], text: &str| wrong.iter().any(|problem| problem.contains(text));
    let (_, _, wrong) = judged(name, rules, None);
    assert!(says(&wrong, "is seen when the secondary has output up to"), "{wrong:?}");
    let (outcome, _, wrong) = judged(name, rules, Some(crash(NodeName::Primary, DEATHS[0].1)));
    assert_eq!(outcome.failovers, 1);
    assert!(says(&wrong, "is another than the one that its successor comes behind"), "{wrong:?}");
}

/// And a runner that sends what the core has not released.
#[test]
fn a_frame_that_nobody_has_released_is_found_out() {
    let record = |time_us, name: &str, kind, value| Record {
        value,
        ..Record::other(time_us, Some(NodeName::Primary), 1, kind, name)
    };
    let records = [
        record(1, "guest-output", Kind::Input, Some(3)),
        record(2, "save-state", Kind::Effect, None),
        record(3, "guest-output", Kind::Input, Some(9)),
        record(4, "vmstate-received", Kind::Input, None),
        record(5, "release", Kind::Effect, Some(3)),
    ];
    let account = Account { records: &records, began_us: 100 };
    let seen = |at_us, place| Seen { at_us, place, token: place + 1, before: place };
    let judge = |frames: &[Seen], announced_us: &[u64]| {
        let witness = Witness { frames: frames.to_vec(), announced_us: announced_us.to_vec(), others: 0 };
        uncommitted(&witness, &account)
    };
    assert_eq!(judge(&[seen(105, 0), seen(105, 1), seen(106, 2)], &[]), [""; 0]);
    assert_eq!(judge(&[seen(104, 0)], &[]), ["frame 0 is seen when output up to 0 has been released"]);
    assert_eq!(judge(&[seen(106, 3)], &[]).len(), 2, "it is neither released nor covered");
    assert_eq!(judge(&[seen(105, 0), seen(105, 2)], &[]), ["frame 2 is seen behind frame 0"]);
    assert_eq!(judge(&[], &[150]).len(), 1);
}

/// Its frames wait for their checkpoint, and so does the guest when they are too many; nothing else comes of it.
#[test]
fn a_guest_that_floods_its_network_is_held_up_and_its_pair_goes_on() {
    if !kvm_or_skip("a_guest_that_floods_its_network_is_held_up_and_its_pair_goes_on") {
        return;
    }
    let usual = options("v12", Rules::V12);
    let rules = Rules { checkpoint_delay_ms: 1_000, ..Rules::V12 };
    let options = RunOptions {
        rules: NamedRules { rules, ..usual.rules },
        workload: dirty(16),
        record: false,
        ..usual
    };
    let (outcome, measured, witness) = run(&options, Misdeed::FloodsTheNetwork, PATIENCE, |_| false);
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    // Behind the first ones, each has carried as much as there may be.
    let flooded = outcome.checkpoints.iter().filter(|figures| figures.bytes > FULL_BYTES).count();
    assert!(witness.others > 1_000, "{} frames have left", witness.others);
    assert!(flooded >= 2, "{flooded} of {}", outcome.checkpoints.len());
    let most = measured.slices().iter().flat_map(|slice| slice.resident_bytes).max().unwrap();
    eprintln!("{flooded} checkpoints, {} MiB", most >> 20);
    assert!(most < 400 << 20, "{} MiB", most >> 20);
}

/// It always has something to do, so it never stands still by itself; it is suspended all the same.
#[test]
fn a_guest_that_never_takes_its_frames_is_checkpointed() {
    if !kvm_or_skip("a_guest_that_never_takes_its_frames_is_checkpointed") {
        return;
    }
    let (outcome, ..) =
        run(&options("v12", Rules::V12), Misdeed::NeverTakesFrames, Duration::from_secs(2), |_| false);
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    assert!(outcome.checkpoints.len() > 20, "{}", outcome.checkpoints.len());
}
