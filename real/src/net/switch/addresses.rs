//! Where which address is: at the port from which somebody sent from it last.

use super::port::PortNumber;
use crate::net::frame::MacAddress;
use std::collections::BTreeMap;

/// The most addresses that are known. What comes beyond is not learned, and goes to everybody: whoever invents addresses
/// does not push out those that there are.
const MOST: usize = 1024;

/// The addresses that are known.
#[derive(Debug, Default)]
pub(super) struct Addresses(BTreeMap<MacAddress, PortNumber>);

impl Addresses {
    /// Somebody at this port has sent from this address.
    pub(super) fn learn(&mut self, address: MacAddress, port: PortNumber) {
        if !address.is_group() && (self.0.len() < MOST || self.0.contains_key(&address)) {
            self.0.insert(address, port);
        }
    }

    /// Nobody is at this port any more.
    pub(super) fn forget(&mut self, gone: PortNumber) {
        self.0.retain(|_, port| *port != gone);
    }

    /// The port at which this address is, if it is one and is known.
    pub(super) fn port(&self, address: MacAddress) -> Option<PortNumber> {
        self.0.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mac(number: u32) -> MacAddress {
        let [a, b, c, d] = number.to_be_bytes();
        MacAddress([2, 0, a, b, c, d])
    }

    #[test]
    fn an_address_is_where_it_was_last_seen_until_nobody_is_there() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.port(mac(1)), None);
        addresses.learn(mac(1), PortNumber(0));
        addresses.learn(mac(1), PortNumber(4));
        assert_eq!(addresses.port(mac(1)), Some(PortNumber(4)));
        addresses.forget(PortNumber(4));
        assert_eq!(addresses.port(mac(1)), None);
    }

    #[test]
    fn nobody_is_everybody() {
        let mut addresses = Addresses::default();
        addresses.learn(MacAddress::BROADCAST, PortNumber(0));
        assert_eq!(addresses.port(MacAddress::BROADCAST), None);
    }

    #[test]
    fn whoever_invents_addresses_does_not_push_out_those_that_there_are() {
        let mut addresses = Addresses::default();
        addresses.learn(mac(0), PortNumber(1));
        (1..10_000).for_each(|number| addresses.learn(mac(number), PortNumber(2)));
        assert_eq!(addresses.0.len(), MOST);
        addresses.learn(mac(0), PortNumber(3));
        assert_eq!(addresses.port(mac(0)), Some(PortNumber(3)), "one that is known may move");
    }
}
