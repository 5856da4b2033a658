//! The same guest under the same load on one machine that nobody protects: what is measured here is what protection is
//! compared with. There is no protocol in it.

use super::clients::Clients;
use super::disks::Disks;
use super::measured::Measured;
use super::memory::Watch;
use super::options::{PATIENCE, RunError, RunOptions, RunOutcome};
use super::process::{Heard, Process};
use super::violation::RunViolation;
use super::{garbled, until_next};
use crate::control::{FromNode, ToNode};
use crate::disk::{DiskFigures, End};
use colo_protocol::NodeName;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

/// Runs one machine for as long as the options have it; if they count checkpoints, for as long as so many would be apart.
/// `directory` is for its socket.
pub fn run_alone(options: &RunOptions, directory: &Path) -> Result<(RunOutcome, Measured), RunError> {
    crate::kvm_usable()?;
    let (sender, heard) = channel();
    let mut process = Process::start(NodeName::Primary, &options.node, directory, sender)?;
    let disks = Disks::of(options, directory)?;
    let port = options.port()?;
    process.configure(options.node_config(NodeName::Primary, disks.as_ref()), None, port.as_ref());
    let disk = DiskFigures::default();
    let mut alone = Alone { options, process, heard, clients: Clients::nobody(), disk };
    let violation = alone.serve()?.or_else(|| alone.clients.judge().err());
    alone.process.kill();
    let violation = violation
        .or_else(|| disks?.survivor(NodeName::Primary, &alone.clients.acknowledged, End::Drained).err());
    let (disk, replies) = (alone.disk, alone.clients.seen);
    let outcome = RunOutcome { violation, replies, disk, ..RunOutcome::nothing_yet() };
    Ok((outcome, alone.clients.into_measured()))
}

struct Alone<'a> {
    options: &'a RunOptions,
    process: Process,
    heard: Receiver<Heard>,
    clients: Clients,
    disk: DiskFigures,
}

impl Alone<'_> {
    /// Serves the clients until the time is over and all is answered. What they saw that they may not see, if anything.
    fn serve(&mut self) -> Result<Option<RunViolation>, RunError> {
        let interval = self.options.interval();
        let mut watch = Watch::default();
        let mut next_tick = Instant::now() + interval;
        let mut last_reply = (0, Instant::now());
        while !(self.is_over() && self.clients.all_answered()) {
            let now = Instant::now();
            if now >= next_tick {
                self.process.tell(&ToNode::Tick);
                next_tick = now + interval;
            }
            watch.look(std::slice::from_ref(&self.process), &mut self.clients.measured);
            if let Err(violation) = self.ask(now).and_then(|()| self.clients.missing(now)) {
                return Ok(Some(violation));
            }
            match self.heard.recv_timeout(until_next(&self.clients)) {
                Ok(heard) => {
                    if let Err(violation) = self.hear(heard)? {
                        return Ok(Some(violation));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.clients.answered != last_reply.0 {
                last_reply = (self.clients.answered, Instant::now());
            }
            if last_reply.1.elapsed() > PATIENCE && !self.clients.are_outside() {
                return Ok(Some(RunViolation::Silence { seconds: PATIENCE.as_secs() }));
            }
        }
        Ok(None)
    }

    /// Whether the machine has served for as long as it is to.
    fn is_over(&self) -> bool {
        let checkpoints = u32::try_from(self.options.checkpoints).unwrap_or(u32::MAX);
        let apart = self.options.interval().saturating_mul(checkpoints);
        let over = !self.clients.are_nobody()
            && self.clients.measured.begun().elapsed() >= self.options.lasts.unwrap_or(apart);
        over || self.options.is_stopped()
    }

    fn ask(&mut self, now: Instant) -> Result<(), RunViolation> {
        if self.is_over() {
            self.clients.drain();
        }
        for request in self.clients.due(now)? {
            self.process.tell(&ToNode::Request(request));
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<Result<(), RunViolation>, RunError> {
        match heard {
            Heard::Gone(_) => Err(RunError::Node(NodeName::Primary, self.process.ended())),
            Heard::Garbled(_, error) => Err(garbled(NodeName::Primary, &error)),
            Heard::Message(_, FromNode::Failed(problem)) => Err(RunError::Node(NodeName::Primary, problem)),
            Heard::Message(_, FromNode::Started) => {
                self.clients = self.options.clients_from_now();
                Ok(Ok(()))
            }
            Heard::Message(_, FromNode::Disk(figures)) => {
                self.disk = figures;
                Ok(Ok(()))
            }
            Heard::Message(_, FromNode::Frames { count, .. }) => {
                self.clients.seen += count;
                Ok(Ok(()))
            }
            Heard::Message(_, FromNode::Output(first, units)) => {
                Ok(self.clients.output(first, &units).map(drop))
            }
            Heard::Message(..) | Heard::Arbiter(_) => Ok(Ok(())),
        }
    }
}
