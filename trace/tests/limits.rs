//! What the readers take of memory, whatever they are given: a few times what has come, and never more than a constant.
//! Their steps are counted by what they allocate: twice the input, twice the allocations.
#![expect(clippy::unwrap_used, reason = "a test may")]
#![expect(clippy::cast_precision_loss, reason = "ratios of counts")]

use allocation_counter::measure;
use colo_protocol::{Dialect, NodeName, Rules};
use colo_trace::{
    Capture, CaptureError, Header, Index, Kind, Plan, Record, SCHEMA, Trace, Way, read_trace,
    rules_from_toml, write_trace,
};
use std::io::{BufReader, Read, repeat};

const MIB: usize = 1 << 20;

/// The most that is held of a capture, bytes: 2^20 events, in a list that has just grown.
const MAX_CAPTURE_BYTES: u64 = 320 << 20;

/// The most that is held of an index, bytes: 2^22 lines, in a list that has just grown.
const MAX_INDEX_BYTES: u64 = 200 << 20;

/// How many times its text a reader of TOML may hold.
const TOML_TIMES: u64 = 400;

/// How many times its lines a reader of traces may hold.
const TRACE_TIMES: u64 = 16;

#[test]
fn a_capture_without_an_end_is_given_up_in_bounded_memory() {
    let info = measure(|| {
        let capture = Capture::read(NodeName::Secondary, Dialect::Current, 2, repeat(0), None);
        assert!(matches!(capture, Err(CaptureError::TooLong)));
    });
    assert!(info.bytes_max <= MAX_CAPTURE_BYTES, "{info:?}");
}

#[test]
fn what_is_not_looked_at_in_a_capture_is_not_held() {
    let stream = (&[0, 0, 0, 0][..]).chain(repeat(0xff).take(64 << 20));
    let info = measure(|| drop(Capture::read(NodeName::Primary, Dialect::V12, 2, stream, None).unwrap()));
    assert!(info.bytes_max <= MIB as u64, "{info:?}");
}

/// "7 0 0" on every line, for ever.
struct Lines(usize);

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in &mut *buffer {
            *byte = b"7 0 0\n"[self.0 % 6];
            self.0 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn an_index_without_an_end_is_given_up_in_bounded_memory() {
    let info = measure(|| {
        let error = Index::read(BufReader::new(Lines(0))).unwrap_err().to_string();
        assert!(error.starts_with("line 4194305: "), "{error}");
    });
    assert!(info.bytes_max <= MAX_INDEX_BYTES, "{info:?}");
    let info = measure(|| drop(Index::read(BufReader::new(repeat(b'1'))).unwrap_err()));
    assert!(info.bytes_max <= MIB as u64, "{info:?}");
}

#[test]
fn a_line_without_an_end_is_given_up() {
    let info = measure(|| {
        let error = read_trace(BufReader::new(repeat(b'{'))).unwrap_err().to_string();
        assert_eq!(error, "trace, line 1: longer than 65536 bytes");
    });
    assert!(info.bytes_max <= MIB as u64, "{info:?}");
}

/// The shortest records that there are, which are the most for their bytes.
fn trace(bytes: usize) -> Vec<u8> {
    let (rules, version) = (Rules::V12, String::new());
    let header =
        Header { schema: SCHEMA, rules_name: String::new(), rules, seed: None, version, way: Way::Sim };
    let mut text = Vec::new();
    write_trace(&Trace { header, records: Vec::new() }, &mut text).unwrap();
    let record = Record::other(0, None, 0, Kind::Note, "");
    let line = serde_json::to_string(&record).unwrap() + "\n";
    text.extend(line.repeat(bytes / line.len()).into_bytes());
    text
}

#[test]
fn a_trace_takes_memory_and_steps_in_proportion() {
    let [one, two, four] = [1, 2, 4].map(|mib| {
        let text = trace(mib * MIB);
        let info = measure(|| drop(read_trace(&text[..]).unwrap()));
        assert!(info.bytes_max <= TRACE_TIMES * text.len() as u64, "{info:?}");
        info.count_total as f64
    });
    assert!((1.9..2.1).contains(&(two / one)) && (1.9..2.1).contains(&(four / two)), "{one} {two} {four}");
}

#[test]
fn a_plan_takes_memory_and_steps_in_proportion() {
    let fault = "[[fault]]\nat=\"primary checkpoint 1 after effect release\"\naction=\"cut\"\n";
    let worst = [fault, "[[gate]]\n", "a.", "[", "x=[[[[[[[[[[[[[[[[\n", "\"", "#", "[fault.a]\n", "'''"];
    for part in worst {
        let [quarter, half, whole] = [4, 2, 1].map(|share| {
            let text = format!("schema = 1\n{}", part.repeat((MIB - 64) / share / part.len()));
            let info = measure(|| drop(Plan::from_toml(&text)));
            assert!(info.bytes_max <= TOML_TIMES * text.len() as u64, "{part:?}: {info:?}");
            info.count_total as f64
        });
        // What is refused early takes no steps to speak of.
        let few = whole < 1000.0;
        assert!(few || (half / quarter < 2.2 && whole / half < 2.2), "{part:?}: {quarter} {half} {whole}");
    }
}

#[test]
fn what_is_larger_than_any_plan_or_rules_is_refused_unread() {
    let text = "#".repeat(MIB + 1);
    let info = measure(|| {
        let plan = Plan::from_toml(&text).unwrap_err().to_string();
        assert_eq!(plan, "a fault plan of 1048577 bytes, expected at most 1048576");
        assert_eq!(rules_from_toml(&text).unwrap_err(), "1048577 bytes, expected at most 65536");
    });
    assert!(info.bytes_total < 4096, "{info:?}");
}
