//! What the network card of a side's machine is plugged into: a TAP device of the side's own host. Whoever is behind the TAP
//! devices of both hosts reaches the guest, wherever it is.

use super::Work;
use crate::guest_address::parse_address;
use crate::report::Failure;
use colo_protocol::NodeName;
use colo_real::Network;
use colo_real::net::{FrameFaults, Switch, Tap};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The flags of a machine with a network card.
#[derive(clap::Args)]
pub(super) struct Cable {
    /// Plug this TAP device into the network card of --guest redis. It takes root, or a device that is one's own; bridge the
    /// devices of both hosts into one network, in which the guest keeps its address when it is on the other host.
    #[arg(long, value_name = "DEVICE")]
    tap: Option<String>,
    /// The guest's address and its network's prefix, the same on both sides.
    #[arg(long, default_value = "10.66.0.2/24", value_name = "ADDRESS/BITS", value_parser = parse_address, requires = "tap")]
    address: (Ipv4Addr, u8),
}

impl Cable {
    /// Where the guest is in its network.
    pub(super) fn network(&self) -> Network {
        let (address, prefix_bits) = self.address;
        Network { address, prefix_bits, ..Network::default() }
    }

    /// Refuses a guest without its network, a network without its guest, and clients that come by another way.
    pub(super) fn check(
        &self,
        work: &Work,
        side: Option<NodeName>,
        has_service: bool,
    ) -> Result<(), Failure> {
        let problem = match (work.has_card(), side, self.tap.is_some()) {
            (true, None, _) => {
                "--guest redis: on one host colo serve runs it, with a forwarder or a TAP device; for one side of a pair on two \
                 hosts, expected --listen or --connect, and --tap"
            }
            (true, Some(_), false) => {
                "--guest redis: its clients come over a network, expected --tap DEVICE, a TAP device of this host"
            }
            (true, Some(_), true) if has_service => {
                "--service: the clients of --guest redis come over --tap, and speak Redis to the guest itself"
            }
            (false, _, true) => "--tap: this guest has no network card, expected --guest redis",
            _ => return Ok(()),
        };
        Err(Failure::Input(problem.to_owned()))
    }

    /// The network of this side, if its machine is to have one: it ends at the device.
    pub(super) fn plug(&self) -> Result<Option<Arc<Switch>>, Failure> {
        let Some(device) = &self.tap else { return Ok(None) };
        let tap = Tap::new(device).map_err(|error| Failure::Environment(error.to_string()))?;
        let switch =
            Switch::start(FrameFaults::default()).and_then(|switch| switch.tap(tap).map(|()| switch));
        let refused = |error| Failure::Environment(format!("the machine's network: {error}"));
        Ok(Some(Arc::new(switch.map_err(refused)?)))
    }
}
