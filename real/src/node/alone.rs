//! A machine that nobody protects: requests go in, and what the guest says leaves at once. No core, no link, no
//! checkpoints, and so no protocol.

use super::confinement::confine;
use super::disk::{Disk, device, tell};
use super::divergence::OwnWay;
use super::effects::send_off;
use super::inbox::Inbox;
use super::port::{FRAMES_AT_ONCE, Port};
use super::unit::Incoming;
use super::vcpu::VcpuThread;
use super::{Control, NodeError, wait_for};
use crate::abi::Request;
use crate::control::{FromNode, ToNode};
use crate::vm::Machine;
use rustix::event::{PollFd, PollFlags};
use std::os::fd::AsFd;

/// Runs the machine until the harness goes.
pub(super) fn run(
    control: &mut Control,
    machine: Machine,
    mut disk: Option<Disk>,
    mut port: Option<Port>,
) -> Result<(), NodeError> {
    let vcpu = VcpuThread::start(machine, device(disk.as_ref()), Inbox::default(), OwnWay::default())?;
    confine()?;
    control.tell(&FromNode::Started)?;
    vcpu.resume();
    let (mut said, mut units) = (0, Vec::new());
    loop {
        while let Some(command) = control.overhear()? {
            carry_out(&command, &vcpu)?;
        }
        vcpu.take_output(&mut units).map_err(NodeError::Guest)?;
        if let Some(wish) = vcpu.take_wish() {
            // Nobody presses its buttons.
            return Err(NodeError::Guest(format!("the guest has asked for {wish:?}")));
        }
        let count = units.len() as u64;
        send_off(said, units.drain(..), port.as_mut(), control)?;
        said += count;
        tell(disk.as_mut(), control)?;
        let mut polled = vec![
            PollFd::from_borrowed_fd(control.output.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(vcpu.event().as_fd(), PollFlags::IN),
        ];
        if let Some(port) = &port {
            let out = if port.has_waiting() { PollFlags::OUT } else { PollFlags::empty() };
            polled.push(PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN | out));
        }
        wait_for(&mut polled, None)?;
        for _ in 0..FRAMES_AT_ONCE {
            let Some(frame) = port.as_mut().and_then(Port::receive) else { break };
            let _number = vcpu.comes_in(Incoming::Frame(frame));
        }
        port.iter_mut().for_each(Port::flush);
        port.take_if(|port| !port.is_plugged());
    }
}

fn carry_out(command: &ToNode, vcpu: &VcpuThread) -> Result<(), NodeError> {
    match *command {
        ToNode::Request([client, sequence, operation, key, value]) => {
            let _number =
                vcpu.comes_in(Incoming::Request(Request { client, sequence, operation, key, value }));
            Ok(())
        }
        ToNode::Tick => Ok(vcpu.while_still(Machine::tick)?),
        _ => Err(NodeError::Internal(format!("{command:?} to a machine that nobody protects"))),
    }
}
