//! A machine that nobody protects: requests go in, and what the guest says leaves at once. No core, no link, no
//! checkpoints, and so no protocol.

use super::confinement::confine;
use super::disk::{Disk, device, tell};
use super::divergence::OwnWay;
use super::effects::{raw_reply, tell_output};
use super::inbox::Inbox;
use super::vcpu::VcpuThread;
use super::{Control, NodeError, wait_for};
use crate::abi::Request;
use crate::control::{FromNode, RawReply, ToNode};
use crate::vm::Machine;
use rustix::event::{PollFd, PollFlags};
use std::os::fd::AsFd;

/// Runs the machine until the harness goes.
pub(super) fn run(control: &mut Control, machine: Machine, mut disk: Option<Disk>) -> Result<(), NodeError> {
    let vcpu = VcpuThread::start(machine, device(disk.as_ref()), Inbox::default(), OwnWay::default())?;
    confine()?;
    control.tell(&FromNode::Started)?;
    vcpu.resume();
    let (mut said, mut replies) = (0, Vec::new());
    loop {
        while let Some(command) = control.overhear()? {
            carry_out(&command, &vcpu)?;
        }
        vcpu.take_replies(&mut replies).map_err(NodeError::Guest)?;
        if let Some(wish) = vcpu.take_wish() {
            // Nobody presses its buttons.
            return Err(NodeError::Guest(format!("the guest has asked for {wish:?}")));
        }
        let units: Vec<RawReply> = replies.drain(..).map(raw_reply).collect();
        tell_output(said, &units, control)?;
        said += units.len() as u64;
        tell(disk.as_mut(), control)?;
        wait_for(
            &mut [
                PollFd::from_borrowed_fd(control.output.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(vcpu.event().as_fd(), PollFlags::IN),
            ],
            None,
        )?;
    }
}

fn carry_out(command: &ToNode, vcpu: &VcpuThread) -> Result<(), NodeError> {
    match *command {
        ToNode::Request([client, sequence, operation, key, value]) => {
            let _number = vcpu.request(Request { client, sequence, operation, key, value });
            Ok(())
        }
        ToNode::Tick => Ok(vcpu.while_still(Machine::tick)?),
        _ => Err(NodeError::Internal(format!("{command:?} to a machine that nobody protects"))),
    }
}
