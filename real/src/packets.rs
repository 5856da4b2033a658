//! What a guest's frame says, read out of its bytes for the comparison (`colo_protocol::packets`, where it is decided what
//! of it matters).
//!
//! A frame is hostile: its lengths are checked before they are believed, and what is not a whole, unfragmented TCP segment
//! over IPv4 with right checksums is no TCP but a frame like any other. So is one that a receiver may take for something
//! else than its payload says: with IP options, urgent data, flags that contradict each other.

use colo_protocol::packets::{Connection, Control, Packet, Segment, Serial};
use etherparse::checksum::Sum16BitWords;
use etherparse::{EtherType, Ethernet2Slice, IpNumber, Ipv4Slice, TcpSlice};
use std::net::SocketAddrV4;

/// Reads an Ethernet frame, without its checksum.
pub fn parse(frame: &[u8]) -> Packet {
    match segment(frame) {
        Some(segment) => Packet::Tcp(segment),
        None => Packet::Other(frame.to_vec()),
    }
}

/// The segment, and none if there is anything the matter with it.
fn segment(frame: &[u8]) -> Option<Segment> {
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).ok()?;
    let is_ipv4 = ethernet.ether_type() == EtherType::IPV4;
    // Ends where IP says that it ends: what is behind is Ethernet's padding.
    let packet = is_ipv4.then(|| Ipv4Slice::from_slice(ethernet.payload_slice()).ok()).flatten()?;
    let header = packet.header();
    // Over the bytes as they are: etherparse's own is over the fields that it knows, and there is a bit more.
    let checksum = Sum16BitWords::new().add_slice(header.slice()).ones_complement();
    if checksum != 0 || !header.options().is_empty() {
        return None;
    }
    let is_tcp = packet.payload_ip_number() == IpNumber::TCP
        && header.protocol() == IpNumber::TCP
        && !packet.is_payload_fragmented();
    let tcp = is_tcp.then(|| TcpSlice::from_slice(packet.payload().payload).ok()).flatten()?;
    if tcp.calc_checksum_ipv4(header.source(), header.destination()) != Ok(tcp.checksum()) {
        return None;
    }
    Some(Segment {
        connection: Connection {
            source: SocketAddrV4::new(header.source_addr(), tcp.source_port()),
            destination: SocketAddrV4::new(header.destination_addr(), tcp.destination_port()),
        },
        sequence: Serial(tcp.sequence_number()),
        acknowledges: tcp.ack().then_some(Serial(tcp.acknowledgment_number())),
        control: control(&tcp)?,
        payload: tcp.payload().to_vec(),
    })
}

/// What its flags come to, if they come to anything.
fn control(tcp: &TcpSlice) -> Option<Control> {
    match (tcp.syn(), tcp.fin(), tcp.rst()) {
        _ if tcp.urg() => None,
        (true, false, false) => Some(Control::Synchronize),
        (false, false, true) => Some(Control::Reset),
        // RFC 9293 section 3.10.7.4: without ACK it would be dropped.
        _ if !tcp.ack() => None,
        (false, true, false) => Some(Control::Finish),
        (false, false, false) => Some(Control::Data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    /// A frame byte by byte: a SYN-ACK from 10.0.0.2:6379 to 10.0.0.1:50000, with options.
    const SYN_ACK: [u8; 58] = [
        0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0x26, 0xca, 10, 0, 0, 2, 10, 0, 0, 1, // IPv4
        0x18, 0xeb, 0xc3, 0x50, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0x60, 0x12, 0xff, 0xff, 0xa7, 0xd1, 0,
        0, // TCP
        2, 4, 0x05, 0xb4, // its maximum segment size
    ];

    /// What differs from frame to frame.
    const IP: usize = 14;
    const TCP: usize = 34;
    const FLAGS: usize = TCP + 13;

    /// What is done to a frame.
    type Change = fn(&mut Vec<u8>);

    fn is_tcp(frame: &[u8]) -> bool {
        match parse(frame) {
            Packet::Tcp(_) => true,
            Packet::Other(bytes) => {
                assert_eq!(bytes, frame, "it is compared as it is");
                false
            }
        }
    }

    /// A change, after which the checksums are right again.
    fn changed(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut frame = frame.to_vec();
        change(&mut frame);
        seal(&mut frame);
        frame
    }

    /// The checksums as RFC 1071 has them, written once more.
    fn seal(frame: &mut [u8]) {
        let sum = |bytes: &[u8], start: u32| {
            let words = bytes
                .chunks(2)
                .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
            let sum = words.fold(start, |sum, word| sum + word);
            let folded = (sum & 0xffff) + (sum >> 16);
            u16::try_from((folded & 0xffff) + (folded >> 16)).map(|sum| !sum).unwrap()
        };
        let header = usize::from(frame[IP] & 0xf) * 4;
        frame[IP + 10..IP + 12].fill(0);
        let checksum = sum(&frame[IP..IP + header], 0);
        frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
        let end = IP + usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]));
        let (tcp, addresses) = (IP + header, sum(&frame[IP + 12..IP + 20], 0));
        let Some(length) = end.checked_sub(tcp).filter(|length| *length >= 20 && end <= frame.len()) else {
            return;
        };
        frame[tcp + 16..tcp + 18].fill(0);
        let start = u32::from(!addresses) + 6 + u32::try_from(length).unwrap();
        let checksum = sum(&frame[tcp..end], start);
        frame[tcp + 16..tcp + 18].copy_from_slice(&checksum.to_be_bytes());
    }

    /// A built frame with ACK.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
            .ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
            .tcp(6379, 50000, 100, 1024)
            .ack(7)
            .write(&mut frame, payload)
            .unwrap();
        frame
    }

    fn segment_of(frame: &[u8]) -> Segment {
        match parse(frame) {
            Packet::Tcp(segment) => segment,
            Packet::Other(_) => panic!("no TCP"),
        }
    }

    #[test]
    fn a_segment_says_what_stands_in_it() {
        let segment = segment_of(&SYN_ACK);
        let expected = Segment {
            connection: Connection {
                source: "10.0.0.2:6379".parse().unwrap(),
                destination: "10.0.0.1:50000".parse().unwrap(),
            },
            sequence: Serial(u32::MAX),
            acknowledges: Some(Serial(7)),
            control: Control::Synchronize,
            payload: Vec::new(),
        };
        assert_eq!(segment, expected);
        let segment = segment_of(&frame(b"+PONG\r\n"));
        assert_eq!((segment.sequence, &segment.payload[..]), (Serial(100), &b"+PONG\r\n"[..]));
    }

    #[test]
    fn the_checksums_of_the_tests_are_those_of_the_wire() {
        let mut again = SYN_ACK;
        seal(&mut again);
        assert_eq!(again, SYN_ACK);
    }

    #[test]
    fn ethernets_padding_is_no_payload() {
        let mut padded = frame(b"ok");
        padded.resize(60, 0);
        assert_eq!(segment_of(&padded).payload, b"ok");
        padded.resize(1514, 0xff);
        assert_eq!(segment_of(&padded), segment_of(&frame(b"ok")));
    }

    #[test]
    fn what_guests_choose_differently_is_not_in_it() {
        let frame = frame(b"ok");
        let places = [
            ("Ethernet's destination", 0),
            ("Ethernet's source", 11),
            ("class of service", IP + 1),
            ("identification", IP + 5),
            ("time to live", IP + 8),
            ("window", TCP + 14),
        ];
        for (name, place) in places {
            let other = changed(&frame, |frame| frame[place] ^= 0x55);
            assert_ne!(other, frame);
            assert_eq!(parse(&other), parse(&frame), "{name}");
        }
        let pushed = changed(&frame, |frame| frame[FLAGS] |= 0x08);
        assert_eq!(parse(&pushed), parse(&frame));
    }

    #[test]
    fn what_is_not_wholly_tcp_is_compared_as_it_is() {
        let frame = frame(b"hello");
        assert!(is_tcp(&changed(&frame, |_| ())));
        let cases: [(&str, Change); 15] = [
            ("ARP", |frame| frame[13] = 0x06),
            ("VLAN", |frame| drop(frame.splice(12..12, [0x81, 0, 0, 1]))),
            ("IPv6", |frame| (frame[12], frame[13]) = (0x86, 0xdd)),
            ("another version of IP", |frame| frame[IP] = 0x65),
            ("UDP", |frame| frame[IP + 9] = 17),
            ("ICMP", |frame| frame[IP + 9] = 1),
            ("an authentication header", |frame| frame[IP + 9] = 51),
            ("more fragments", |frame| frame[IP + 6] |= 0x20),
            ("a fragment", |frame| frame[IP + 7] = 1),
            ("IP options", |frame| {
                frame.splice(IP + 20..IP + 20, [1, 1, 1, 0]);
                frame[IP] = 0x46;
                frame[IP + 3] += 4;
            }),
            ("a header that is too short", |frame| frame[TCP + 12] = 0x40),
            ("a header that is too long", |frame| frame[TCP + 12] = 0xf0),
            ("a length beyond the end", |frame| frame[IP + 3] += 1),
            ("a length within the header", |frame| frame[IP + 3] = 39),
            ("urgent data", |frame| frame[FLAGS] |= 0x20),
        ];
        for (name, change) in cases {
            let mut other = frame.clone();
            change(&mut other);
            if other[12..15] == [0x08, 0x00, frame[IP]] || name == "IP options" {
                seal(&mut other);
            }
            assert!(!is_tcp(&other), "{name}");
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_no_tcp() {
        for flags in 0..64_u8 {
            let built = changed(&frame(b""), |frame| frame[FLAGS] = flags);
            let expected = match flags & 0b11_0111 {
                0b01_0000 => Some(Control::Data),
                0b01_0001 => Some(Control::Finish),
                0b01_0010 | 0b00_0010 => Some(Control::Synchronize),
                0b01_0100 | 0b00_0100 => Some(Control::Reset),
                _ => None,
            };
            assert_eq!(is_tcp(&built), expected.is_some(), "{flags:06b}");
            if let Some(expected) = expected {
                let segment = segment_of(&built);
                assert_eq!(segment.control, expected);
                assert_eq!(segment.acknowledges, (flags & 0x10 != 0).then_some(Serial(7)));
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_of_which_a_bit_is_wrong_is_no_tcp() {
        let frame = frame(b"hello");
        for end in 0..frame.len() {
            assert!(!is_tcp(&frame[..end]), "{end} bytes");
        }
        for place in IP..frame.len() {
            for bit in 0..8 {
                let mut wrong = frame.clone();
                wrong[place] ^= 1 << bit;
                assert!(!is_tcp(&wrong), "bit {bit} of byte {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_built_is_read_again(
            sequence: u32, acknowledges: u32, ports: (u16, u16), addresses: ([u8; 4], [u8; 4]),
            payload in prop::collection::vec(any::<u8>(), 0..1460), padding in 0..60_usize,
        ) {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4(addresses.0, addresses.1, 64)
                .tcp(ports.0, ports.1, sequence, 1024)
                .ack(acknowledges)
                .fin()
                .write(&mut frame, &payload)
                .unwrap();
            frame.resize(frame.len() + padding, 0x55);
            let expected = Segment {
                connection: Connection {
                    source: SocketAddrV4::new(addresses.0.into(), ports.0),
                    destination: SocketAddrV4::new(addresses.1.into(), ports.1),
                },
                sequence: Serial(sequence),
                acknowledges: Some(Serial(acknowledges)),
                control: Control::Finish,
                payload,
            };
            prop_assert_eq!(parse(&frame), Packet::Tcp(expected));
        }

        #[test]
        fn no_bytes_are_too_strange(
            frame in prop::collection::vec(any::<u8>(), 0..200), start in any::<bool>(),
        ) {
            let mut frame = frame;
            if start && frame.len() > 24 {
                frame[12..15].copy_from_slice(&[0x08, 0, 0x45]);
                frame[23] = 6;
            }
            is_tcp(&frame);
        }
    }
}
