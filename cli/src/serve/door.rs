//! How clients come to the service: by a port of the loopback interface, or over a TAP device.

use super::Arguments;
use crate::report::Failure;
use colo_real::Network;
use colo_real::net::{Forwarder, ForwarderFigures, ForwarderOptions, Switch, Tap};
use std::net::SocketAddr;

/// How clients come in.
pub(super) enum Door {
    /// At a port of the loopback interface.
    Forwarded(Forwarder),
    /// Over a TAP device, to the guest's own address.
    Tap { device: String, address: SocketAddr },
}

impl Door {
    pub(super) fn open(arguments: &Arguments, switch: &Switch) -> Result<Self, Failure> {
        let port = Network::default().port;
        if let Some(device) = &arguments.tap {
            let tap = Tap::new(device).map_err(|error| Failure::Environment(error.to_string()))?;
            switch.tap(tap).map_err(|error| Failure::Environment(error.to_string()))?;
            let address = SocketAddr::from((arguments.address.0, port));
            return Ok(Self::Tap { device: device.clone(), address });
        }
        let options = ForwarderOptions { listen: arguments.port, ..ForwarderOptions::to_port(port) };
        let forwarder = Forwarder::start(switch, options).map_err(|error| {
            Failure::Environment(format!(
                "port {} of the loopback interface: {error}; --port takes another",
                arguments.port
            ))
        })?;
        Ok(Self::Forwarded(forwarder))
    }

    /// Where a client connects.
    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Forwarded(forwarder) => forwarder.address(),
            Self::Tap { address, .. } => *address,
        }
    }
    /// Nobody comes in any more, and whoever is in is let go. What there was of connections, if that is known here.
    pub(super) fn close(self) -> Option<ForwarderFigures> {
        match self {
            Self::Forwarded(forwarder) => Some(forwarder.figures()),
            Self::Tap { .. } => None,
        }
    }
}
