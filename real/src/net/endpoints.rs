//! The small network of a protected machine and its clients, where nobody asks for another one.

use super::frame::MacAddress;
use std::net::Ipv4Addr;

/// Bits of the network's prefix.
pub const PREFIX_BITS: u8 = 24;

/// The address of a card, and that of who is reached there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// The card's.
    pub mac: MacAddress,
    /// The host's.
    pub ip: Ipv4Addr,
}

impl Endpoint {
    /// The host on which the clients are.
    pub const HOST: Self = Self { mac: MacAddress([2, 0, 0, 0, 0x66, 1]), ip: Ipv4Addr::new(10, 66, 0, 1) };
    /// The protected machine.
    pub const GUEST: Self = Self { mac: MacAddress([2, 0, 0, 0, 0x66, 2]), ip: Ipv4Addr::new(10, 66, 0, 2) };
}
