//! The address of a guest with a network card on the command line, on one host and on two: what no guest can have is refused.

use std::net::Ipv4Addr;

/// An address and its network's prefix, as `10.66.0.2/24`.
pub(crate) fn parse_address(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let expected = || format!("expected an IPv4 address and a prefix, for instance 10.66.0.2/24, got {text}");
    let (address, bits) = text.split_once('/').ok_or_else(expected)?;
    let bits = bits.parse().ok().filter(|bits| (1..=30).contains(bits)).ok_or_else(expected)?;
    let address = address.parse().map_err(|_| expected())?;
    if is_host(address, bits) { Ok((address, bits)) } else { Err(format!("{text} is no address of a host")) }
}

/// Whether a machine of a network with this prefix can have this address.
fn is_host(address: Ipv4Addr, bits: u8) -> bool {
    let of_hosts = u32::MAX >> bits;
    let host = u32::from(address) & of_hosts;
    let is_special = address.is_loopback() || address.is_multicast() || address.octets()[0] == 0;
    !is_special && address.octets()[0] < 240 && host != 0 && host != of_hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_can_have_is_taken_and_nothing_else() {
        assert_eq!(parse_address("10.66.0.2/24"), Ok((Ipv4Addr::new(10, 66, 0, 2), 24)));
        for text in ["10.66.0.2", "10.66.0.2/0", "10.66.0.2/31", "10.66.0/24", "a/24"] {
            assert!(parse_address(text).unwrap_err().starts_with("expected an IPv4 address"), "{text}");
        }
        for text in
            ["10.66.0.0/24", "10.66.0.255/24", "127.0.0.1/8", "224.0.0.1/4", "255.255.255.255/8", "0.1.2.3/8"]
        {
            assert!(parse_address(text).unwrap_err().ends_with("is no address of a host"), "{text}");
        }
    }
}
