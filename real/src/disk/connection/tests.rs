//! Both ends of a connection over real sockets: what is written comes to be had, and what ends a wait.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::disk::{DiskConfig, recover};
use crate::link::LinkKind;
use crate::vm::BlockDevice;
use colo_protocol::{CheckpointNumber, Effect, NodeName};
use std::sync::mpsc::{RecvTimeoutError, channel};
use tempfile::TempDir;

/// Longer than anything takes that is done at all.
const LONG: Duration = Duration::from_secs(20);

/// Too short for nothing to happen that could.
const SHORT: Duration = Duration::from_millis(100);

fn linked() -> [Link; 2] {
    Link::pair(LinkKind::Unix).unwrap()
}

/// A primary's disk, the node's hold on its connection, and the other ends of its sockets.
struct Primary {
    disk: Arc<NodeDisk>,
    control: Control,
    connection: Link,
    link: Link,
    directory: TempDir,
}

impl Primary {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [connection, other_end] = linked();
        let [link, other_link] = linked();
        let sender = Sender::new(connection, &link, None).unwrap();
        let control = sender.control();
        let disk = NodeDisk::create(&config(&directory), NodeName::Primary, Some(sender)).unwrap();
        disk.perform(Effect::StartReplication).unwrap();
        Self { disk: Arc::new(disk), control, connection: other_end, link: other_link, directory }
    }

    /// Writes a block on another thread, and says when that is done.
    fn write(&self) -> std::sync::mpsc::Receiver<()> {
        let (done, waits) = channel();
        let disk = Arc::clone(&self.disk);
        std::thread::spawn(move || {
            disk.write(0, &[5; 4096]).unwrap();
            disk.flush().unwrap();
            // Nobody waits any more if the test has failed.
            let _ = done.send(());
        });
        waits
    }
}

fn config(directory: &TempDir) -> DiskConfig {
    DiskConfig { directory: directory.path().to_owned(), blocks: 4 }
}

/// A secondary at the other end, with its own files in the same directory.
fn secondary(primary: &Primary) -> (Arc<NodeDisk>, Control) {
    let disk = NodeDisk::create(&config(&primary.directory), NodeName::Secondary, None).unwrap();
    let disk = Arc::new(disk);
    let receiver = Receiver::new(primary.connection.another(), &primary.link).unwrap();
    let control = receiver.control();
    receiver.start(Arc::clone(&disk));
    (disk, control)
}

fn first_byte(directory: &TempDir, node: NodeName) -> u8 {
    recover(directory.path(), node).unwrap()[0][0]
}

#[test]
fn a_write_is_done_when_the_secondary_has_it_and_seen_when_a_checkpoint_covers_it() {
    let primary = Primary::new();
    let (disk, control) = secondary(&primary);
    disk.perform(Effect::StartReplication).unwrap();
    primary.write().recv_timeout(LONG).unwrap();
    assert_eq!(first_byte(&primary.directory, NodeName::Primary), 5);
    let mut content = [9; 4096];
    disk.read(0, &mut content).unwrap();
    assert_eq!(content, [0; 4096]);
    disk.perform(Effect::CheckpointDisk(CheckpointNumber(1))).unwrap();
    disk.read(0, &mut content).unwrap();
    assert_eq!(content, [5; 4096]);
    disk.perform(Effect::FailOverDisk).unwrap();
    assert_eq!(first_byte(&primary.directory, NodeName::Secondary), 5);
    assert!(primary.disk.figures().replicated_bytes > 4096);
    [control, primary.control.clone()].iter().for_each(Control::close);
}

/// A survivor's guest waits for nobody while its replacement is given the disk, and in the end that has the same.
#[test]
fn a_disk_is_copied_while_its_guest_writes_on() {
    let primary = Primary::new();
    primary.control.close();
    primary.disk.perform(Effect::FailOverDisk).unwrap();
    super::super::start_copier(&primary.disk);
    primary.disk.write(1, &[1; 4096]).unwrap();
    assert_eq!(primary.disk.left_to_copy(), 0, "there is nobody to have it");
    let ([connection, other_end], [link, other_link]) = (linked(), linked());
    primary.disk.begin_to_copy(Sender::new(connection, &link, None).unwrap());
    // Nobody answers yet.
    (2..200).for_each(|byte| primary.disk.write(u64::from(byte) % 4, &[byte; 4096]).unwrap());
    assert!(primary.disk.left_to_copy() >= 4, "all of them, one perhaps on its way");
    let directory = tempfile::tempdir().unwrap();
    let replacement = Arc::new(NodeDisk::create(&config(&directory), NodeName::Secondary, None).unwrap());
    let receiver = Receiver::new(other_end, &other_link).unwrap();
    let controls = receiver.control();
    receiver.start(Arc::clone(&replacement));
    (200..250).for_each(|byte| primary.disk.write(u64::from(byte) % 4, &[byte; 4096]).unwrap());
    let begun = Instant::now();
    while primary.disk.left_to_copy() > 0 {
        assert!(begun.elapsed() < LONG);
        std::thread::yield_now();
    }
    replacement.perform(Effect::StartReplication).unwrap();
    primary.disk.perform(Effect::StartReplication).unwrap();
    let same = || {
        let [here, there] = [&primary.directory, &directory];
        recover(here.path(), NodeName::Primary).unwrap()
            == recover(there.path(), NodeName::Secondary).unwrap()
    };
    assert!(same());
    primary.disk.write(3, &[77; 4096]).unwrap();
    replacement.perform(Effect::CheckpointDisk(CheckpointNumber(1))).unwrap();
    assert!(same(), "and from here on what is written is replicated");
    controls.close();
}

/// A slow link is slow for the disk's writes, too; who closes it does not wait for its turn.
#[test]
fn a_slow_connection_takes_no_more_than_its_rate() {
    let (slow, directory) = (40_960, tempfile::tempdir().unwrap());
    let ([connection, other_end], [link, other_link]) = (linked(), linked());
    let sender = Sender::new(connection, &link, Some(slow)).unwrap();
    let control = sender.control();
    let disk = NodeDisk::create(&config(&directory), NodeName::Primary, Some(sender)).unwrap();
    disk.perform(Effect::StartReplication).unwrap();
    let primary =
        Primary { disk: Arc::new(disk), control, connection: other_end, link: other_link, directory };
    let (disk, receiver) = secondary(&primary);
    disk.perform(Effect::StartReplication).unwrap();
    let begun = Instant::now();
    (0..6).for_each(|_| primary.disk.write(1, &[1; 4096]).unwrap());
    assert!(begun.elapsed() > Duration::from_millis(450), "{:?}", begun.elapsed());
    primary.control.close();
    (0..600).for_each(|_| primary.disk.write(1, &[1; 4096]).unwrap());
    assert!(begun.elapsed() < LONG, "a minute of them");
    receiver.close();
}

/// The secondary says so when it is next asked for a checkpoint, and the primary's guest goes on meanwhile.
#[test]
fn a_write_that_the_secondary_cannot_have_fails_its_next_checkpoint() {
    let primary = Primary::new();
    let (disk, control) = secondary(&primary);
    disk.perform(Effect::StartReplication).unwrap();
    disk.fail_next();
    primary.write().recv_timeout(LONG).unwrap();
    let failed = disk.perform(Effect::CommitDiskEpoch(CheckpointNumber(1))).unwrap_err();
    assert!(failed.starts_with("a write of the primary's is missing: "), "{failed}");
    // What it has been before it still is.
    disk.perform(Effect::FailOverDisk).unwrap();
    assert_eq!(first_byte(&primary.directory, NodeName::Secondary), 0);
    [control, primary.control.clone()].iter().for_each(Control::close);
}

/// Nobody may believe of a write that it is done while there is a pair and the peer does not have it.
#[test]
fn a_write_waits_for_a_dead_a_silent_or_a_deaf_peer_until_the_node_closes_its_link() {
    type Befalls = fn(&mut Primary);
    let befalls: [Befalls; 5] = [
        |_| (),
        |primary| primary.connection.shut_down(Shutdown::Both),
        |primary| primary.control.cut(),
        |primary| primary.control.half_close(),
        |primary| primary.control.deafen(),
    ];
    for (case, befalls) in befalls.into_iter().enumerate() {
        let mut primary = Primary::new();
        befalls(&mut primary);
        let done = primary.write();
        assert_eq!(done.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout), "{case}");
        primary.control.close();
        assert_eq!(done.recv_timeout(LONG), Ok(()), "{case}");
        // And the next waits for nobody.
        assert_eq!(primary.write().recv_timeout(LONG), Ok(()), "{case}");
    }
}

#[test]
fn a_stall_holds_a_write_up_and_no_longer() {
    let primary = Primary::new();
    let (disk, control) = secondary(&primary);
    disk.perform(Effect::StartReplication).unwrap();
    let begun = Instant::now();
    primary.control.stall(begun + 2 * SHORT);
    primary.write().recv_timeout(LONG).unwrap();
    assert!(begun.elapsed() >= 2 * SHORT);
    [control, primary.control.clone()].iter().for_each(Control::close);
}

/// Whether the link has ended, as its other end sees it.
fn has_ended(link: &mut Link) -> bool {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if link.read(&mut [0; 16]) == Moved::Gone {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_peer_that_makes_no_sense_ends_the_link() {
    for answers in [false, true] {
        let mut primary = Primary::new();
        if answers {
            // To what it asks comes no answer.
            primary.connection.write(&[IoSlice::new(&[7; ANSWER_BYTES])]);
            let _waits = primary.write();
            assert!(has_ended(&mut primary.link), "the primary's");
            primary.control.close();
        } else {
            let directory = tempfile::tempdir().unwrap();
            let [mut connection, receiving] = linked();
            let [mut link, receiving_link] = linked();
            let disk = NodeDisk::create(&config(&directory), NodeName::Secondary, None).unwrap();
            let receiver = Receiver::new(receiving, &receiving_link).unwrap();
            let control = receiver.control();
            receiver.start(Arc::new(disk));
            connection.write(&[IoSlice::new(&[7; 64])]);
            assert!(has_ended(&mut link), "the secondary's");
            control.close();
        }
    }
}
