//! A guest that misbehaves in every way that it can think of, for real: what becomes of its machine, of the host, and of
//! the pair that protects it.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{NodeName, Rules};
use colo_real::abi;
use colo_real::misdeed::{FIRST_TICK, Misdeed};
use colo_real::vm::{Exit, Guest, MEMORY_MIB_MIN, Machine, MachineConfig, Workload, decode, encode};
use colo_real::{Measured, RunError, RunOptions, RunOutcome, measure_pair};
use colo_trace::NamedRules;
use common::{ask, assert_same_memory, kvm_or_skip, request, service};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// How long a guest that goes on may do so.
const A_WHILE: Duration = Duration::from_millis(60);

/// What the host makes of a misdeed. Texts are the whole, or the beginning where the rest is the guest's to choose.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// The guest goes on, for all that the host cares.
    GoesOn,
    /// It is shut down.
    ShutsDown,
    /// It has failed.
    Fails(String),
    /// What is in the rings is refused.
    Refused(String),
}

/// What must come of each.
fn expected(misdeed: Misdeed) -> Vec<Outcome> {
    use Outcome::{GoesOn, ShutsDown};
    let triple_fault =
        || Outcome::Fails("the guest faulted: a fault without a handler (triple fault)".into());
    let faults = |what: &str| vec![Outcome::Fails(format!("the guest faulted: {what}"))];
    let odd = |what: &str| vec![Outcome::Fails(format!("the guest did what it never does: {what}"))];
    let corrupt = |what: &str| vec![Outcome::Refused(format!("the {what}"))];
    match misdeed {
        Misdeed::RepliesBeyondTheRing => corrupt("reply ring is corrupt: 1027 put, 2 taken, 1024 slots"),
        Misdeed::RepliesGoBack => corrupt("reply ring is corrupt: 1 put, 2 taken, 1024 slots"),
        Misdeed::RepliesAtTheEndOfNumbers => {
            corrupt("reply ring is corrupt: 18446744073709551615 put, 2 taken, 1024 slots")
        }
        Misdeed::RequestsTakenAhead => corrupt("request ring is corrupt: 3 put, 4 taken, 1024 slots"),
        Misdeed::RequestsOfItsOwn => {
            corrupt("request ring is corrupt: 18446744073709551615 put, 2 taken, 1024 slots")
        }
        Misdeed::ScribblesOverTheRings => {
            [corrupt("reply ring is corrupt"), corrupt("request ring is corrupt")].concat()
        }
        Misdeed::UnknownDoorbell => odd("output of [4d, 0, 0, 0] to port 0x510"),
        Misdeed::NarrowDoorbell => odd("output of [0] to port 0x510"),
        Misdeed::StrangePort => odd("output of [1, 0, 0, 0] to port 0x999"),
        // How many bytes at once is for the kernel.
        Misdeed::StringToAStrangePort => odd("output of [0"),
        Misdeed::ReadsTheDoorbell => odd("IoIn(1296, [0, 0, 0, 0])"),
        Misdeed::Panics => vec![Outcome::Fails("the guest panicked at line 4294967295".into())],
        Misdeed::ShutsDown => vec![ShutsDown],
        Misdeed::ReadsBeyondMemory => faults("a read at 0x1000000, where no memory is"),
        Misdeed::WritesBeyondMemory => faults("a write at 0x1000000, where no memory is"),
        Misdeed::ReadsUnmapped
        | Misdeed::ClearsItsPageTables
        | Misdeed::WritesOverItself
        | Misdeed::Undefined
        | Misdeed::DividesByZero
        | Misdeed::Interrupts
        | Misdeed::SingleSteps
        | Misdeed::Halts
        | Misdeed::WritesAnMsr
        | Misdeed::LoadsPageTables
        | Misdeed::LoadsADescriptorTable
        | Misdeed::CallsTheSystem => vec![triple_fault()],
        // Whether ring 3 gets an answer or a fault is for the kernel.
        Misdeed::CallsTheHypervisor => vec![GoesOn, triple_fault()],
        // Whether it is one exit each is for the kernel.
        Misdeed::RingsInOneInstruction => [vec![GoesOn], odd("output of [0")].concat(),
        Misdeed::OutputJumps
        | Misdeed::OutputWraps
        | Misdeed::RepliesWithoutEnd
        | Misdeed::RepeatsItself
        | Misdeed::RingsWithoutEnd
        | Misdeed::AlwaysAwake
        | Misdeed::WakesAtTheEndOfTime
        | Misdeed::TimeEnds
        | Misdeed::Spins => vec![GoesOn],
        with_a_card => expected_of_a_card(with_a_card),
    }
}

/// The same of what is done to the network card.
fn expected_of_a_card(misdeed: Misdeed) -> Vec<Outcome> {
    use Outcome::GoesOn;
    let refused = |what: &str| vec![Outcome::Refused(format!("the network card: {what}"))];
    match misdeed {
        // It may come to something that can be, or not.
        Misdeed::GarbageQueues | Misdeed::TouchesEveryRegister => [vec![GoesOn], refused("")].concat(),
        Misdeed::QueuesBeyondMemory => {
            refused("a queue of 256 entries at 0x190000, 0xffffc0 and 0x192000, not ")
        }
        Misdeed::QueuesAtTheEndOfNumbers => {
            refused("a queue of 256 entries at 0x190000, 0x191000 and 0xfffffffffffffffc, not ")
        }
        Misdeed::TablesOfDescriptors => refused("a chain of more than 256 buffers"),
        Misdeed::ReceivesIntoWhatIsToBeRead => {
            refused("a receive buffer of 0 bytes, for a frame and header of 72")
        }
        Misdeed::AvailableJumps | Misdeed::AvailableGoesBack => refused("invalid available ring index"),
        Misdeed::HeadsBeyondTheQueue => refused("invalid descriptor index"),
        Misdeed::UsedOverTheCounters => vec![Outcome::Refused("the request ring is corrupt: ".to_owned())],
        // The processor may know for a while what they were.
        Misdeed::UsedOverThePageTables => {
            let fault = "the guest faulted: a fault without a handler (triple fault)";
            vec![GoesOn, Outcome::Fails(fault.to_owned())]
        }
        _ => vec![GoesOn],
    }
}

fn is_as_expected(outcome: &Outcome, expected: &Outcome) -> bool {
    match (outcome, expected) {
        (Outcome::Fails(text), Outcome::Fails(begins))
        | (Outcome::Refused(text), Outcome::Refused(begins)) => text.starts_with(begins.as_str()),
        (outcome, expected) => outcome == expected,
    }
}

/// A machine of the least memory, with a card if the guest takes one.
fn blank(workload: &Workload) -> Machine {
    let config = MachineConfig { memory_mib: MEMORY_MIB_MIN, prefault: false, card: workload.card() };
    Machine::new(&config).unwrap()
}

/// A machine that has served until the tick with which its guest misbehaves.
fn before(misdeed: Misdeed) -> Machine {
    let workload = Workload { guest: Guest::Hostile(misdeed), ..Workload::default() };
    let mut machine = blank(&workload);
    machine.boot(workload.guest.image(), &workload.parameters()).unwrap();
    for tick in 1..FIRST_TICK {
        machine.tick().unwrap();
        let replies = ask(&mut machine, request(1, tick, abi::OP_ADD, 7, 1));
        assert_eq!(replies[0].value, tick, "{misdeed:?}: until then it serves");
    }
    machine.tick().unwrap();
    machine
}

/// Lets the guest do it, as a node would: requests and time in, replies out, kicked now and then.
fn outcome(machine: &mut Machine, lengths: &mut BTreeSet<usize>) -> Outcome {
    let deadline = Instant::now() + A_WHILE;
    let (mut replies, mut frames) = (Vec::new(), Vec::new());
    if let Err(error) = machine.put_request(&request(1, FIRST_TICK, abi::OP_ADD, 7, 1)) {
        return Outcome::Refused(error.to_string());
    }
    while Instant::now() < deadline {
        let exit = match kicked_after(machine, Duration::from_millis(5)) {
            Ok(exit) => exit,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match exit {
            Exit::Doorbell(_) | Exit::Kicked => {}
            Exit::Blocks => return Outcome::Fails("it asks for blocks of a disk".to_owned()),
            Exit::Shutdown => return Outcome::ShutsDown,
            Exit::Reset => panic!("no misdeed asks for a reset"),
            Exit::Failed(failure) => return Outcome::Fails(failure.to_string()),
        }
        machine.pass_time(Duration::from_millis(5)).unwrap();
        machine.wakes_in().unwrap();
        let held = replies.len();
        let sent = machine.has_card().then(|| machine.output_end().unwrap());
        let looked = machine.settle().and_then(|()| {
            machine.take_replies(&mut replies)?;
            machine.take_frames(&mut frames)?;
            machine.put_frame(&[0xff; 60])?;
            machine.has_work()
        });
        if let Err(error) = looked {
            return Outcome::Refused(error.to_string());
        }
        assert!(frames.len() <= usize::from(abi::CARD_QUEUE_ENTRIES), "never more than the queue has");
        if let Some(sent) = sent {
            assert_eq!(machine.output_end().unwrap(), sent + frames.len() as u64);
        }
        lengths.extend(frames.drain(..).map(|frame| frame.len()));
        assert!(replies.len() - held <= 1024, "never more than the ring has");
        replies.clear();
    }
    Outcome::GoesOn
}

/// Runs until an exit, or a kick that comes after `delay`. A kick ends it, whatever the guest does.
fn kicked_after(machine: &mut Machine, delay: Duration) -> colo_real::Result<Exit> {
    let kicker = machine.kicker();
    thread::scope(|scope| {
        let run = scope.spawn(|| machine.run());
        let kick_at = Instant::now() + delay;
        while !run.is_finished() && Instant::now() < kick_at {
            thread::sleep(Duration::from_micros(100));
        }
        // One that comes too late would end the next run before it has begun.
        if !run.is_finished() {
            kicker.kick();
        }
        run.join().unwrap()
    })
}

#[test]
fn whatever_a_guest_does_it_can_be_stopped_and_saved_and_no_other_notices() {
    if !kvm_or_skip("whatever_a_guest_does_it_can_be_stopped_and_saved_and_no_other_notices") {
        return;
    }
    let mut good = service(0, 0);
    for (sequence, misdeed) in (1..).zip(Misdeed::ALL) {
        let mut machine = before(misdeed);
        let mut lengths = BTreeSet::new();
        let outcome = outcome(&mut machine, &mut lengths);
        let expected = expected(misdeed);
        assert!(
            expected.iter().any(|one| is_as_expected(&outcome, one)),
            "{misdeed:?}: {outcome:?}, not {expected:?}"
        );
        assert_frames(misdeed, &lengths);
        assert_can_be_moved(&mut machine, misdeed);
        assert_eq!(ask(&mut good, request(1, sequence, abi::OP_ADD, 3, 1))[0].value, sequence);
    }
}

/// Of what frames lengths the card has sent, after this.
fn assert_frames(misdeed: Misdeed, lengths: &BTreeSet<usize>) {
    match misdeed {
        Misdeed::SendsUnasked => assert_eq!(lengths, &BTreeSet::from([38])),
        Misdeed::FloodsTheNetwork | Misdeed::BuffersOverTheQueue => {
            assert_eq!(lengths, &BTreeSet::from([1514]), "{misdeed:?}");
        }
        Misdeed::FramesOfEveryLength => {
            assert!(
                lengths.iter().copied().eq(14..=1514),
                "each that a frame may have, and no other: {lengths:?}"
            );
        }
        Misdeed::ChainsThatLoop => {
            assert_eq!(lengths, &BTreeSet::from([256 - 12]), "as long as there are buffers")
        }
        Misdeed::ResetsInTheMiddle | Misdeed::UsedOverAvailable => {
            assert_eq!(lengths, &BTreeSet::from([60]), "{misdeed:?}");
        }
        // Chance has it.
        Misdeed::GarbageQueues | Misdeed::TouchesEveryRegister | Misdeed::UsedOverThePageTables => {}
        _ => assert_eq!(lengths, &BTreeSet::new(), "{misdeed:?}"),
    }
}

/// What is left of the machine has a state, which another machine takes.
fn assert_can_be_moved(machine: &mut Machine, misdeed: Misdeed) {
    let (mut state, mut blob) = (machine.state(), Vec::new());
    machine.save(&mut state).unwrap();
    encode(&state, 0, &[], &mut blob).unwrap();
    let mut copy = blank(&Workload { guest: Guest::Hostile(misdeed), ..Workload::default() });
    for page in 0..machine.memory().pages() {
        copy.write_page(page, machine.page(page).unwrap()).unwrap();
    }
    copy.restore(&decode(&blob).unwrap().state).unwrap();
    assert_same_memory(machine, &copy, &format!("{misdeed:?}"));
}

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    common::pair::be_a_node_if_asked();
}

fn run(misdeed: Misdeed, delay_ms: u32) -> Result<(RunOutcome, Measured), RunError> {
    let usual = common::pair::options("v12", Rules::V12);
    let rules = Rules { checkpoint_delay_ms: delay_ms, ..Rules::V12 };
    let options = RunOptions {
        rules: NamedRules { rules, ..usual.rules },
        checkpoints: 12,
        workload: Workload { guest: Guest::Hostile(misdeed), ..common::pair::dirty(16) },
        record: false,
        ..usual
    };
    let directory = tempfile::tempdir().unwrap();
    measure_pair(&options, directory.path(), &mut |_| {})
}

/// A guest that cannot go on ends the run, in words that say what it did. A node that panicked would have said nothing.
#[test]
fn a_pair_whose_guest_fails_ends_and_says_why() {
    if !kvm_or_skip("a_pair_whose_guest_fails_ends_and_says_why") {
        return;
    }
    for (misdeed, text) in [
        (Misdeed::RepliesBeyondTheRing, "the primary failed: the reply ring is corrupt: "),
        (
            Misdeed::RequestsOfItsOwn,
            "the primary failed: the request ring is corrupt: 18446744073709551615 put, ",
        ),
        (Misdeed::ScribblesOverTheRings, "the primary failed: the re"),
        (
            Misdeed::StrangePort,
            "the primary failed: the guest did what it never does: output of [1, 0, 0, 0] to port 0x999",
        ),
        (Misdeed::Panics, "the primary failed: the guest panicked at line 4294967295"),
        (
            Misdeed::WritesBeyondMemory,
            "the primary failed: the guest faulted: a write at 0x1000000, where no memory is",
        ),
        (
            Misdeed::WritesOverItself,
            "the primary failed: the guest faulted: a fault without a handler (triple fault)",
        ),
        (
            Misdeed::CallsTheSystem,
            "the primary failed: the guest faulted: a fault without a handler (triple fault)",
        ),
    ] {
        let error = run(misdeed, 20).unwrap_err();
        assert!(matches!(error, RunError::Node(NodeName::Primary, _)), "{misdeed:?}: {error}");
        assert!(error.to_string().starts_with(text), "{misdeed:?}: {error}");
    }
}

/// A guest that asks to be off whenever it is let is off as if it had asked once, and so is its secondary.
#[test]
fn a_pair_whose_guest_asks_to_be_off_without_end_is_off() {
    if !kvm_or_skip("a_pair_whose_guest_asks_to_be_off_without_end_is_off") {
        return;
    }
    let (outcome, _) = run(Misdeed::ShutsDown, 20).unwrap();
    assert_eq!((&outcome.violation, outcome.failovers, outcome.powered_off), (&None, 0, [true; 2]));
}

/// A guest that claims output that its node has not seen: the secondary refuses the state, and the primary serves alone.
#[test]
fn a_state_that_contradicts_its_output_is_not_taken_over() {
    if !kvm_or_skip("a_state_that_contradicts_its_output_is_not_taken_over") {
        return;
    }
    for misdeed in [Misdeed::OutputJumps, Misdeed::OutputWraps] {
        let (outcome, _) = run(misdeed, 20).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 1), "{misdeed:?}");
        assert_eq!(outcome.checkpoints.len() as u64, FIRST_TICK - 1, "{misdeed:?}: none with it");
    }
}

#[test]
fn a_pair_goes_on_whatever_time_its_guest_asks_for() {
    if !kvm_or_skip("a_pair_goes_on_whatever_time_its_guest_asks_for") {
        return;
    }
    for misdeed in [Misdeed::AlwaysAwake, Misdeed::WakesAtTheEndOfTime, Misdeed::TimeEnds] {
        let (outcome, _) = run(misdeed, 20).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{misdeed:?}");
        assert!(outcome.checkpoints.len() >= 12, "{misdeed:?}");
    }
}

/// It is suspended and saved with every checkpoint all the same, until its clients have lost patience.
#[test]
fn a_guest_that_never_leaves_is_checkpointed_until_its_clients_lose_patience() {
    if !kvm_or_skip("a_guest_that_never_leaves_is_checkpointed_until_its_clients_lose_patience") {
        return;
    }
    let (outcome, _) = run(Misdeed::Spins, 20).unwrap();
    let violation = outcome.violation.map(|violation| violation.to_string());
    assert_eq!(violation.as_deref(), Some("unanswered: no client has heard anything for 20 s"));
    assert!(outcome.checkpoints.len() > 100, "{} checkpoints", outcome.checkpoints.len());
}

/// More output than a checkpoint can carry, between two checkpoints: the guest has to wait, and not the host to keep it.
#[test]
fn a_guest_that_answers_without_end_waits_for_its_checkpoint() {
    if !kvm_or_skip("a_guest_that_answers_without_end_waits_for_its_checkpoint") {
        return;
    }
    let (outcome, measured) = run(Misdeed::RepliesWithoutEnd, 3_000).unwrap();
    let violation = outcome.violation.map(|violation| violation.to_string());
    let unasked =
        "unasked: client 0's request 0 is answered 0 with serial 0, but that request was never sent";
    assert_eq!(
        (violation.as_deref(), outcome.failovers),
        (Some(unasked), 0),
        "its clients find out, at the release"
    );
    let most = measured.slices().iter().flat_map(|slice| slice.resident_bytes).max().unwrap();
    assert!(most < 400 << 20, "{} MiB", most >> 20);
}

/// What its clients have heard before is no answer.
#[test]
fn a_guest_that_only_repeats_itself_counts_as_silent() {
    if !kvm_or_skip("a_guest_that_only_repeats_itself_counts_as_silent") {
        return;
    }
    let (outcome, _) = run(Misdeed::RepeatsItself, 20).unwrap();
    let violation = outcome.violation.map(|violation| violation.to_string());
    assert_eq!(violation.as_deref(), Some("unanswered: no client has heard anything for 20 s"));
}
