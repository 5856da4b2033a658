//! What a real QEMU sent is a behaviour of the core; with one message dropped, doubled or out of its place it is none.

use super::log::{Observed, Spot, What};
use super::{Capture, Finding, Index, Log, Verdict, conform};
use crate::record::{Header, Kind, Record, SCHEMA, Trace, Way};
use colo_protocol::wire::DEFAULT_RAM_SECTION_ID;
use colo_protocol::{
    Dialect, Effect, Input, InputKind, Message, MessageKind, Node, NodeName, PRESETS, Rules,
};
use proptest::prelude::*;

const NAMES: [&str; 4] = ["idle", "tcg-first-checkpoint", "cut-after-reply", "cut-before-loaded"];

/// Bytes of a message without a number.
const MESSAGE: usize = 4;

fn data(file: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/data/qemu-7.2");
    std::fs::read(format!("{directory}/{file}")).unwrap()
}

fn capture(from: NodeName, bytes: &[u8], index: Option<Index>) -> Capture {
    Capture::read(from, Dialect::Current, DEFAULT_RAM_SECTION_ID, bytes, index).unwrap()
}

fn streams(name: &str) -> [Vec<u8>; 2] {
    [data(&format!("{name}.p2s.colo.bin")), data(&format!("{name}.s2p.bin"))]
}

fn indices(name: &str) -> [Index; 2] {
    ["p2s", "s2p"].map(|way| Index::read(&data(&format!("{name}.{way}.idx"))[..]).unwrap())
}

fn recorded(name: &str) -> Log {
    let [p2s, s2p] = streams(name);
    let [of_p2s, of_s2p] = indices(name);
    Log::of_captures(&[
        capture(NodeName::Primary, &p2s, Some(of_p2s)),
        capture(NodeName::Secondary, &s2p, Some(of_s2p)),
    ])
}

fn judged(log: &Log) -> Finding {
    conform(log, &Rules::QEMU).unwrap()
}

fn names(finding: &Finding) -> Vec<&str> {
    finding.accepted.iter().map(super::Word::name).collect()
}

#[test]
fn what_qemu_sent_conforms_and_a_cut_is_seen_where_it_was() {
    for (name, events, breaks_off, next) in [
        ("idle", 41, None, "checkpoint-request"),
        ("tcg-first-checkpoint", 9, None, "checkpoint-request"),
        (
            "cut-after-reply",
            19,
            Some((Spot::Offset(NodeName::Primary, 1_843_872), 8_563_033)),
            "vmstate-send",
        ),
        ("cut-before-loaded", 24, Some((Spot::Offset(NodeName::Secondary, 36), 8_262_653)), "vmstate-loaded"),
    ] {
        let finding = judged(&recorded(name));
        let at = finding.at.and_then(|place| Some((place.spot, place.time_us?)));
        assert_eq!((finding.verdict, finding.events, at), (Verdict::Conforms, events, breaks_off), "{name}");
        assert_eq!((names(&finding), &finding.got), (vec![next], &None), "{name}");
    }
}

#[test]
fn one_direction_alone_conforms_and_both_without_their_times() {
    for name in NAMES {
        let [p2s, s2p] = streams(name).map(|bytes| bytes.clone());
        let [p2s, s2p] = [capture(NodeName::Primary, &p2s, None), capture(NodeName::Secondary, &s2p, None)];
        for captures in [&[p2s.clone(), s2p.clone()][..], &[s2p.clone(), p2s.clone()], &[p2s], &[s2p]] {
            assert_eq!(judged(&Log::of_captures(captures)).verdict, Verdict::Conforms, "{name}");
        }
    }
}

/// Under rules that speak another dialect, or are not hybrid, the same messages are sent: what they leave open is inside.
#[test]
fn messages_alone_do_not_tell_apart_what_only_the_nodes_see() {
    for preset in PRESETS {
        assert_eq!(
            conform(&recorded("idle"), &preset.rules).unwrap().verdict,
            Verdict::Conforms,
            "{}",
            preset.name
        );
    }
}

/// Where the messages of a log stand, in the order in which they passed.
fn chain(log: &Log) -> Vec<(usize, usize)> {
    let is_message = |event: &Observed| matches!(event.what, What::Passed(_, Input::Message(_)));
    let tracks = log.tracks.iter().enumerate();
    let places = tracks.flat_map(|(track, events)| (0..events.len()).map(move |place| (track, place)));
    let mut chain: Vec<_> = places.filter(|(track, place)| is_message(&log.tracks[*track][*place])).collect();
    chain.sort_by_key(|(track, place)| log.tracks[*track][*place].rank);
    chain
}

fn dropped(log: &Log, (track, place): (usize, usize)) -> Log {
    let mut log = log.clone();
    log.tracks[track].remove(place);
    log
}

fn doubled(log: &Log, (track, place): (usize, usize)) -> Log {
    let mut log = log.clone();
    let event = log.tracks[track][place].clone();
    log.tracks[track].insert(place, event);
    log
}

/// Each passes when the other did.
fn exchanged(log: &Log, one: (usize, usize), other: (usize, usize)) -> Log {
    let mut log = log.clone();
    let [first, second] = [one, other].map(|(track, place)| log.tracks[track][place].clone());
    if one.0 == other.0 {
        log.tracks[one.0].swap(one.1, other.1);
    }
    let [at_one, at_other] = if one.0 == other.0 { [one, other] } else { [other, one] };
    log.tracks[at_one.0][at_one.1].rank = first.rank;
    log.tracks[at_other.0][at_other.1].rank = second.rank;
    log
}

#[test]
fn with_one_message_dropped_doubled_or_out_of_its_place_what_qemu_sent_deviates() {
    for name in NAMES {
        let log = recorded(name);
        let chain = chain(&log);
        assert!(chain.len() > 6, "{name}");
        for (number, place) in chain.iter().copied().enumerate() {
            let mut mutated = vec![("doubled", doubled(&log, place))];
            if let Some(next) = chain.get(number + 1) {
                mutated.push(("dropped", dropped(&log, place)));
                mutated.push(("exchanged with the next", exchanged(&log, place, *next)));
            }
            for (how, log) in mutated {
                let finding = judged(&log);
                let line = finding.line();
                assert_eq!(finding.verdict, Verdict::Deviates, "{name}: message {number} {how}: {line:?}");
                assert!(
                    finding.at.is_some() && finding.got.is_some(),
                    "{name}: message {number} {how}: {line:?}"
                );
            }
        }
    }
}

/// A record that ends earlier is a record, too; it says so.
#[test]
fn without_its_last_message_what_qemu_sent_breaks_off() {
    let log = recorded("idle");
    let finding = judged(&dropped(&log, *chain(&log).last().unwrap()));
    assert_eq!(finding.verdict, Verdict::Conforms);
    assert!(finding.at.is_some());
    assert_eq!(names(&finding), ["vmstate-loaded"]);
}

#[test]
fn another_message_in_its_place_is_named_with_what_should_stand_there() {
    let [p2s, mut s2p] = streams("idle");
    let [of_p2s, of_s2p] = indices("idle");
    // The second vmstate-loaded becomes vmstate-received.
    s2p[6 * MESSAGE..7 * MESSAGE].copy_from_slice(&MessageKind::VmstateReceived.number().to_be_bytes());
    let log = Log::of_captures(&[
        capture(NodeName::Primary, &p2s, Some(of_p2s)),
        capture(NodeName::Secondary, &s2p, Some(of_s2p)),
    ]);
    let line = serde_json::to_string(&judged(&log).line()).unwrap();
    assert_eq!(
        line,
        "{\"schema\":1,\"verdict\":\"deviates\",\"events\":16,\"at\":{\"offset\":24,\"time_us\":11530955},\
         \"got\":\"vmstate-received\",\"accepted\":[\"vmstate-loaded\"]}"
    );
}

#[test]
fn without_times_what_stands_in_the_place_of_another_is_named() {
    let [p2s, s2p] = streams("idle");
    // The second checkpoint-reply is missing.
    let s2p = [&s2p[..4 * MESSAGE], &s2p[5 * MESSAGE..]].concat();
    let log =
        Log::of_captures(&[capture(NodeName::Primary, &p2s, None), capture(NodeName::Secondary, &s2p, None)]);
    let finding = judged(&log);
    assert_eq!(finding.at.map(|place| place.spot), Some(Spot::Offset(NodeName::Secondary, 16)));
    assert_eq!(finding.got.as_ref().map(super::Word::name), Some("vmstate-received"));
    assert_eq!(names(&finding), ["checkpoint-reply"]);
}

#[test]
fn a_stream_that_ends_within_a_checkpoints_state_breaks_off_there() {
    let [p2s, s2p] = streams("idle");
    for (bytes, next) in [(5_000, "ram"), (10_000, "device-state")] {
        let captures =
            [capture(NodeName::Primary, &p2s[..bytes], None), capture(NodeName::Secondary, &s2p[..8], None)];
        let finding = judged(&Log::of_captures(&captures));
        assert_eq!((finding.verdict, names(&finding)), (Verdict::Conforms, vec![next]));
        let end = Spot::Offset(NodeName::Primary, bytes as u64);
        assert_eq!(finding.at.map(|place| place.spot), Some(end));
    }
}

#[test]
fn bytes_that_are_no_message_deviate_where_they_stand_and_at_the_beginning_are_no_capture() {
    let [mut p2s, s2p] = streams("idle");
    let second = 21_207;
    assert_eq!(p2s[second..second + 4], [0, 0, 0, 1]);
    p2s[second] = 9;
    let captures = [capture(NodeName::Primary, &p2s, None), capture(NodeName::Secondary, &s2p, None)];
    let finding = judged(&Log::of_captures(&captures));
    assert_eq!(finding.verdict, Verdict::Deviates);
    assert_eq!(finding.at.map(|place| place.spot), Some(Spot::Offset(NodeName::Primary, second as u64)));
    assert_eq!(
        finding.got.map(|word| word.to_string()).as_deref(),
        Some("invalid COLO message 150994945, expected 0 to 6")
    );
    let read = |bytes: &[u8], index| {
        let capture = Capture::read(NodeName::Primary, Dialect::Current, 2, bytes, index);
        capture.unwrap_err().to_string()
    };
    assert!(read(b"QEVM", None).contains("behind the initial migration"));
    let [index, _] = indices("cut-after-reply");
    let long = vec![0; 4 << 20];
    assert_eq!(
        read(&long, Some(index)),
        "the index ends at byte 1843872 of the stream, and there are 4194304 bytes of it"
    );
}

fn header() -> Header {
    Header {
        schema: SCHEMA,
        rules_name: "qemu".to_owned(),
        rules: Rules::QEMU,
        seed: None,
        version: "0.0.0".to_owned(),
        way: Way::Sim,
    }
}

#[test]
fn what_happened_at_no_node_and_what_there_is_not_are_no_record() {
    let mut record = Record::input(1, NodeName::Primary, 0, Input::VmLocked);
    record.name = "vm-unlocked".to_owned();
    let log = |record: &Record| Log::of_trace(&Trace { header: header(), records: vec![record.clone()] });
    assert_eq!(log(&record).unwrap_err().to_string(), "line 2: there is no input \"vm-unlocked\"");
    let nowhere = Record { node: None, ..Record::effect(1, NodeName::Primary, 0, Effect::LockVm) };
    let error = log(&nowhere).unwrap_err().to_string();
    assert_eq!(error, "line 2: at which node \"lock-vm\" happened is not said");
}

/// An environment that lets effects pile up gets to an end, and not to a panic.
#[test]
fn a_record_in_which_nothing_is_carried_out_ends_where_the_queue_is_full() {
    let loaded = Record::input(0, NodeName::Secondary, 0, Input::new(InputKind::StateLoaded, 0));
    let output = |end| Record::input(end, NodeName::Secondary, 0, Input::new(InputKind::GuestOutput, end));
    let records = std::iter::once(loaded).chain((1..40).map(output)).collect();
    let finding = judged(&Log::of_trace(&Trace { header: header(), records }).unwrap());
    assert_eq!((finding.verdict, finding.events), (Verdict::Deviates, 14));
}

/// What a node records that is given these inputs, and carries out at once what comes of each; of its peer there is nothing.
fn one_sided(name: NodeName, rules: &Rules, inputs: &[Input]) -> Vec<Record> {
    let (mut node, mut records) = (Node::new(name), Vec::new());
    for input in inputs {
        assert_eq!(node.input(rules, *input), None, "{input:?}");
        records.push(Record::input(0, name, node.machine().checkpoint().0, *input));
        while let Some(effect) = node.next_effect(rules) {
            records.push(Record::effect(0, name, node.machine().checkpoint().0, effect));
        }
    }
    records
}

fn judged_records(records: &[Record]) -> Finding {
    judged(&Log::of_trace(&Trace { header: header(), records: records.to_vec() }).unwrap())
}

/// That nobody asks any more what its peer does is not its death: the link that it has closed itself is not lost.
#[test]
fn a_survivor_that_is_recorded_alone_loses_no_link_that_it_has_closed_itself() {
    let inputs = [Input::new(InputKind::StateLoaded, 0), Input::LostHeartbeat];
    let mut records = one_sided(NodeName::Secondary, &Rules::QEMU, &inputs);
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert!(names.contains(&"close-link") && names.contains(&"take-over"), "{names:?}");
    assert_eq!(judged_records(&records).verdict, Verdict::Conforms);
    records.push(Record::input(0, NodeName::Secondary, 0, Input::LinkDown));
    assert_eq!(judged_records(&records).verdict, Verdict::Deviates);
}

/// A survivor is protected again when its peer is dead, and not because nobody asks what that does.
#[test]
fn a_survivor_that_is_recorded_alone_is_not_protected_before_its_peer_is_over() {
    let inputs = [Input::Message(Message::CheckpointReady), Input::LostHeartbeat];
    let survives = one_sided(NodeName::Primary, &Rules::QEMU, &inputs);
    let takes_over = survives.iter().any(|record| record.name == "take-over");
    assert!(takes_over && judged_records(&survives).verdict == Verdict::Conforms, "{survives:?}");
    let crash = Record::other(0, None, 0, Kind::Fault, "crash of the secondary");
    let protect = Record::input(0, NodeName::Primary, 0, Input::Protect);
    let with = |more: &[&Record]| {
        let more = more.iter().map(|record| (*record).clone());
        judged_records(&survives.iter().cloned().chain(more).collect::<Vec<_>>()).verdict
    };
    assert_eq!(with(&[&protect]), Verdict::Deviates);
    assert_eq!(with(&[&crash, &protect]), Verdict::Conforms);
}

/// The delay is a setting: the header's, or what the node has been set to since. No other is armed.
#[test]
fn another_delay_than_the_last_that_was_set_is_not_armed() {
    let shorter = Rules { checkpoint_delay_ms: 30, ..Rules::QEMU };
    let ready = [Input::Message(Message::CheckpointReady)];
    let [of_the_header, of_30_ms] =
        [Rules::QEMU, shorter].map(|rules| one_sided(NodeName::Primary, &rules, &ready));
    let armed = |records: &[Record]| {
        records.iter().find(|record| record.name == "arm-checkpoint-timer").and_then(|record| record.value)
    };
    assert_eq!((armed(&of_the_header), armed(&of_30_ms)), (Some(20_000), Some(30)));
    let set = |delays: &[u32], armed: &[Record]| {
        let set = delays.iter().map(|delay| Record::new_delay(0, NodeName::Primary, 0, *delay));
        judged_records(&set.chain(armed.iter().cloned()).collect::<Vec<_>>())
    };
    for (delays, armed) in [
        (&[][..], &of_the_header),
        (&[30], &of_30_ms),
        (&[50, 30], &of_30_ms),
        (&[30, 20_000], &of_the_header),
    ] {
        assert_eq!(set(delays, armed).verdict, Verdict::Conforms, "{delays:?}");
    }
    for (delays, armed) in
        [(&[][..], &of_30_ms), (&[30], &of_the_header), (&[30, 50], &of_30_ms), (&[30, 20_000], &of_30_ms)]
    {
        let finding = set(delays, armed);
        let got = finding.got.map(|word| word.name().to_owned());
        assert_eq!(
            (finding.verdict, got.as_deref()),
            (Verdict::Deviates, Some("arm-checkpoint-timer")),
            "{delays:?}"
        );
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let kinds: Vec<_> = InputKind::all().collect();
    let inputs = (prop::sample::select(kinds), any::<bool>(), 0..4_u64).prop_map(|(kind, primary, value)| {
        let node = if primary { NodeName::Primary } else { NodeName::Secondary };
        Record::input(0, node, 0, Input::new(kind, value))
    });
    let messages: Vec<_> = MessageKind::ALL.into_iter().map(|kind| Message::new(kind, 1)).collect();
    let effects = prop::sample::select(messages)
        .prop_map(|message| Record::effect(0, NodeName::Primary, 0, Effect::Send(message)));
    prop_oneof![inputs, effects]
}

proptest! {
    #[test]
    fn no_trace_is_too_strange_to_be_judged(records in prop::collection::vec(any_record(), 0..30), preset in 0..PRESETS.len()) {
        let trace = Trace { header: header(), records };
        for trace in [Log::messages_of(&trace), trace] {
            let _ = conform(&Log::of_trace(&trace).unwrap(), &PRESETS[preset].rules);
        }
    }

    #[test]
    fn no_stream_is_too_strange_to_be_judged(mut bytes in prop::collection::vec(any::<u8>(), 0..40), valid in 0..64_usize) {
        let [_, s2p] = streams("idle");
        bytes.splice(0..0, s2p[..valid].iter().copied());
        if let Ok(capture) = Capture::read(NodeName::Secondary, Dialect::V12, 2, &bytes[..], None) {
            let _ = conform(&Log::of_captures(&[capture]), &Rules::V12);
        }
    }
}
