//! The trace format: JSON Lines, one header and then one record an event.

use colo_protocol::{Effect, Input, InputKind, NodeName, Rules};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use thiserror::Error;

/// The version of the trace format. Fields may be added to it, never renamed.
pub const SCHEMA: u32 = 1;

/// The longest line that is read, bytes.
const MAX_LINE_BYTES: usize = 1 << 16;

/// The longest trace that is read, bytes: a soak of hours. What is read takes a few times as much memory.
const MAX_TRACE_BYTES: usize = 1 << 30;

/// Which of the three ways made a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The model checker: times are step numbers.
    Model,
    /// The simulator: times are virtual.
    Sim,
    /// Real virtual machines: times are of the machine's monotonic clock.
    Real,
}

/// The first line of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub schema: u32,
    /// The rules' name: a preset, a known bug, or a file.
    pub rules_name: String,
    /// The rules themselves.
    pub rules: Rules,
    /// The seed, if the run was drawn from one.
    pub seed: Option<u64>,
    /// The version of the tool.
    pub version: String,
    /// Which way made it.
    pub way: Way,
}

/// What sort of event a record tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A machine was given an input.
    Input,
    /// An effect was carried out (an operation: begun).
    Effect,
    /// A fault struck.
    Fault,
    /// A machine found an input wrong, or refused it.
    Error,
    /// The guest did something.
    Guest,
    /// A client, or the world, saw something.
    Client,
    /// A property was broken.
    Violation,
    /// A remark between the events.
    Note,
}

/// One event of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When, microseconds from the start of the run; in a trace of the model, the number of the step.
    pub time_us: u64,
    /// Where; none for the link and the world.
    pub node: Option<NodeName>,
    /// The latest checkpoint that the node had begun.
    pub checkpoint: u64,
    /// What sort of event.
    pub kind: Kind,
    /// Its name: an input's, an effect's, a fault's.
    pub name: String,
    /// The number that it carries, if it carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// More, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record {
    /// A record of an input.
    pub fn input(time_us: u64, node: NodeName, checkpoint: u64, input: Input) -> Self {
        let name = input.kind().name().to_owned();
        Self {
            time_us,
            node: Some(node),
            checkpoint,
            kind: Kind::Input,
            name,
            value: input.value(),
            detail: None,
        }
    }

    /// A record of an effect.
    pub fn effect(time_us: u64, node: NodeName, checkpoint: u64, effect: Effect) -> Self {
        let name = effect.kind().name().to_owned();
        let detail = match effect {
            Effect::Exit(reason) => Some(reason.name().to_owned()),
            _ => None,
        };
        Self {
            time_us,
            node: Some(node),
            checkpoint,
            kind: Kind::Effect,
            name,
            value: effect.value(),
            detail,
        }
    }

    /// A record of anything else.
    pub fn other(
        time_us: u64,
        node: Option<NodeName>,
        checkpoint: u64,
        kind: Kind,
        name: impl Into<String>,
    ) -> Self {
        Self { time_us, node, checkpoint, kind, name: name.into(), value: None, detail: None }
    }

    /// The same record with a number.
    #[must_use]
    pub fn with_value(mut self, value: u64) -> Self {
        self.value = Some(value);
        self
    }

    /// The same record with more for a person.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The input that the record tells, if it tells one.
    pub fn as_input(&self) -> Option<Input> {
        if self.kind != Kind::Input {
            return None;
        }
        InputKind::from_name(&self.name).map(|kind| Input::new(kind, self.value.unwrap_or(0)))
    }
}

/// A header and its records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The first line.
    pub header: Header,
    /// The other lines.
    pub records: Vec<Record>,
}

/// A trace that cannot be read or written.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file could not be read or written.
    #[error("trace: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not what it should be.
    #[error("trace, line {line}: {problem}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Writes a trace as JSON Lines.
pub fn write_trace(trace: &Trace, mut out: impl Write) -> Result<(), TraceError> {
    write_line(&trace.header, &mut out)?;
    trace.records.iter().try_for_each(|record| write_line(record, &mut out))
}

fn write_line(value: &impl Serialize, out: &mut impl Write) -> Result<(), TraceError> {
    serde_json::to_writer(&mut *out, value).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Reads a trace from JSON Lines.
pub fn read_trace(input: impl BufRead) -> Result<Trace, TraceError> {
    read_at_most(MAX_TRACE_BYTES, input)
}

fn read_at_most(limit: usize, mut input: impl BufRead) -> Result<Trace, TraceError> {
    let (mut line, mut bytes) = (0, 0);
    let mut next = || {
        line += 1;
        let text = read_line(&mut input, line)?;
        bytes += text.as_ref().map_or(0, Vec::len);
        if bytes > limit {
            let problem = format!("the trace is longer than {limit} bytes");
            return Err(TraceError::Line { line, problem });
        }
        Ok((line, text))
    };
    let (_, text) = next()?;
    let text = text.ok_or(TraceError::Line { line: 1, problem: "the header is missing".to_owned() })?;
    let header: Header = parse(1, &text)?;
    if header.schema != SCHEMA {
        let problem = format!("schema {}, expected {SCHEMA}", header.schema);
        return Err(TraceError::Line { line: 1, problem });
    }
    let mut records = Vec::new();
    while let (line, Some(text)) = next()? {
        records.push(parse(line, &text)?);
    }
    Ok(Trace { header, records })
}

fn read_line(input: &mut impl BufRead, line: usize) -> Result<Option<Vec<u8>>, TraceError> {
    let mut text = Vec::new();
    let limit = MAX_LINE_BYTES as u64;
    std::io::Read::take(&mut *input, limit).read_until(b'\n', &mut text)?;
    if text.len() >= MAX_LINE_BYTES {
        return Err(TraceError::Line { line, problem: format!("longer than {MAX_LINE_BYTES} bytes") });
    }
    Ok((!text.is_empty()).then_some(text))
}

fn parse<T: for<'a> Deserialize<'a>>(line: usize, text: &[u8]) -> Result<T, TraceError> {
    serde_json::from_slice(text).map_err(|error| TraceError::Line { line, problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Message, OutputOffset};

    fn trace() -> Trace {
        let header = Header {
            schema: SCHEMA,
            rules_name: "v12".to_owned(),
            rules: Rules::V12,
            seed: Some(7),
            version: "0.0.0".to_owned(),
            way: Way::Sim,
        };
        let records = vec![
            Record::input(1, NodeName::Secondary, 1, Input::Message(Message::VmstateSize(12_953))),
            Record::effect(2, NodeName::Primary, 1, Effect::Release(OutputOffset(4))),
            Record::other(3, None, 1, Kind::Fault, "cut").with_detail("both ends"),
        ];
        Trace { header, records }
    }

    #[test]
    fn a_trace_reads_as_it_is_written() {
        let mut bytes = Vec::new();
        write_trace(&trace(), &mut bytes).unwrap();
        assert_eq!(read_trace(bytes.as_slice()).unwrap(), trace());
    }

    #[test]
    fn a_trace_without_an_end_is_given_up() {
        let mut bytes = Vec::new();
        write_trace(&trace(), &mut bytes).unwrap();
        assert_eq!(read_at_most(bytes.len(), &bytes[..]).unwrap(), trace());
        let error = read_at_most(bytes.len() - 1, &bytes[..]).unwrap_err().to_string();
        assert_eq!(error, format!("trace, line 4: the trace is longer than {} bytes", bytes.len() - 1));
    }

    #[test]
    fn a_record_gives_its_input_back() {
        assert_eq!(trace().records[0].as_input(), Some(Input::Message(Message::VmstateSize(12_953))));
        assert_eq!(trace().records[1].as_input(), None);
    }

    #[test]
    fn a_bad_trace_says_which_line_is_wrong() {
        let mut good = Vec::new();
        write_trace(&trace(), &mut good).unwrap();
        let good = String::from_utf8(good).unwrap();
        for (text, problem) in [
            (String::new(), "trace, line 1: the header is missing".to_owned()),
            (good.replace("\"schema\":1", "\"schema\":9"), "trace, line 1: schema 9, expected 1".to_owned()),
            (good.replace("\"time_us\":2", "\"time_us\":-2"), "trace, line 3: invalid value".to_owned()),
            (format!("{good}{}", "x".repeat(MAX_LINE_BYTES)), "trace, line 5: longer than".to_owned()),
        ] {
            let error = read_trace(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&problem), "{error}");
        }
    }
}
