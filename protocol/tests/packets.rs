//! Two guests' packets beside each other: what is the same, what waits, what differs; by a table, against a byte map, and
//! at the bounds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use colo_protocol::OutputOffset;
use colo_protocol::packets::{
    AHEAD_BYTES, Connection, Control, HISTORY_BYTES, Likeness, MOST_CONNECTIONS, MOST_HELD, Packet,
    PeerPackets, Segment, Serial, Symbol,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

fn connection(port: u16) -> Connection {
    let end = |host, port| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), port);
    Connection { source: end(2, 6379), destination: end(1, port) }
}

fn segment(port: u16, sequence: u32, control: Control, payload: &[u8]) -> Segment {
    Segment {
        connection: connection(port),
        sequence: Serial(sequence),
        acknowledges: None,
        control,
        payload: payload.to_vec(),
    }
}

/// `S100`, `D100=bytes`, `F105=bytes`, `R100`, with `^7` what is acknowledged and `@2` the client's port; or `arp=bytes`.
fn packet(words: &[&str]) -> Packet {
    let (head, payload) = words[0].split_once('=').unwrap_or((words[0], ""));
    if head == "arp" {
        return Packet::Other(payload.into());
    }
    let control = match &head[..1] {
        "S" => Control::Synchronize,
        "D" => Control::Data,
        "F" => Control::Finish,
        "R" => Control::Reset,
        other => panic!("{other} is no control"),
    };
    let mut segment = segment(1, head[1..].parse().unwrap(), control, payload.as_bytes());
    for word in &words[1..] {
        match word.split_at(1) {
            ("^", number) => segment.acknowledges = Some(Serial(number.parse().unwrap())),
            ("@", port) => segment.connection = connection(port.parse().unwrap()),
            _ => panic!("{word} is nothing"),
        }
    }
    Packet::Tcp(segment)
}

/// Plays it, one line after the other: `peer PACKET`; `own PACKET LIKENESS`, which leaves if it is the same; `covered
/// PACKET`, which leaves with a checkpoint; `forget`.
fn play(script: &str) -> PeerPackets {
    let mut peer = PeerPackets::default();
    for line in script.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["forget"] => peer.forget(),
            ["peer", ref words @ ..] => peer.take(packet(words)),
            ["covered", ref words @ ..] => peer.released(&packet(words)),
            ["own", ref words @ .., expected] => {
                let own = packet(words);
                let found = peer.compare(&own);
                assert_eq!(format!("{found:?}").to_lowercase(), expected, "{line}, of: {script}");
                if found == Likeness::Same {
                    peer.released(&own);
                }
            }
            _ => panic!("{line} is nothing"),
        }
    }
    peer
}

#[test]
fn what_is_the_same_what_waits_and_what_differs() {
    let cases = [
        ("nothing has come", "own D100=abc waits; own D100 ^7 waits; own S100 waits; own R100 waits"),
        ("as it is", "peer D100=abc ^7; own D100=abc ^7 same"),
        ("the peer's is cut finer", "peer D100=ab; peer D102=cd; own D100=abcd same"),
        ("one's own is cut finer", "peer D100=abcd; own D100=a same; own D101=bcd same"),
        ("a part is missing", "peer D100=ab; own D100=abc waits; peer D102=c; own D100=abc same"),
        ("a byte in the middle", "peer D100=abXde; own D100=ab same; own D102=cde differs"),
        ("a byte behind a gap", "peer D103=X; own D100=abcd differs"),
        ("out of order", "peer D103=de; peer D100=abc; own D102=cd same; own D100=ab same; own D104=e same"),
        ("sent again by the peer", "peer D100=abc; peer D100=abc; own D100=abc same"),
        ("sent again by one's own", "peer D100=abc; own D100=abc same; own D101=bcd waits; own D100=ab same"),
        ("what was covered is sent again", "covered D100=abc ^7; own D101=b ^7 same; own D100=abX waits"),
        ("a probe with any byte", "peer D100=abc; own D100=abc same; peer D102=X; own D102=X same"),
        ("the peer contradicts itself", "peer D100=abc; peer D101=X; own D100=aXc same"),
        ("across the wrap", "peer D4294967294=abcd; own D4294967294=abc same; own D1=d same; own D2=e waits"),
        ("a difference behind the wrap", "peer D4294967294=abcd; own D4294967294=abcX differs"),
        ("an acknowledgement ahead", "peer D100 ^7; own D100 ^8 waits; peer D100 ^8; own D100 ^8 same"),
        ("an acknowledgement behind", "peer D100 ^8; own D100 ^7 same; own D100 ^6 same"),
        (
            "an acknowledgement across the wrap",
            "peer D100 ^4294967295; own D100 ^0 waits; peer D100 ^1; own D100 ^0 same",
        ),
        ("an acknowledgement does not go back", "peer D100 ^8; peer D100 ^7; own D100 ^8 same"),
        ("an acknowledgement half-way round", "peer D100 ^0; own D100 ^2147483648 waits"),
        ("data with an acknowledgement ahead", "peer D100=abc ^7; own D100=abc ^8 waits"),
        ("a covered acknowledgement", "covered D100 ^8; own D100 ^8 same; own D100 ^9 waits"),
        ("a beginning", "peer S99 ^7; own S99 ^7 same; own D100 ^7 same"),
        ("another first number", "peer S99 ^7; own S98 ^7 differs"),
        ("a beginning with data", "peer S99; peer D100=ab; own S99=ab same"),
        ("an end", "peer D100=ab; own F102 waits; peer F102; own F102 same; own F100=ab same"),
        ("an end on data", "peer F100=ab; own D100=ab same; own F102 same"),
        ("an end that comes too early", "peer D100=abc; own F100=ab differs"),
        ("an end that does not come", "peer F100=ab; own D100=abc differs"),
        ("a reset", "own R100 waits; peer R100; own R100 same; own R100 same"),
        ("a reset of another connection", "peer R100 @2; own R100 waits"),
        ("a reset that acknowledges", "peer R0 ^7; own R0 ^8 waits; own R0 ^7 same"),
        (
            "connections have nothing to do with each other",
            "peer D100=abc @2; own D100=abc waits; own D100=abc @2 same",
        ),
        ("a segment that says nothing", "peer D100=abc; own D100 waits"),
        ("ARP", "own arp=who waits; peer arp=who; own arp=who same; own arp=who waits"),
        ("frames are counted", "peer arp=a; peer arp=a; own arp=a same; own arp=a same; own arp=a waits"),
        ("other frames have no order", "peer arp=a; peer arp=b; own arp=b same; own arp=a same"),
        ("a frame that was covered has had its like", "peer arp=a; covered arp=a; own arp=a waits"),
    ];
    for (name, script) in cases {
        println!("{name}");
        play(script);
    }
}

#[test]
fn at_a_checkpoint_the_peers_streams_go_on_where_ones_own_stood() {
    let cases = [
        ("what came before is no proof", "peer D100=abc ^7; forget; own D100=abc waits; own D100 ^7 waits"),
        (
            "a difference is gone, and the stream goes on",
            "peer D100=abX; own D100=abc differs; covered D100=abc ^7; forget; \
             own D103=d waits; peer D103=d ^8; own D103=d ^8 same; own D100=abcd ^7 same",
        ),
        (
            "what has been released stays released",
            "peer D100=ab; own D100=ab same; forget; own D101=b same; own D102=c waits",
        ),
        ("the peer's reset is gone", "peer R100; forget; own R100 waits"),
        ("frames are gone", "peer arp=a; forget; own arp=a waits"),
        (
            "across the wrap",
            "covered D4294967294=abc; forget; peer D1=de; own D4294967295=bcd same; own D2=eX waits",
        ),
        (
            "another first number, covered",
            "peer S99 ^7; own S98 ^7 differs; covered S98 ^7; forget; peer D99=ab ^9; own D99=ab ^9 same",
        ),
        (
            "what comes before it is forgotten that the stream was another's",
            "peer S99; peer D100=zz; covered S98; covered D99=ab; forget; peer D101=cd; own D101=cd same",
        ),
    ];
    for (name, script) in cases {
        println!("{name}");
        play(script);
    }
}

#[test]
fn a_port_number_that_is_used_again_begins_a_new_stream() {
    let first = "peer S99 ^7; peer D100=ab; peer F102 ^9; ";
    let cases = [
        (
            "one after the other",
            "own S99 ^7 same; own D100=ab same; own F102 ^9 same; peer S50 ^1; own S50 ^1 same; own D51=x waits",
        ),
        (
            "the peer is ahead with it",
            "peer S500 ^3; peer D501=xyz ^3; own S99 ^7 same; own D100=ab same; own F102 ^9 same; own S500 ^3 same; \
             own D501=xyz ^3 same",
        ),
        ("its bytes at the same numbers are others", "peer S99 ^7; own S99 ^7 same; own D100=aX differs"),
        (
            "at the same numbers, ahead",
            "own S99 ^7 same; own D100=ab same; own F102 ^9 same; peer S98; peer D99=abcd; own S98 same; own D99=abcd same",
        ),
        (
            "one's own is ahead with it",
            "own S99 ^7 same; own D100=ab same; own F102 ^9 same; own S500 waits; covered S500; own D501=x waits; forget; \
             peer D501=x; own D501=x same; own D100=ab waits",
        ),
        (
            "it begins elsewhere",
            "own S99 ^7 same; own D100=ab same; own F102 ^9 same; peer S500; own S501 differs",
        ),
        (
            "an acknowledgement of the old stream is none of the new",
            "own S99 ^7 same; own D100=ab same; own F102 ^9 same; peer S500 ^3; own S500 ^4 waits; own S500 ^3 same; own D501 ^9 waits",
        ),
        (
            "a SYN that is sent again begins nothing",
            "peer S99 ^7; own S99 ^7 same; own S99 ^7 same; own D100=ab same",
        ),
        (
            "a checkpoint takes back what the peer has begun",
            "own S99 ^7 same; peer S500; forget; own S500 waits; own D100 ^7 same",
        ),
    ];
    for (name, script) in cases {
        println!("{name}");
        play(&format!("{first}{script}"));
    }
}

#[test]
fn of_streams_that_the_peer_begins_without_end_only_the_first_are_known() {
    let script = "peer S10; peer S20; peer S30; peer S40; peer S50; peer D41=x; peer D51=y; \
                  own S20 same; own S40 same; own D41=x waits; own D51=y waits; forget; peer D41=x; own D41=x same";
    play(script);
}

/// Nothing of one's own waits, and yet the guests have diverged: one of them says less.
#[test]
fn that_the_peer_is_ahead_is_seen_until_ones_own_says_the_same_or_a_checkpoint_comes() {
    let cases = [
        ("peer D100=abc ^7", "own D100=abc ^7 same"),
        ("peer D100 ^7", "covered D100 ^8"),
        ("peer R100", "own R100 same"),
        ("peer F100", "own F100 same"),
        ("covered S99; covered D100=a; peer S500", "own S500 same"),
        ("peer arp=a; peer arp=a; own arp=a same", "own arp=a same"),
    ];
    for (ahead, level) in cases {
        assert!(play(ahead).is_ahead(), "{ahead}");
        assert!(!play(&format!("{ahead}; {level}")).is_ahead(), "{ahead}; {level}");
        assert!(!play(&format!("{ahead}; forget")).is_ahead(), "{ahead}; forget");
    }
    assert!(play("peer D100=abc ^7; own D100=ab ^7 same").is_ahead());
    assert!(!play("own D100=abc waits").is_ahead());
}

/// A row is compared before any of it has been released.
#[test]
fn a_row_of_packets_is_the_same_as_far_as_its_packets_are_one_by_one() {
    let row = |peers: &str, own: &[&str]| {
        let own: Vec<Packet> = own.iter().map(|text| packet(&text.split(' ').collect::<Vec<_>>())).collect();
        let compared = play(peers).compare_row(OutputOffset(5), own.iter());
        (compared.end.0 - 5, compared.differs)
    };
    let peers = "peer D100=abc; peer arp=a; peer arp=a; peer D103=de";
    assert_eq!(row(peers, &[]), (0, false));
    assert_eq!(row(peers, &["D100=ab", "arp=a", "D102=cd", "arp=a"]), (4, false));
    assert_eq!(row(peers, &["arp=a", "arp=a", "arp=a", "D100=a"]), (2, false), "there are two");
    assert_eq!(row(peers, &["D100=ab", "D102=Xd", "arp=a"]), (1, true));
    assert_eq!(row(peers, &["D100=ab", "D105=f", "D102=X"]), (1, false), "it waits for what stands before");
    let again = "peer S99; own S99 same; peer S500; peer D501=x";
    assert_eq!(row(again, &["S99", "S500", "D501=x"]), (2, false), "the rest when that has been released");
    assert_eq!(row(&format!("{again}; own S500 same"), &["D501=x"]), (1, false));
}

#[test]
fn what_has_left_is_known_for_a_while_and_then_waits() {
    let mut peer = PeerPackets::default();
    let sent = |at: usize, length| {
        let bytes = vec![b'a'; length];
        Packet::Tcp(segment(1, u32::MAX.wrapping_add(u32::try_from(at).unwrap()), Control::Data, &bytes))
    };
    for at in (0..4 * HISTORY_BYTES).step_by(1000) {
        peer.take(sent(at, 1000));
        assert_eq!(peer.compare(&sent(at, 1000)), Likeness::Same);
        peer.released(&sent(at, 1000));
    }
    let end = (4 * HISTORY_BYTES).next_multiple_of(1000);
    peer.forget();
    assert_eq!(peer.compare(&sent(end - HISTORY_BYTES, HISTORY_BYTES)), Likeness::Same);
    assert_eq!(peer.compare(&sent(end - HISTORY_BYTES - 1, 1)), Likeness::Waits);
    assert!(peer.held_bytes() <= 4 * HISTORY_BYTES, "{}", peer.held_bytes());
}

#[test]
fn what_the_peer_sends_ahead_has_an_end() {
    let mut peer = PeerPackets::default();
    for at in (0..u32::try_from(4 * AHEAD_BYTES).unwrap()).step_by(1000) {
        peer.take(Packet::Tcp(segment(1, at, Control::Data, &[0; 1000])));
    }
    assert!((2 * AHEAD_BYTES..3 * AHEAD_BYTES).contains(&peer.held_bytes()), "{}", peer.held_bytes());
    peer.take(Packet::Tcp(segment(2, 0, Control::Data, &vec![0; 4 * AHEAD_BYTES])));
    let huge = Packet::Tcp(segment(2, 0, Control::Data, &vec![0; 4 * AHEAD_BYTES]));
    assert_eq!(peer.compare(&huge), Likeness::Waits);
    peer.released(&huge);
    for number in 0..100_000_u32 {
        peer.take(Packet::Other(number.to_le_bytes().to_vec()));
    }
    assert!(peer.held_bytes() < 6 << 20, "{}", peer.held_bytes());
    assert_eq!(peer.compare(&Packet::Other(vec![0; 4])), Likeness::Same);
    assert_eq!(peer.compare(&Packet::Other(99_999_u32.to_le_bytes().to_vec())), Likeness::Waits);
}

#[test]
fn closed_connections_give_way_first_and_then_those_that_have_been_idle_for_longest() {
    let mut peer = PeerPackets::default();
    let most = u16::try_from(MOST_CONNECTIONS).unwrap();
    let mut sends = |port, control| {
        let packet = Packet::Tcp(segment(port, 100, control, b"a"));
        peer.take(packet.clone());
        let found = peer.compare(&packet);
        peer.released(&packet);
        found
    };
    for port in 0..most {
        let control = if port == 7 { Control::Finish } else { Control::Data };
        assert_eq!(sends(port, control), Likeness::Same);
    }
    for port in 0..3 {
        assert_eq!(sends(most + port, Control::Data), Likeness::Same);
    }
    let known = |port| peer.compare(&Packet::Tcp(segment(port, 100, Control::Data, b"a"))) == Likeness::Same;
    let gone: Vec<u16> = (0..most + 3).filter(|port| !known(*port)).collect();
    assert_eq!((gone, peer.connections()), (vec![0, 1, 7], MOST_CONNECTIONS));
}

#[test]
fn connections_that_wait_for_ones_own_guest_do_not_give_way() {
    let mut peer = PeerPackets::default();
    let most = u16::try_from(MOST_CONNECTIONS).unwrap();
    let packet = |port| Packet::Tcp(segment(port, 100, Control::Data, b"a"));
    (0..=most).for_each(|port| peer.take(packet(port)));
    assert_eq!([0, most].map(|port| peer.compare(&packet(port))), [Likeness::Same, Likeness::Waits]);
    peer.released(&packet(3));
    peer.take(packet(most));
    assert_eq!([3, most].map(|port| peer.compare(&packet(port))), [Likeness::Waits, Likeness::Same]);
    peer.forget();
    assert_eq!(peer.connections(), 0);
}

/// All streams together have a bound, which gaps count against.
#[test]
fn gaps_do_not_fill_the_memory() {
    let mut peer = PeerPackets::default();
    let gap = u32::try_from(AHEAD_BYTES).unwrap();
    for port in 0..u16::try_from(MOST_CONNECTIONS).unwrap() {
        for at in [0, gap] {
            peer.take(Packet::Tcp(segment(port, at, Control::Data, b"a")));
        }
    }
    assert!((MOST_HELD..=2 * MOST_HELD).contains(&peer.held_bytes()), "{}", peer.held_bytes());
}

/// What a side sends: streams cut into segments.
#[derive(Clone, Debug)]
struct Side(Vec<Segment>);

/// Streams that begin anywhere, of some bytes, begun and ended.
fn streams() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    let start = prop_oneof![any::<u32>(), u32::MAX - 100..=u32::MAX];
    prop::collection::vec((start, prop::collection::vec(0..4_u8, 0..120)), 1..4)
}

/// Segments of a stream, cut and repeated as `cuts` say, and what is acknowledged on the way.
fn cut(port: u16, start: u32, bytes: &[u8], cuts: &[(usize, bool)]) -> Vec<Segment> {
    let number = |at: usize| start.wrapping_add(1).wrapping_add(u32::try_from(at).unwrap());
    let mut segments = vec![segment(port, start, Control::Synchronize, &[])];
    let mut at = 0;
    for (length, repeated) in cuts.iter().cycle() {
        if at == bytes.len() {
            break;
        }
        let end = (at + length).min(bytes.len());
        segments.push(segment(port, number(at), Control::Data, &bytes[at..end]));
        if *repeated {
            let again = at.saturating_sub(*length);
            segments.push(segment(port, number(again), Control::Data, &bytes[again..end]));
        }
        at = end;
    }
    segments.push(segment(port, number(at), Control::Finish, &[]));
    // What the client asks for grows with what it is answered.
    for segment in &mut segments {
        let answered =
            segment.sequence.0.wrapping_sub(start).wrapping_add(u32::try_from(segment.length()).unwrap());
        segment.acknowledges = Some(Serial(0).back(500).advance(answered * 10));
    }
    segments
}

fn cuts() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((1..30_usize, any::<bool>()), 1..10)
}

/// Several streams' segments, each stream's in its order.
fn mixed(mut streams: Vec<Vec<Segment>>, order: &[usize]) -> Side {
    for segments in &mut streams {
        segments.reverse();
    }
    let mut all = Vec::new();
    for choice in order.iter().cycle() {
        streams.retain(|segments| !segments.is_empty());
        if streams.is_empty() {
            break;
        }
        let index = choice % streams.len();
        all.extend(streams[index].pop());
    }
    Side(all)
}

fn sides() -> impl Strategy<Value = (Side, Side)> {
    let order = || prop::collection::vec(0..6_usize, 1..20);
    (streams(), cuts(), cuts(), order(), order()).prop_map(|(streams, own, peers, own_order, peers_order)| {
        let cut_all = |cuts: &[(usize, bool)]| {
            (1..).zip(&streams).map(|(port, (start, bytes))| cut(port, *start, bytes, cuts)).collect()
        };
        (mixed(cut_all(&own), &own_order), mixed(cut_all(&peers), &peers_order))
    })
}

/// What the peer has said, and what has been released: every number's bytes, and every acknowledgement.
#[derive(Default)]
struct Reference {
    said: BTreeSet<(Connection, u32, Option<u8>)>,
    acknowledged: BTreeMap<Connection, Vec<u32>>,
}

impl Reference {
    fn symbols(segment: &Segment) -> impl Iterator<Item = (Connection, u32, Option<u8>)> {
        let connection = segment.connection;
        let numbers = (0..).map(|step| segment.sequence.0.wrapping_add(step));
        segment.symbols().zip(numbers).map(move |(symbol, number)| match symbol {
            Symbol::Byte(byte) => (connection, number, Some(byte)),
            Symbol::Synchronize | Symbol::Finish => (connection, number, None),
        })
    }

    fn learn(&mut self, segment: &Segment) {
        self.said.extend(Self::symbols(segment));
        let acknowledged = self.acknowledged.entry(segment.connection).or_default();
        acknowledged.extend(segment.acknowledges.map(|number| number.0));
    }

    fn has(&self, own: &Segment) -> bool {
        let acknowledged = |number: Serial| {
            let all = self.acknowledged.get(&own.connection).into_iter().flatten();
            all.into_iter().any(|latest| latest.wrapping_sub(number.0) < 1 << 31)
        };
        Self::symbols(own).all(|symbol| self.said.contains(&symbol))
            && own.acknowledges.is_none_or(acknowledged)
    }
}

proptest! {
    /// As long as nothing is beyond the bounds, it finds exactly what a map of all bytes has; and in the end everything.
    #[test]
    fn two_ways_to_cut_the_same_streams_end_up_the_same(
        (own, peers) in sides(), steps in prop::collection::vec(any::<bool>(), 1..50),
    ) {
        let (mut peer, mut reference) = (PeerPackets::default(), Reference::default());
        let mut coming = peers.0.iter();
        let mut waiting = own.0.iter().peekable();
        for comes in steps.iter().cycle() {
            let Some(next) = waiting.peek() else { break };
            let found = peer.compare(&Packet::Tcp((*next).clone()));
            prop_assert_eq!(found == Likeness::Same, reference.has(next), "{:?}", next);
            prop_assert_ne!(found, Likeness::Differs);
            if found == Likeness::Same && (!comes || coming.len() == 0) {
                reference.learn(next);
                peer.released(&Packet::Tcp((*next).clone()));
                waiting.next();
            } else if let Some(segment) = coming.next() {
                reference.learn(segment);
                peer.take(Packet::Tcp(segment.clone()));
            } else {
                prop_assert_eq!(found, Likeness::Same, "{:?} waits for ever", next);
            }
        }
    }

    /// Before the peer's byte has come it waits, then it differs; all before it is the same.
    #[test]
    fn a_packet_with_another_byte_is_never_the_same(
        (own, peers) in sides(), which in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(),
        comes in any::<prop::sample::Index>(),
    ) {
        let with_data: Vec<usize> =
            (0..own.0.len()).filter(|index| !own.0[*index].payload.is_empty()).collect();
        prop_assume!(!with_data.is_empty());
        let changed = *which.get(&with_data);
        let mut row: Vec<Packet> = own.0.into_iter().map(Packet::Tcp).collect();
        let Packet::Tcp(segment) = &mut row[changed] else { unreachable!() };
        let place = place.index(segment.payload.len());
        segment.payload[place] ^= 0x80;
        let (at_first, later) = peers.0.split_at(comes.index(peers.0.len()));
        let mut peer = PeerPackets::default();
        at_first.iter().cloned().map(Packet::Tcp).for_each(|packet| peer.take(packet));
        prop_assert_ne!(peer.compare(&row[changed]), Likeness::Same);
        later.iter().cloned().map(Packet::Tcp).for_each(|packet| peer.take(packet));
        prop_assert_eq!(peer.compare(&row[changed]), Likeness::Differs);
        let compared = peer.compare_row(OutputOffset(0), row.iter());
        prop_assert_eq!((compared.end, compared.differs), (OutputOffset(changed as u64), true));
        for packet in &row[..changed] {
            prop_assert_eq!(peer.compare(packet), Likeness::Same);
            peer.released(packet);
        }
        // If it was sent again, the peer's byte has been done with.
        prop_assert_ne!(peer.compare(&row[changed]), Likeness::Same);
    }
}
