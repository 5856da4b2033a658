//! The control channel between the harness and a node's process: JSON lines over a Unix socket.
//!
//! The harness stands for the world: clients, the manager, faults. It is trusted; the peer behind the link is not.

use crate::disk::{DiskConfig, DiskFigures};
use crate::handing::write_with;
use crate::vm::{BLOB_BYTES_MAX, Button, Workload};
use colo_protocol::wire::{Config, Direction};
use colo_protocol::{NodeName, Rules};
use colo_trace::{FaultAction, Gate, Plan, PlanCursor, Point, Record};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, ErrorKind, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

/// The longest line accepted, bytes: a plan of the largest size that is read fits.
const MAX_LINE_BYTES: usize = 4 << 20;

/// The most units of output in one message, so that its line is never too long.
pub(crate) const MAX_UNITS: usize = 4096;

/// How a node is to run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct NodeConfig {
    /// Which side it is.
    pub name: NodeName,
    /// The variant of the protocol.
    pub rules: Rules,
    /// Guest memory, MiB.
    pub memory_mib: u64,
    /// What the guest does, besides its service.
    pub workload: Workload,
    /// What is to go wrong.
    pub plan: Plan,
    /// Whether to send a record of every event.
    pub record: bool,
    /// How many bytes a second its end of the link takes, if it is slow.
    pub link_rate: Option<u64>,
    /// Its machine's disk, if it has one.
    pub disk: Option<DiskConfig>,
    /// Whether there is a peer, the connections with which are handed over with this: without, there is no protocol, but a
    /// machine that nobody protects.
    pub has_peer: bool,
    /// It is a replacement: its state comes over the link.
    pub joins: bool,
    /// Which pair of the service it is a node of, from 0.
    pub pair: usize,
}

impl NodeConfig {
    /// How what comes over the link is read.
    pub(crate) fn stream(&self) -> Config {
        let direction = match self.name {
            NodeName::Primary => Direction::SecondaryToPrimary,
            NodeName::Secondary => Direction::PrimaryToSecondary,
        };
        let mut stream = Config::new(self.rules.dialect, direction);
        stream.max_device_state_bytes = BLOB_BYTES_MAX as u64;
        stream
    }

    /// What of the plan is the node's business.
    pub(crate) fn cursor(&self) -> PlanCursor {
        let own_faults =
            self.plan.faults.iter().filter(|fault| fault.at.node == self.name).copied().collect();
        let is_own = |gate: &&Gate| [gate.hold.node, gate.until.node].contains(&self.name);
        let own_gates = self.plan.gates.iter().filter(is_own).copied().collect();
        PlanCursor::new(&Plan::new(own_faults).with_gates(own_gates))
    }
}

/// A client's request as it is carried: client, sequence, operation, key, value.
pub(crate) type RawRequest = [u64; 5];

/// A reply as it is carried: client, sequence, serial, status, value, time.
pub(crate) type RawReply = [u64; 6];

/// What the harness tells a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum ToNode {
    /// How to run; the first message.
    Start(Box<NodeConfig>),
    /// To a machine that nobody protects: a tick, which a protected one gets with each checkpoint.
    Tick,
    /// A client's request has come in.
    Request(RawRequest),
    /// The manager's command x-colo-lost-heartbeat.
    LostHeartbeat {
        /// Whether the plan has it: then no gate holds it.
        planned: bool,
    },
    /// The peer has passed this point, for which a gate may wait.
    Passed(Point),
    /// Shut the link down and forget what has not been read from it.
    Cut,
    /// Neither read from the link nor write to it for so long.
    Stall {
        /// How long, milliseconds.
        for_ms: u32,
    },
    /// What the node sends over the link goes nowhere from now on, and its end comes behind what it has sent.
    HalfClose,
    /// Nothing comes over the link to the node any more, also not that it has ended. It says when that is so.
    Deaf,
    /// The node's patience with its peer is over.
    PeerSilent,
    /// The capture in hand, or the next one, is to fail.
    FailSave,
    /// The load in hand, or the next one, is to fail.
    FailLoad,
    /// What is next asked of the disk is to fail.
    FailDisk,
    /// What the guest is next asked to write is lost in it.
    Diverge,
    /// What the guest is next asked to write is answered in a way that the comparison does not know.
    Uncompared,
    /// A checkpoint is wanted now.
    CheckpointNow,
    /// From now on so many milliseconds are between two checkpoints; not only behind the delay that is running. Both nodes are
    /// told, a secondary before its primary: as long a silence it has to bear.
    SetDelay {
        /// The new delay.
        ms: u32,
    },
    /// To a survivor: at the other end of the link that is handed over with this there is a replacement.
    Protect {
        /// Which pair of the service they become.
        pair: usize,
        /// What is to go wrong in it.
        plan: Box<Plan>,
    },
    /// What has been told before this has been taken in: say so, with this number.
    Say(u64),
    /// Somebody presses a button of the machine; answered with [`FromNode::Pressed`].
    Press(Button),
    /// Go on from the point at which the node waits.
    GoOn,
    /// The arbiter's answer to [`FromNode::AskArbiter`]: whether the node has the right to serve alone.
    ArbiterAnswer(bool),
}

/// What a node tells the harness.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum FromNode {
    /// The process is there.
    Hello(NodeName),
    /// The node is in COLO: its initial state is loaded, or its VM runs.
    Started,
    /// Output has been released: the offset of the first unit, and the units, at most [`MAX_UNITS`].
    Output(u64, Vec<RawReply>),
    /// So many frames of output have been released to the network, from this place in the stream on.
    Frames {
        /// The place of the first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// A unit of output has been released past what is withheld before it: its offset, and the unit.
    EarlyOutput(u64, RawReply),
    /// What the comparison has come to so far (told by the primary).
    Compared(ComparisonFigures),
    /// The secondary's guest has left the primary's execution: so many requests were lost in it, the first since it has
    /// loaded among them or not.
    Diverged {
        /// Requests.
        lost: u64,
        /// Whether it had not left it before, since the latest load.
        anew: bool,
    },
    /// A fault's point has been reached, in which pair; the node waits for [`ToNode::GoOn`].
    AtPoint(usize, Point, Vec<FaultAction>),
    /// A point has been passed for which a gate of this pair's plan waits.
    Passed(usize, Point),
    /// Something waits at this point for a gate to open.
    AtGate(usize, Point),
    /// A checkpoint has been completed (told by the primary).
    Checkpoint(CheckpointFigures),
    /// What the node's disk has done so far.
    Disk(DiskFigures),
    /// A button has been pressed; a guest that executes has minded it.
    Pressed,
    /// The guest wants to be powered off.
    WantsOff,
    /// The machine is off, as its guest wanted: the node has stopped for good.
    PoweredOff,
    /// The node has been promoted.
    TookOver,
    /// A replacement holds the state of the survivor: checkpoints follow.
    Joined,
    /// What that took; told by the survivor when its VM runs again.
    Protected(EntryFigures),
    /// A survivor has lost its replacement before it could be protected.
    LostReplacement,
    /// QEMU's event `COLO_EXIT`.
    ColoExit {
        /// The pair that it was in.
        pair: usize,
        /// QEMU's word for why.
        reason: String,
        /// Whether the node's VM is of no use any more, because a load or its disk has failed.
        unusable: bool,
    },
    /// x-colo-lost-heartbeat was refused: the node is not, or not yet, in COLO.
    NotInColo,
    /// A checkpoint was wanted of a node that takes none.
    TakesNoCheckpoint,
    /// The node asks the arbiter for the right to serve alone.
    AskArbiter,
    /// The answer to [`ToNode::Say`].
    Said(u64),
    /// The node has stopped for good: the peer serves.
    Halted,
    /// Nothing comes over the link to the node any more: it had been told so.
    IsDeaf,
    /// An event, when records were asked for.
    Record(Record),
    /// The node cannot go on; its process ends.
    Failed(String),
}

/// One checkpoint in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckpointFigures {
    /// Its number.
    pub checkpoint: u64,
    /// Pages sent.
    pub dirty_pages: u64,
    /// Bytes put on the link from the primary.
    pub bytes: u64,
    /// How long the primary's VM stood still, microseconds.
    pub pause_us: u64,
    /// From the request to vmstate-loaded, microseconds.
    pub transaction_us: u64,
    /// From the request to the release of its output, microseconds.
    pub release_us: u64,
}

/// What it took a survivor to be protected again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EntryFigures {
    /// Rounds in which memory was sent while the guest executed.
    pub rounds: u32,
    /// Pages sent, each time that they were.
    pub pages: u64,
    /// Bytes put on the link.
    pub bytes: u64,
    /// How long that took, microseconds.
    pub synchronisation_us: u64,
    /// How long the VM stood still then, until the replacement had its state, microseconds.
    pub pause_us: u64,
}

/// What a comparison has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ComparisonFigures {
    /// Units of output that were compared.
    pub compared: u64,
    /// Those of them that were the same, and so left.
    pub released: u64,
    /// Checkpoints that were asked for because a unit was not.
    pub differences: u64,
    /// Checkpoints that were asked for because output had waited for its like for too long.
    pub held_too_long: u64,
}

impl ComparisonFigures {
    /// Those of one comparison, and of another behind it.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            compared: self.compared + other.compared,
            released: self.released + other.released,
            differences: self.differences + other.differences,
            held_too_long: self.held_too_long + other.held_too_long,
        }
    }

    /// Checkpoints that were asked for, whatever the reason.
    pub const fn forced(&self) -> u64 {
        self.differences + self.held_too_long
    }
}

/// Writes one message.
pub(crate) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Writes one message, and hands descriptors over with it.
pub(crate) fn send_with(
    stream: &mut UnixStream,
    message: &impl Serialize,
    handed: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write_with(stream, &line, handed)
}

/// Reads one message; none at the end of the stream. An error of kind `InvalidData` is the other side's fault; any
/// other means that it has ended, perhaps in the middle of a line.
pub(crate) fn receive<T: DeserializeOwned>(stream: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let mut limited = io::Read::take(&mut *stream, MAX_LINE_BYTES as u64);
    limited.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        return serde_json::from_slice(&line).map(Some).map_err(|error| invalid(error.to_string()));
    }
    if line.len() >= MAX_LINE_BYTES {
        return Err(invalid(format!("a line of more than {MAX_LINE_BYTES} bytes")));
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "the control channel ended in the middle of a line"))
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// What comes of these bytes, and then the end of the stream.
    fn received(bytes: &[u8]) -> io::Result<Option<FromNode>> {
        let (here, mut there) = UnixStream::pair().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || there.write_all(&bytes));
        let message = receive(&mut BufReader::new(here));
        // It fails when the reader has had enough.
        let _ = writer.join().unwrap();
        message
    }

    #[test]
    fn a_death_in_the_middle_of_a_line_is_no_fault_of_the_line() {
        assert_eq!(received(b"").unwrap(), None);
        assert_eq!(received(b"\"TookOver\"\n").unwrap(), Some(FromNode::TookOver));
        assert_eq!(received(b"\"Took").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_line_that_nobody_understands_is_not_taken_for_a_death() {
        for bytes in [&b"\"TookUnder\"\n"[..], b"{\"Output\":\n", &vec![b' '; MAX_LINE_BYTES + 1]] {
            assert_eq!(received(bytes).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn the_longest_message_of_output_fits_its_line() {
        let message = FromNode::Output(u64::MAX, vec![[u64::MAX; 6]; MAX_UNITS]);
        let mut line = Vec::new();
        send(&mut line, &message).unwrap();
        assert!(line.len() < MAX_LINE_BYTES, "{} bytes", line.len());
        assert_eq!(received(&line).unwrap(), Some(message));
    }
}
