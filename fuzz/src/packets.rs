//! What two hostile guests can send: frames, of which the parser makes packets, and packets, which are compared.

use arbitrary::{Result, Unstructured};
use colo_protocol::packets::{
    Connection, Control, Likeness, MOST_CONNECTIONS, MOST_HELD, Packet, PeerPackets, Segment, Serial, Symbol,
};
use colo_real::packets::parse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where things stand in a frame without IP options.
const IP: usize = 14;

/// A frame. Byte 0 says how it comes: as it is; with its type, its lengths and its checksums made right; or built from
/// what is drawn, with padding behind it.
pub fn frame(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 3 {
        0 => read(bytes),
        1 => {
            let mut frame = bytes.to_vec();
            seal(&mut frame);
            read(&frame);
        }
        _ => drop(built(&mut Unstructured::new(bytes))),
    }
}

/// What has been parsed is what stands there, read in the plainest way.
fn read(frame: &[u8]) {
    let segment = match parse(frame) {
        Packet::Other(bytes) => {
            assert!(bytes == frame, "what is no TCP is compared as it is");
            return;
        }
        Packet::Tcp(segment) => segment,
    };
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    assert_eq!(frame[12..15], [0x08, 0x00, 0x45]);
    let tcp = IP + 20;
    let (end, begin) = (IP + usize::from(word(IP + 2)), tcp + usize::from(frame[tcp + 12] >> 4) * 4);
    assert!(begin <= end && end <= frame.len(), "a length lies");
    assert!(segment.payload == frame[begin..end], "the payload is what IP says that it is");
    let source = SocketAddrV4::new(address(IP + 12), word(tcp));
    let destination = SocketAddrV4::new(address(IP + 16), word(tcp + 2));
    assert_eq!(segment.connection, Connection { source, destination });
    assert!(segment.acknowledges.is_some() || segment.control != Control::Data);
}

/// Makes right what keeps most frames from being looked at.
fn seal(frame: &mut [u8]) {
    if frame.len() < IP + 20 {
        return;
    }
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let length = u16::try_from(frame.len() - IP).unwrap_or(u16::MAX);
    // A length that is within the frame is left: padding may be behind it.
    if u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]) > length {
        frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    }
    checksums(frame);
}

/// RFC 1071 and RFC 9293 section 3.1, of a frame whose lengths may be anything.
fn checksums(frame: &mut [u8]) {
    let header = usize::from(frame[IP] & 0xf) * 4;
    let end = IP + usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]));
    let tcp = IP + header;
    if header < 20 || end > frame.len() {
        return;
    }
    if end >= tcp + 20 {
        frame[tcp + 16..tcp + 18].fill(0);
        let mut pseudo = frame[IP + 12..IP + 20].to_vec();
        pseudo.extend([0, 6]);
        pseudo.extend(u16::try_from(end - tcp).unwrap_or(0).to_be_bytes());
        pseudo.extend(&frame[tcp..end]);
        let checksum = checksum(&pseudo);
        frame[tcp + 16..tcp + 18].copy_from_slice(&checksum);
    }
    if tcp <= frame.len() {
        frame[IP + 10..IP + 12].fill(0);
        let checksum = checksum(&frame[IP..tcp]);
        frame[IP + 10..IP + 12].copy_from_slice(&checksum);
    }
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from);
    let sum: u64 = bytes.chunks(2).map(word).sum();
    let folded = (0..4).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
    (!u16::try_from(folded).expect("folded")).to_be_bytes()
}

/// A frame that is built has what it was built from.
fn built(draw: &mut Unstructured<'_>) -> Result<()> {
    let connection = Connection {
        source: SocketAddrV4::new(draw.arbitrary::<[u8; 4]>()?.into(), draw.arbitrary()?),
        destination: SocketAddrV4::new(draw.arbitrary::<[u8; 4]>()?.into(), draw.arbitrary()?),
    };
    let (control, flag) = *draw.choose(&[
        (Control::Data, 0),
        (Control::Finish, 1),
        (Control::Synchronize, 2),
        (Control::Reset, 4),
    ])?;
    let acknowledges: u32 = draw.arbitrary()?;
    let sequence = Serial(draw.arbitrary()?);
    let options = usize::from(draw.int_in_range(0..=10_u8)?) * 4;
    let padding: usize = draw.int_in_range(0..=46)?;
    let payload = draw.bytes(draw.len())?;
    let total = u16::try_from(40 + options + payload.len().min(1460)).expect("a frame");
    let payload = &payload[..payload.len().min(1460)];

    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0];
    frame.extend(total.to_be_bytes());
    frame.extend([0, 7, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(connection.source.ip().octets());
    frame.extend(connection.destination.ip().octets());
    frame.extend(connection.source.port().to_be_bytes());
    frame.extend(connection.destination.port().to_be_bytes());
    frame.extend(sequence.0.to_be_bytes());
    frame.extend(acknowledges.to_be_bytes());
    frame.extend([u8::try_from(5 + options / 4).expect("a header") << 4, 0x10 | flag, 4, 0, 0, 0, 0, 0]);
    frame.extend(std::iter::repeat_n(1, options));
    frame.extend(payload);
    frame.extend(std::iter::repeat_n(0x55, padding));
    checksums(&mut frame);
    let acknowledges = Some(Serial(acknowledges));
    let payload = payload.to_vec();
    let expected = Segment { connection, sequence, acknowledges, control, payload };
    assert!(parse(&frame) == Packet::Tcp(expected), "a frame is read as something else");
    Ok(())
}

/// Two sides' packets beside a map of all bytes: whatever they send, nothing is the same that the map has not; and as long
/// as no stream begins anew and no number is far from the others, all is the same that the map has.
pub fn packet_comparison(input: &[u8]) {
    let mut draw = Unstructured::new(input);
    let Ok(mut run) = Run::new(&mut draw) else { return };
    while !draw.is_empty() && run.acts < 500 {
        if run.act(&mut draw).is_err() {
            return;
        }
        let most = 2 * MOST_HELD + (2 << 20);
        assert!(run.peer.held_bytes() <= most && run.peer.connections() <= MOST_CONNECTIONS);
    }
}

/// Who has said what in a connection.
#[derive(Default)]
struct Said {
    /// All that has been said of a number, the latest last.
    symbols: BTreeMap<u32, Vec<Symbol>>,
    acknowledged: BTreeSet<u32>,
    resets: bool,
}

impl Said {
    fn learn(&mut self, segment: &Segment) {
        for (number, symbol) in numbered(segment) {
            self.symbols.entry(number).or_default().push(symbol);
        }
        self.acknowledged.extend(segment.acknowledges.map(|number| number.0));
        self.resets |= segment.control == Control::Reset;
    }

    fn acknowledges_up_to(&self, number: Serial) -> bool {
        // The field's own definition, in wide numbers: no more than half of all are later.
        let is_later =
            |latest: &u32| (u64::from(*latest) + (1 << 32) - u64::from(number.0)) % (1 << 32) < 1 << 31;
        self.acknowledged.iter().any(is_later)
    }
}

fn numbered(segment: &Segment) -> impl Iterator<Item = (u32, Symbol)> {
    let numbers = (0..).map(|step| segment.sequence.0.wrapping_add(step));
    numbers.zip(segment.symbols())
}

#[derive(Default)]
struct Run {
    peer: PeerPackets,
    said: BTreeMap<Connection, [Said; 2]>,
    frames: BTreeMap<Vec<u8>, usize>,
    starts: [u32; 2],
    /// Nothing has been sent that may make it know less than the map.
    is_plain: bool,
    acts: usize,
}

const PEER: usize = 0;
const RELEASED: usize = 1;

impl Run {
    fn new(draw: &mut Unstructured<'_>) -> Result<Self> {
        let start = |draw: &mut Unstructured<'_>| {
            Ok(match draw.arbitrary::<u8>()? {
                0..64 => u32::MAX - 20,
                64..128 => (1 << 31) - 20,
                128..192 => 0,
                _ => draw.arbitrary()?,
            })
        };
        Ok(Self { starts: [start(draw)?, start(draw)?], is_plain: true, ..Self::default() })
    }

    fn act(&mut self, draw: &mut Unstructured<'_>) -> Result<()> {
        self.acts += 1;
        match draw.arbitrary::<u8>()? % 8 {
            0..3 => {
                let packet = self.packet(draw)?;
                self.told(&packet, PEER);
                self.peer.take(packet);
            }
            3..6 => {
                let own = self.packet(draw)?;
                let found = self.peer.compare(&own);
                self.judge(&own, found);
                if found == Likeness::Same {
                    self.leaves(&own);
                }
            }
            6 => {
                let own = self.packet(draw)?;
                self.leaves(&own);
            }
            _ => {
                self.peer.forget();
                self.frames.clear();
                self.said.values_mut().for_each(|said| said[PEER] = Said::default());
            }
        }
        Ok(())
    }

    fn leaves(&mut self, own: &Packet) {
        self.peer.released(own);
        self.told(own, RELEASED);
    }

    fn told(&mut self, packet: &Packet, who: usize) {
        match packet {
            Packet::Tcp(segment) => self.said.entry(segment.connection).or_default()[who].learn(segment),
            Packet::Other(frame) if who == PEER => *self.frames.entry(frame.clone()).or_default() += 1,
            Packet::Other(frame) => {
                let count = self.frames.entry(frame.clone()).or_default();
                *count = count.saturating_sub(1);
            }
        }
    }

    fn judge(&self, own: &Packet, found: Likeness) {
        let segment = match own {
            Packet::Tcp(segment) => segment,
            Packet::Other(frame) => {
                let is_there = self.frames.get(frame).is_some_and(|count| *count > 0);
                assert_eq!(found, if is_there { Likeness::Same } else { Likeness::Waits });
                return;
            }
        };
        let nobody = [Said::default(), Said::default()];
        let [peer, released] = self.said.get(&segment.connection).unwrap_or(&nobody);
        let acknowledged = segment
            .acknowledges
            .is_none_or(|number| peer.acknowledges_up_to(number) || released.acknowledges_up_to(number));
        let rest = acknowledged && (segment.control != Control::Reset || peer.resets || released.resets);
        let at = |said: &Said, number| said.symbols.get(&number).and_then(|said| said.last().copied());
        // Where streams begin anew, each has its own.
        let has = |said: &Said, number, symbol| {
            let earlier = said.symbols.get(&number).is_some_and(|said| said.contains(&symbol));
            at(said, number) == Some(symbol) || (!self.is_plain && earlier)
        };
        let may = |(number, symbol)| has(peer, number, symbol) || has(released, number, symbol);
        // What the peer says of a number that has been released is not kept.
        let must = |(number, symbol)| at(released, number).or(at(peer, number)) == Some(symbol);
        match found {
            Likeness::Same => assert!(rest && numbered(segment).all(may), "the map has it not: {segment:?}"),
            Likeness::Differs => {
                let other = |(number, symbol)| at(peer, number).is_some_and(|peers| peers != symbol);
                assert!(!self.is_plain || numbered(segment).any(other), "nobody says else: {segment:?}");
            }
            Likeness::Waits => {
                let says_something = segment.length() > 0
                    || segment.acknowledges.is_some()
                    || segment.control == Control::Reset;
                let is_same = says_something && rest && numbered(segment).all(must);
                assert!(!self.is_plain || !is_same, "the map has it: {segment:?}");
            }
        }
    }

    fn packet(&mut self, draw: &mut Unstructured<'_>) -> Result<Packet> {
        let [kind, place, more] = draw.arbitrary::<[u8; 3]>()?;
        if kind & 0x70 == 0x70 {
            return Ok(Packet::Other(vec![place & 3]));
        }
        let control = match kind & 0x0f {
            0 => Control::Synchronize,
            1 => Control::Finish,
            2 => Control::Reset,
            _ => Control::Data,
        };
        let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), u16::from(kind & 0x10));
        let server = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 6379);
        let far = kind & 0xe0 == 0x80;
        self.is_plain &= !far && control != Control::Synchronize;
        let jump = if far { draw.arbitrary::<u32>()? } else { 0 };
        let sequence = self.starts[0].wrapping_add(u32::from(place & 0x3f)).wrapping_add(jump);
        let acknowledges = (more & 0x80 != 0)
            .then(|| Serial(self.starts[1].wrapping_add(u32::from(more >> 2 & 0x1f)).wrapping_add(jump)));
        let odd = draw.arbitrary::<u8>()?;
        // What stands at a number is said by the number, or once in a while something else.
        let byte = |step: u32| match sequence.wrapping_add(step).to_le_bytes()[0] & 3 {
            byte if odd < 0x40 && step == u32::from(odd & 0xf) => byte ^ 4,
            byte => byte,
        };
        let payload = (0..u32::from(place >> 6) * 3 + u32::from(more & 3)).map(byte).collect();
        let connection = Connection { source: server, destination: client };
        Ok(Packet::Tcp(Segment { connection, sequence: Serial(sequence), acknowledges, control, payload }))
    }
}
