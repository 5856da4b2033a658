//! A real node whose peer is this test: it sends what no peer would. In each row the node says what is wrong, takes over
//! nothing of it, holds no more memory than a checkpoint needs, and does what its manager tells it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::process::{Heard, NodeCommand, Process};
use crate::abi::{OP_ADD, OP_GET, PAGE_BYTES, REPLIES_PUT, Request};
use crate::control::{FromNode, NodeConfig, ToNode};
use crate::link::{Connections, Link};
use crate::misdeed::{FIRST_TICK, Misdeed};
use crate::vm::{CardState, Guest, Machine, MachineConfig, MachineState, Network, Workload, encode};
use colo_protocol::wire::{BlockName, Encoder};
use colo_protocol::{Dialect, Execution, Message, MessageKind, NodeName, Rules};
use colo_trace::{Kind, Plan};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a node may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for it to have taken in what is there.
const A_MOMENT: Duration = Duration::from_millis(50);

/// What a node may hold, all in all: the guest's 16 MiB, a device state at its limit, the process itself.
const MEMORY_MIB_MAX: u64 = 200;

/// What the good checkpoint has under [`KEY`], and the initial state has not.
const GOOD: u64 = 41;
const KEY: u64 = 3;

/// Not a test: a node's process, when a test has started this program as one.
#[test]
fn node_process() {
    if let Ok(words) = std::env::var("COLO_TEST_NODE") {
        let words: Vec<_> = words.split(' ').collect();
        let [_, control, _, name] = words[..] else { panic!("{words:?}") };
        let name = NodeName::ALL.into_iter().find(|node| node.name() == name).unwrap();
        if let Err(error) = crate::run_node(Path::new(control), name) {
            // No panic: the test has been told why.
            eprintln!("the {name} ends: {error}");
            std::process::exit(1);
        }
    }
}

pub(super) fn node_command() -> NodeCommand {
    let this = std::env::current_exe().unwrap();
    let script =
        "COLO_TEST_NODE=\"$*\" exec \"$0\" --exact pair::hostile_peer::node_process --nocapture".into();
    NodeCommand { program: "sh".into(), arguments: vec!["-c".into(), script, this.into()] }
}

pub(super) fn kvm_or_skip(test: &str) -> bool {
    let Err(error) = crate::kvm_usable() else { return true };
    assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{test}: {error}");
    eprintln!("SKIPPED {test}: {error}");
    false
}

/// A node whose peer and whose harness is the test.
struct Victim {
    process: Process,
    heard: Receiver<Heard>,
    link: UnixStream,
    /// The connection of the comparison, if the rules have one.
    mirror: UnixStream,
    encoder: Encoder,
    row: String,
    _directory: tempfile::TempDir,
}

impl Victim {
    /// A node that has started.
    fn start(name: NodeName, dialect: Dialect, row: &str) -> Self {
        Self::joining(name, dialect, row, false)
    }

    /// The same, perhaps as a replacement.
    fn joining(name: NodeName, dialect: Dialect, row: &str, joins: bool) -> Self {
        let rules = Rules { dialect, ..Rules::V12 };
        Self::begin(name, rules, Workload::default(), row, joins)
    }

    /// The same with these rules, of a machine that does this.
    fn begin(name: NodeName, rules: Rules, workload: Workload, row: &str, joins: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (sender, heard) = channel();
        let mut process = Process::start(name, &node_command(), directory.path(), sender).unwrap();
        let (link, handed) = UnixStream::pair().unwrap();
        handed.set_nonblocking(true).unwrap();
        let (mirror, handed_mirror) = UnixStream::pair().unwrap();
        handed_mirror.set_nonblocking(true).unwrap();
        let handed = Connections {
            link: Link::handed(handed.into()),
            comparison: rules.is_hybrid().then(|| Link::handed(handed_mirror.into())),
            replication: None,
        };
        process.configure(
            NodeConfig {
                name,
                rules: Rules { checkpoint_delay_ms: 100, ..rules },
                memory_mib: 16,
                workload,
                plan: Plan::default(),
                record: true,
                link_rate: None,
                disk: None,
                has_peer: true,
                joins,
                pair: 0,
            },
            Some(&handed),
            None,
        );
        link.set_read_timeout(Some(PATIENCE)).unwrap();
        link.set_write_timeout(Some(PATIENCE)).unwrap();
        let encoder = Encoder::new(rules.dialect, 2);
        let mut victim =
            Self { process, heard, link, mirror, encoder, row: row.to_owned(), _directory: directory };
        victim.hears(&|message| *message == FromNode::Started);
        victim
    }

    /// Waits for something that the node says; what it has said by then. It may not fail or end meanwhile.
    fn hears(&mut self, wanted: &dyn Fn(&FromNode) -> bool) -> Vec<FromNode> {
        let mut said = Vec::new();
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(Heard::Message(_, FromNode::Failed(problem))) => panic!("{}: {problem}", self.row),
                Ok(Heard::Message(_, message)) => {
                    said.push(message);
                    if said.last().is_some_and(wanted) {
                        return said;
                    }
                }
                Ok(Heard::Gone(_)) => panic!("{}: {}, {said:?}", self.row, self.process.ended()),
                other => panic!("{}: {other:?}, after {said:?}", self.row),
            }
        }
    }

    /// Sends bytes; a node that has had enough need not take them all.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.link.write_all(bytes);
    }

    fn message(&self, message: Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encoder.message(&mut bytes, message).unwrap();
        bytes
    }

    /// Waits for a message of the node's, which has to be this one.
    fn expect(&mut self, kind: MessageKind) {
        let mut number = [0; 4];
        self.link.read_exact(&mut number).unwrap();
        assert_eq!(u32::from_be_bytes(number), kind.number(), "{}: expected {kind}", self.row);
    }

    /// The node has left COLO: the errors that it has recorded, and whether its VM is of no use any more.
    fn exits(&mut self) -> (Vec<String>, bool) {
        let said = self.hears(&|message| matches!(message, FromNode::ColoExit { .. }));
        let Some(FromNode::ColoExit { reason, unusable, .. }) = said.last() else { unreachable!() };
        assert_eq!(reason, "error", "{}", self.row);
        let errors = said.iter().filter_map(|message| match message {
            FromNode::Record(record) if record.kind == Kind::Error => Some(record.name.clone()),
            _ => None,
        });
        (errors.collect(), *unusable)
    }

    /// The manager tells the node to go on alone, and it serves, with this under [`KEY`].
    fn serves_alone(&mut self, value: u64) {
        self.process.tell(&ToNode::LostHeartbeat { planned: false });
        self.hears(&|message| *message == FromNode::TookOver);
        self.process.tell(&ToNode::Request([9, 1, OP_GET, KEY, 0]));
        let answer = |message: &FromNode| {
            let FromNode::Output(_, units) = message else { return false };
            units.iter().any(|[client, sequence, _, status, got, _]| {
                (*client, *sequence, *status, *got) == (9, 1, 0, value)
            })
        };
        self.hears(&answer);
        self.holds_little();
    }

    /// The same of a guest with a card: it sends on, from the withheld frames of the good checkpoint.
    fn sends_on_alone(&mut self) {
        self.process.tell(&ToNode::LostHeartbeat { planned: false });
        self.hears(&|message| *message == FromNode::TookOver);
        let frames = |message: &FromNode| matches!(message, FromNode::Frames { .. });
        let said = self.hears(&frames);
        assert!(matches!(said.last(), Some(FromNode::Frames { first: 0, count }) if *count >= 4), "{said:?}");
        let said = self.hears(&frames);
        assert!(matches!(said.last(), Some(FromNode::Frames { first, .. }) if *first >= 4), "{said:?}");
        self.holds_little();
    }

    /// The most that the process has ever held.
    fn holds_little(&self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib >> 10 < MEMORY_MIB_MAX, "{}: {} MiB", self.row, kib >> 10);
    }
}

/// A state of the guest in which [`GOOD`] is under [`KEY`]: its written pages, its processor, its one reply.
struct State {
    workload: Workload,
    pages: Vec<(u64, [u8; 4096])>,
    cpu: MachineState,
    output: Vec<u8>,
    output_end: u64,
}

impl State {
    fn good() -> Self {
        let mut machine =
            Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: None }).unwrap();
        machine.boot(Guest::Kv.image(), &Workload::default().parameters()).unwrap();
        machine.forget_dirty().unwrap();
        let request = Request { client: 1, sequence: 1, operation: OP_ADD, key: KEY, value: GOOD };
        machine.put_request(&request).unwrap();
        machine.run().unwrap();
        let mut replies = Vec::new();
        assert_eq!(machine.take_replies(&mut replies).unwrap(), 1);
        let output = replies[0].to_slot().into_iter().flat_map(u64::to_le_bytes).collect();
        Self::of(Workload::default(), machine, output, 1)
    }

    /// The same of a guest with a network card, which has sent four frames that are withheld, and goes on sending some.
    fn with_a_card() -> Self {
        let workload = sends_frames();
        let mut machine =
            Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: workload.card() }).unwrap();
        machine.boot(workload.guest.image(), &workload.parameters()).unwrap();
        machine.forget_dirty().unwrap();
        (0..FIRST_TICK).for_each(|_| machine.tick().unwrap());
        machine.run().unwrap();
        let mut frames = Vec::new();
        assert_eq!(machine.take_frames(&mut frames).unwrap(), 4);
        let lengths = frames.iter().map(|frame| u32::try_from(frame.len()).unwrap().to_le_bytes());
        let output =
            lengths.zip(&frames).flat_map(|(length, frame)| [&length, &frame[..]].concat()).collect();
        Self::of(workload, machine, output, 4)
    }

    fn of(workload: Workload, mut machine: Machine, output: Vec<u8>, output_end: u64) -> Self {
        let mut cpu = machine.state();
        machine.save(&mut cpu).unwrap();
        let mut dirty = Vec::new();
        machine.harvest(&mut dirty).unwrap();
        let pages = dirty.into_iter().map(|page| (page, *machine.page(page).unwrap())).collect();
        Self { workload, pages, cpu, output, output_end }
    }

    /// The RAM says that its output ends here.
    fn set_replies_put(&mut self, end: u64) {
        let counters = self.pages.iter_mut().find(|(page, _)| *page == REPLIES_PUT / PAGE_BYTES).unwrap();
        let place = usize::try_from(REPLIES_PUT % PAGE_BYTES).unwrap();
        counters.1[place..place + 8].copy_from_slice(&end.to_le_bytes());
    }

    fn blob(&self) -> Vec<u8> {
        self.blob_ending_at(self.output_end)
    }

    fn blob_ending_at(&self, output_end: u64) -> Vec<u8> {
        let mut blob = Vec::new();
        encode(&self.cpu, output_end, &self.output, &mut blob).unwrap();
        blob
    }

    /// vmstate-send and all of the RAM.
    fn ram(&self, encoder: &mut Encoder) -> Vec<u8> {
        let (mut out, block) = (Vec::new(), BlockName::try_from("pc.ram").unwrap());
        encoder.message(&mut out, Message::VmstateSend).unwrap();
        encoder.ram_section_start(&mut out);
        encoder.set_last_block(None);
        for (page, content) in &self.pages {
            encoder.page(&mut out, page * PAGE_BYTES, &block, content).unwrap();
        }
        encoder.end_of_records(&mut out);
        encoder.section_footer(&mut out);
        encoder.end_of_ram(&mut out);
        out
    }

    /// All of the state, with this device state, announced as so long.
    fn stream(&self, encoder: &mut Encoder, announced: u64, blob: &[u8]) -> Vec<u8> {
        let mut out = self.ram(encoder);
        encoder.message(&mut out, Message::VmstateSize(announced)).unwrap();
        out.extend_from_slice(blob);
        out
    }
}

/// A secondary that has loaded a good checkpoint.
fn protected(good: &State, row: &str) -> Victim {
    let rules = Rules { dialect: Dialect::Current, ..Rules::V12 };
    let mut victim = Victim::begin(NodeName::Secondary, rules, good.workload, row, false);
    victim.expect(MessageKind::CheckpointReady);
    requested(&mut victim);
    let blob = good.blob();
    let stream = good.stream(&mut victim.encoder, blob.len() as u64, &blob);
    victim.send(&stream);
    victim.expect(MessageKind::VmstateReceived);
    victim.expect(MessageKind::VmstateLoaded);
    victim
}

/// A checkpoint has been requested and agreed on.
fn requested(victim: &mut Victim) {
    let request = victim.message(Message::CheckpointRequest);
    victim.send(&request);
    victim.expect(MessageKind::CheckpointReply);
}

/// A survivor sends all of its memory in rounds. One that goes on for ever is no survivor.
#[test]
fn a_replacement_takes_in_no_more_rounds_than_there_are() {
    if !kvm_or_skip("a_replacement_takes_in_no_more_rounds_than_there_are") {
        return;
    }
    let mut victim = Victim::joining(NodeName::Secondary, Dialect::Current, "rounds without end", true);
    let mut round = Vec::new();
    victim.encoder.message(&mut round, Message::VmstateSend).unwrap();
    let block = BlockName::new(b"pc.ram").unwrap();
    for _ in 0..100 {
        victim.encoder.ram_section_start(&mut round);
        for page in 0..2_048_u64 {
            victim.encoder.page(&mut round, page << 12, &block, &[7; 4_096]).unwrap();
        }
        victim.encoder.end_of_records(&mut round);
        victim.encoder.section_footer(&mut round);
        victim.send(&round);
        round.clear();
    }
    let (errors, _) = victim.exits();
    assert!(errors[0].contains("too many sections of RAM in an initial state, expected 9"), "{errors:?}");
    victim.holds_little();
}

/// What a peer sends in place of the next checkpoint's state, and the error that the secondary records.
type Row = (&'static str, fn(&State, &mut Encoder) -> Vec<u8>, &'static str);

/// vmstate-send and the beginning of a section.
fn section(encoder: &Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.message(&mut out, Message::VmstateSend).unwrap();
    encoder.ram_section_start(&mut out);
    out
}

fn zero_page(encoder: &mut Encoder, address: u64, block: &str) -> Vec<u8> {
    let mut out = section(encoder);
    encoder.zero_page(&mut out, address, &BlockName::new(block.as_bytes()).unwrap(), 0).unwrap();
    out
}

/// A whole checkpoint whose device state has been changed.
fn with_blob(state: &State, encoder: &mut Encoder, change: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut blob = state.blob();
    change(&mut blob);
    let announced = blob.len() as u64;
    state.stream(encoder, announced, &blob)
}

const ROWS: [Row; 20] = [
    ("garbage", |_, _| vec![0xff; 1 << 16], "invalid COLO message 4294967295, expected 0 to 6"),
    ("another protocol", |_, _| b"GET / HTTP/1.1\r\n\r\n".to_vec(), "invalid COLO message 1195725856"),
    ("a migration of QEMU's", |_, _| b"QEVM\0\0\0\x03".to_vec(), "invalid COLO message 1363498573"),
    ("another dialect", |_, _| vec![0, 0, 0, 7], "invalid COLO message 7, expected 0 to 6"),
    ("a message of its own", |_, _| vec![0, 0, 0, 6], "vmstate-loaded"),
    ("a request in a checkpoint", |_, _| vec![0, 0, 0, 1], "checkpoint-request"),
    (
        "a device state of all numbers",
        |state, encoder| state.stream(encoder, u64::MAX, &[7; 100]),
        "vmstate-size 18446744073709551615, expected at most 67108864 bytes",
    ),
    (
        "a device state of half of them",
        |state, encoder| state.stream(encoder, 1 << 63, &[7; 100]),
        "vmstate-size 9223372036854775808, expected at most 67108864 bytes",
    ),
    (
        "one byte more than the limit",
        |state, encoder| state.stream(encoder, (64 << 20) + 1, &[7; 100]),
        "vmstate-size 67108865, expected at most 67108864 bytes",
    ),
    (
        "no device state",
        |state, encoder| state.stream(encoder, 0, &[]),
        "a blob of 0 bytes at offset 0: expected 28",
    ),
    (
        "as much as may be of what is none",
        |state, encoder| state.stream(encoder, 64 << 20, &vec![7; 64 << 20]),
        "not a device state: it begins with [07, 07, 07, 07, 07, 07, 07, 07]",
    ),
    (
        "another block",
        |_, encoder| zero_page(encoder, 0, "vga.vram"),
        "a page of RAM block vga.vram, expected pc.ram",
    ),
    (
        "a page behind the memory",
        |_, encoder| zero_page(encoder, 16 << 20, "pc.ram"),
        "page 0x1000000 of pc.ram, which ends at 0x1000000",
    ),
    (
        "a page at the end of numbers",
        |_, encoder| zero_page(encoder, u64::MAX - 0xfff, "pc.ram"),
        "page 0xfffffffffffff000 of pc.ram, which ends at 0x1000000",
    ),
    (
        "pages without end",
        |_, encoder| {
            let mut out = zero_page(encoder, 0, "pc.ram");
            let block = BlockName::try_from("pc.ram").unwrap();
            (0..1 << 16).for_each(|_| encoder.page(&mut out, 0, &block, &[7; 4096]).unwrap());
            out
        },
        "more pages in one section than the memory has (4096)",
    ),
    (
        "sections without end",
        |_, encoder| {
            let mut out = section(encoder);
            for _ in 0..1 << 16 {
                encoder.end_of_records(&mut out);
                encoder.section_footer(&mut out);
                encoder.ram_section_start(&mut out);
            }
            out
        },
        "too many sections of RAM in one checkpoint",
    ),
    (
        "a device state of another program",
        |state, encoder| with_blob(state, encoder, |blob| blob[0] ^= 1),
        "not a device state: it begins with [42, 4f, 4c, 4f",
    ),
    (
        "a device state of another version",
        |state, encoder| with_blob(state, encoder, |blob| blob[8] ^= 1),
        "a device state of version 3: this program knows version 2",
    ),
    ("a flipped bit", |state, encoder| with_blob(state, encoder, |blob| blob[100] ^= 1), "it was damaged"),
    (
        "a byte short",
        |state, encoder| with_blob(state, encoder, |blob| blob.truncate(blob.len() - 1)),
        "bytes at offset 0: expected",
    ),
];

#[test]
fn a_secondary_refuses_what_is_no_checkpoint_and_goes_on_from_the_last_good_one() {
    if !kvm_or_skip("a_secondary_refuses_what_is_no_checkpoint_and_goes_on_from_the_last_good_one") {
        return;
    }
    let good = State::good();
    for (row, bytes, text) in ROWS {
        let mut victim = protected(&good, row);
        requested(&mut victim);
        let bytes = bytes(&good, &mut victim.encoder);
        victim.send(&bytes);
        let (errors, unusable) = victim.exits();
        assert!(errors.iter().any(|error| error.contains(text)), "{row}: {errors:?}");
        assert!(!unusable, "{row}");
        victim.serves_alone(GOOD);
    }
}

/// From the first byte on: the secondary still has the initial state only.
#[test]
fn a_secondary_refuses_a_peer_of_another_protocol_before_it_takes_in_any_state() {
    if !kvm_or_skip("a_secondary_refuses_a_peer_of_another_protocol_before_it_takes_in_any_state") {
        return;
    }
    for dialect in [Dialect::V12, Dialect::Current] {
        for bytes in [&[0xff; 64][..], b"QEVM\0\0\0\x03", b"GET / HTTP/1.1\r\n\r\n", b"COLOVMST"] {
            let mut victim = Victim::start(NodeName::Secondary, dialect, &format!("{dialect:?}, {bytes:?}"));
            victim.send(bytes);
            let (errors, unusable) = victim.exits();
            assert!(
                errors.iter().any(|error| error.starts_with("offset 0: invalid COLO message ")),
                "{errors:?}"
            );
            assert!(!unusable);
            victim.serves_alone(0);
        }
    }
}

/// What is cut off in the middle is no checkpoint, whether the link closes behind it or stays silent for ever.
#[test]
fn a_secondary_takes_over_nothing_that_is_not_whole() {
    if !kvm_or_skip("a_secondary_takes_over_nothing_that_is_not_whole") {
        return;
    }
    let (good, mut other) = (State::good(), State::good());
    // A state that would show: all of its pages are blank.
    other.pages.iter_mut().for_each(|(_, content)| *content = [0; 4096]);
    for closes in [false, true] {
        for (row, announced_beyond, without) in [
            ("half a page", 0, 30_000),
            ("half a device state", 0, 100),
            ("a byte less than announced", 1, 0),
        ] {
            let mut victim = protected(&good, &format!("{row}, closes: {closes}"));
            requested(&mut victim);
            let blob = other.blob();
            let announced = blob.len() as u64 + announced_beyond;
            let stream = other.stream(&mut victim.encoder, announced, &blob);
            victim.send(&stream[..stream.len() - without]);
            if closes {
                victim.link.shutdown(Shutdown::Both).unwrap();
                assert!(!victim.exits().1, "{row}");
            } else {
                // Long enough for all of it to have been taken in.
                std::thread::sleep(Duration::from_millis(100));
            }
            victim.serves_alone(GOOD);
        }
    }
}

/// Whole, and wrong: the VM has been overwritten by then. It is of no use any more, and never serves.
#[test]
fn a_state_that_no_machine_can_take_is_never_served() {
    if !kvm_or_skip("a_state_that_no_machine_can_take_is_never_served") {
        return;
    }
    let good = State::good();
    let mut paging = State::good();
    paging.cpu.cpu.sregs.cr0 = 1 << 31;
    for (row, state, output_end, text) in [
        ("paging without protection", &paging, 1, "KVM_SET_SREGS failed"),
        ("output that the RAM does not have", &good, 2, "RAM has output up to 1, the device state up to 2"),
    ] {
        let mut victim = protected(&good, row);
        requested(&mut victim);
        let blob = state.blob_ending_at(output_end);
        let stream = state.stream(&mut victim.encoder, blob.len() as u64, &blob);
        victim.send(&stream);
        let (errors, unusable) = victim.exits();
        assert!(errors.iter().any(|error| error.contains(text)), "{row}: {errors:?}");
        assert!(unusable, "{row}");
        victim.process.tell(&ToNode::LostHeartbeat { planned: false });
        // It is told so, and does not: whatever it says from here on is said by then.
        victim.hears(&|message| matches!(message, FromNode::Record(record) if record.kind == Kind::Error));
        std::thread::sleep(Duration::from_millis(100));
        let said =
            victim.heard.try_iter().find(|heard| matches!(heard, Heard::Message(_, FromNode::TookOver)));
        assert!(said.is_none() && victim.process.is_alive(), "{row}: {said:?}");
        victim.holds_little();
    }
}

/// Output that cannot be: the checkpoint is whole and its checksum right, and nothing of it is loaded.
#[test]
fn a_state_whose_output_cannot_be_is_refused_before_it_is_loaded() {
    if !kvm_or_skip("a_state_whose_output_cannot_be_is_refused_before_it_is_loaded") {
        return;
    }
    let good = State::good();
    for (row, output_end, output_bytes, text) in [
        // The next reply would have no number.
        ("the end of numbers", u64::MAX, 64, "64 bytes of withheld output that ends at 18446744073709551615"),
        ("before the beginning", 0, 64, "64 bytes of withheld output that ends at 0: they are 1 units"),
        ("half a reply", 1, 32, "32 bytes of withheld output that ends at 1: the last 32 are no unit"),
    ] {
        let mut other = State::good();
        other.output.truncate(output_bytes);
        other.set_replies_put(output_end);
        let mut victim = protected(&good, row);
        requested(&mut victim);
        let blob = other.blob_ending_at(output_end);
        let stream = other.stream(&mut victim.encoder, blob.len() as u64, &blob);
        victim.send(&stream);
        let (errors, unusable) = victim.exits();
        assert!(errors.iter().any(|error| error.contains(text)), "{row}: {errors:?}");
        assert!(!unusable, "{row}");
        victim.serves_alone(GOOD);
    }
}

/// A guest that sends frames by itself.
fn sends_frames() -> Workload {
    Workload { guest: Guest::Hostile(Misdeed::SendsUnasked), ..Workload::default() }
}

/// A change to a state that is good, and why the secondary refuses what comes of it.
type Spoilt = (&'static str, fn(&mut State), &'static str);

/// The state's card, which it has.
fn change_card(state: &mut State, change: impl Fn(CardState) -> CardState) {
    state.cpu.card = state.cpu.card.map(change);
}

const CARDS: [Spoilt; 16] = [
    ("no card", |state| state.cpu.card = None, "the machine has one, the state is that of a machine with no"),
    (
        "another card",
        |state| {
            let network = Network { hardware_address: [2; 6], ..Network::default() };
            let card = Workload { network, ..state.workload }.card();
            let config = MachineConfig { memory_mib: 16, prefault: false, card };
            state.cpu.card = Machine::new(&config).unwrap().state().card;
        },
        "the state is that of a card with the configuration [02, 02, 02, 02, 02, 02",
    ),
    (
        "a queue of seven entries",
        |state| change_card(state, |card| card.with_queue_size(7)),
        "invalid queue size",
    ),
    ("a queue of none", |state| change_card(state, |card| card.with_queue_size(0)), "invalid queue size"),
    (
        "a queue of more than there are",
        |state| change_card(state, |card| card.with_queue_size(512)),
        "invalid queue size",
    ),
    ("a queue that is ready twice", |state| change_card(state, |card| card.with_ready(2)), "ready 2 times"),
    (
        "a queue behind the memory",
        |state| change_card(state, |card| card.with_queue_at([16 << 20, 0x1000, 0x2000])),
        "a queue of 256 entries at 0x1000000, 0x1000 and 0x2000, not all of which is memory",
    ),
    (
        "a queue at the end of numbers",
        |state| change_card(state, |card| card.with_queue_at([0, 0x1000, u64::MAX - 3])),
        "not all of which is memory",
    ),
    (
        "frames sent up to the end of numbers",
        |state| {
            change_card(state, |card| card.with_counts([u64::MAX, 0, 0]));
            state.output_end = u64::MAX;
        },
        "has sent 18446744073709551615 frames",
    ),
    (
        "frames received up to the end of numbers",
        |state| change_card(state, |card| card.with_counts([4, u64::MAX, 0])),
        "received 18446744073709551615",
    ),
    (
        "more received before than in all",
        |state| change_card(state, |card| card.with_counts([4, 1, 2])),
        "received 1, 2 of them before",
    ),
    (
        "more sent than there is output",
        |state| change_card(state, |card| card.with_counts([5, 0, 0])),
        "the network card has sent 5 frames, the output ends at 4",
    ),
    (
        "more withheld than was sent",
        |state| {
            change_card(state, |card| card.with_counts([3, 0, 0]));
            state.output_end = 3;
        },
        "of withheld output that ends at 3: they are 4 units",
    ),
    (
        "a frame of all numbers",
        |state| state.output[..4].fill(0xff),
        "that ends at 4: the last 168 are no unit",
    ),
    (
        "a frame that is too short",
        |state| state.output = [&[13, 0, 0, 0][..], &[7; 13]].concat(),
        "17 bytes of withheld output that ends at 4: the last 17 are no unit",
    ),
    (
        "a frame that is too long",
        |state| state.output = [&1515_u32.to_le_bytes()[..], &[7; 1515]].concat(),
        "1519 bytes of withheld output that ends at 4: the last 1519 are no unit",
    ),
];

/// Nothing of it is loaded: the secondary goes on from the last good checkpoint, and sends what that withheld.
#[test]
fn a_state_whose_card_or_frames_cannot_be_is_refused_before_it_is_loaded() {
    if !kvm_or_skip("a_state_whose_card_or_frames_cannot_be_is_refused_before_it_is_loaded") {
        return;
    }
    let good = State::with_a_card();
    for (row, spoil, text) in CARDS {
        let mut other = State::with_a_card();
        spoil(&mut other);
        let (errors, unusable, mut victim) = refuses(&good, &other, row);
        assert!(errors.iter().any(|error| error.contains(text)), "{row}: {errors:?}");
        assert!(!unusable, "{row}");
        victim.sends_on_alone();
    }
}

#[test]
fn a_machine_without_a_card_takes_no_state_of_one_that_has_one() {
    if !kvm_or_skip("a_machine_without_a_card_takes_no_state_of_one_that_has_one") {
        return;
    }
    let (good, mut other) = (State::good(), State::good());
    other.cpu.card = State::with_a_card().cpu.card;
    let (errors, unusable, mut victim) = refuses(&good, &other, "a card where there is none");
    assert!(errors.iter().any(|error| error.contains("the machine has not one")), "{errors:?}");
    assert!(!unusable);
    victim.serves_alone(GOOD);
}

/// Behind a good checkpoint a secondary gets another state: what it says to that, and the secondary.
fn refuses(good: &State, other: &State, row: &str) -> (Vec<String>, bool, Victim) {
    let mut victim = protected(good, row);
    requested(&mut victim);
    let blob = other.blob();
    let stream = other.stream(&mut victim.encoder, blob.len() as u64, &blob);
    victim.send(&stream);
    let (errors, unusable) = victim.exits();
    (errors, unusable, victim)
}

/// A parcel of the connection of the comparison: two words, the length of the content as it is said to be, and the content.
fn parcel(words: [u64; 2], announced: u32, content: &[u8]) -> Vec<u8> {
    let words = words.map(u64::to_le_bytes).concat();
    [&words, &announced.to_le_bytes()[..], content].concat()
}

/// What comes beside the link is for the comparison only: whatever it is, the node goes on without.
#[test]
fn a_node_whose_mirror_lies_goes_on_without_it() {
    if !kvm_or_skip("a_node_whose_mirror_lies_goes_on_without_it") {
        return;
    }
    // Whether the connection is ended for it; what is only missing or of no use is passed over.
    let rows = [
        ("a length of all numbers", true, parcel([0, 0], u32::MAX, &[7; 100])),
        ("a byte more than a frame has", true, parcel([0, 0], 1515, &[7; 1515])),
        ("garbage", true, vec![0xff; 1 << 16]),
        ("a length that does not come", false, parcel([0, 0], 1514, &[7; 100])),
        ("nothing in it", false, parcel([0, 0], 0, &[]).repeat(1000)),
        ("half a request, half a reply", false, parcel([0, 0], 32, &[1; 32])),
        ("the end of numbers", false, parcel([u64::MAX; 2], 64, &[0; 64]).repeat(100)),
        ("more than anybody keeps", false, parcel([0, 7], 64, &[0; 64]).repeat(1 << 17)),
    ];
    for name in NodeName::ALL {
        for (row, is_ended, bytes) in &rows {
            let row = format!("{row}, to the {name}");
            let rules = Rules { dialect: Dialect::Current, execution: Execution::Hybrid, ..Rules::V12 };
            let mut victim = Victim::begin(name, rules, Workload::default(), &row, false);
            // A node that has had enough takes no more.
            let _ = victim.mirror.write_all(bytes);
            victim.mirror.set_read_timeout(Some(if *is_ended { PATIENCE } else { A_MOMENT })).unwrap();
            let waits =
                victim.mirror.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert_eq!(waits, !is_ended, "{}", victim.row);
            victim.link.shutdown(Shutdown::Both).unwrap();
            victim.exits();
            victim.serves_alone(0);
        }
    }
}

/// What a peer answers to a primary, and the error that the primary records.
const ANSWERS: [(&str, &[u8], &str); 9] = [
    ("garbage", &[0xff; 64], "invalid COLO message 4294967295"),
    ("another protocol", b"SSH-2.0-", "invalid COLO message 1397966893"),
    ("a state", &[0, 0, 0, 3], "vmstate-send"),
    ("a request", &[0, 0, 0, 1], "checkpoint-request"),
    ("a reply to nothing", &[0, 0, 0, 2], "checkpoint-reply"),
    ("loaded before received", &[0, 0, 0, 0, 0, 0, 0, 6], "vmstate-loaded"),
    ("received before it was sent", &[0, 0, 0, 0, 0, 0, 0, 5], "vmstate-received"),
    ("ready twice", &[0, 0, 0, 0, 0, 0, 0, 0], "checkpoint-ready"),
    ("a size", &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "vmstate-size"),
];

#[test]
fn a_primary_refuses_what_is_no_answer_and_goes_on_alone() {
    if !kvm_or_skip("a_primary_refuses_what_is_no_answer_and_goes_on_alone") {
        return;
    }
    for (row, bytes, text) in ANSWERS {
        let mut victim = Victim::start(NodeName::Primary, Dialect::Current, row);
        victim.send(bytes);
        let (errors, _) = victim.exits();
        assert!(errors.iter().any(|error| error.contains(text)), "{row}: {errors:?}");
        victim.serves_alone(0);
    }
}

#[test]
fn a_primary_that_gets_half_an_answer_waits_for_its_manager() {
    if !kvm_or_skip("a_primary_that_gets_half_an_answer_waits_for_its_manager") {
        return;
    }
    for closes in [false, true] {
        let mut victim = Victim::start(NodeName::Primary, Dialect::Current, "half an answer");
        victim.send(&[0, 0, 0, 0, 0, 0]);
        victim.expect(MessageKind::CheckpointRequest);
        if closes {
            victim.link.shutdown(Shutdown::Both).unwrap();
            victim.exits();
        }
        victim.serves_alone(0);
    }
}
