//! What is said over the control socket of a side: commands and answers in the shape of QEMU's machine protocol (QMP), and
//! under QEMU's names, so that whoever manages a QEMU pair can manage this one, and `colo ctl` a QEMU.

use super::lines::read_line_of;
use serde_json::{Value, json};
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long a side, or a QEMU, may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The longest line of an answer that is read, bytes; QEMU's greeting and answers are far shorter.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What can be asked of a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `query-colo-status`.
    Status,
    /// `x-colo-lost-heartbeat`: the peer is taken for dead, go on alone.
    Failover,
    /// `xen-colo-do-checkpoint`: a checkpoint is wanted now. (At a QEMU it would be one of the disks alone: it is not asked.)
    Checkpoint,
    /// `migrate-set-parameters` with `x-checkpoint-delay`, milliseconds.
    SetDelay(u32),
    /// `system_powerdown`: the guest is to power off.
    Shutdown,
    /// `quit`: this side ends, as if it were killed.
    Quit,
}

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    /// None: `qmp_capabilities`, of which there are none.
    pub(super) command: Option<Command>,
    /// What the asker calls it by.
    id: Option<Value>,
}

impl Command {
    /// The name that QEMU has for it.
    pub const fn qemu_name(self) -> &'static str {
        match self {
            Self::Status => "query-colo-status",
            Self::Failover => "x-colo-lost-heartbeat",
            Self::Checkpoint => "xen-colo-do-checkpoint",
            Self::SetDelay(_) => "migrate-set-parameters",
            Self::Shutdown => "system_powerdown",
            Self::Quit => "quit",
        }
    }

    /// The line that asks for it.
    fn line(self) -> Value {
        match self {
            Self::SetDelay(delay_ms) => {
                json!({ "execute": self.qemu_name(), "arguments": { DELAY: delay_ms } })
            }
            _ => json!({ "execute": self.qemu_name() }),
        }
    }
}

/// The name that QEMU has for the time between checkpoints, milliseconds.
const DELAY: &str = "x-checkpoint-delay";

/// Commands without arguments.
const PLAIN: [Command; 5] =
    [Command::Status, Command::Failover, Command::Checkpoint, Command::Shutdown, Command::Quit];

impl Asked {
    /// What this line asks for; an error is the answer to it.
    pub(super) fn parse(line: &str) -> Result<Self, Value> {
        let parsed: Value = serde_json::from_str(line)
            .map_err(|error| refused(None, &format!("not a JSON object: {error}")))?;
        let id = parsed.get("id").cloned();
        let problem = |problem: &str| refused(id.as_ref(), problem);
        let name = parsed
            .get("execute")
            .and_then(Value::as_str)
            .ok_or_else(|| problem("expected an object with the command's name as \"execute\""))?;
        let command = match name {
            "qmp_capabilities" => None,
            "migrate-set-parameters" => Some(delay(&parsed).map_err(|text| problem(&text))?),
            _ => {
                let found = PLAIN.into_iter().find(|command| command.qemu_name() == name);
                let names = PLAIN.map(Command::qemu_name).join(", ");
                Some(found.ok_or_else(|| {
                    let problem = format!(
                        "{name}: unknown here, expected {names}, migrate-set-parameters or qmp_capabilities"
                    );
                    refused_as("CommandNotFound", id.as_ref(), &problem)
                })?)
            }
        };
        Ok(Self { command, id })
    }

    /// The answer to it.
    pub(super) fn answer(&self, result: Result<Value, &str>) -> Value {
        match result {
            Ok(value) => with_id(json!({ "return": value }), self.id.as_ref()),
            Err(problem) => refused(self.id.as_ref(), problem),
        }
    }
}

fn delay(parsed: &Value) -> Result<Command, String> {
    let expected = format!("expected {{\"{DELAY}\": milliseconds}} as \"arguments\", and nothing else");
    let arguments = parsed.get("arguments").and_then(Value::as_object).ok_or_else(|| expected.clone())?;
    let delay = arguments.get(DELAY).filter(|_| arguments.len() == 1).and_then(Value::as_u64);
    delay.and_then(|delay| u32::try_from(delay).ok()).map(Command::SetDelay).ok_or(expected)
}

fn with_id(mut answer: Value, id: Option<&Value>) -> Value {
    if let Some(id) = id {
        answer["id"] = id.clone();
    }
    answer
}

fn refused(id: Option<&Value>, problem: &str) -> Value {
    refused_as("GenericError", id, problem)
}

fn refused_as(class: &str, id: Option<&Value>, problem: &str) -> Value {
    with_id(json!({ "error": { "class": class, "desc": problem } }), id)
}

/// How the package begins that a side says it is.
const PACKAGE: &str = "colo ";

/// What keeps from asking a QEMU for a checkpoint.
const OF_A_QEMU: &str = "at a QEMU it is a checkpoint of the disks alone, which without the memory that belongs to them is none; \
                         nothing was sent";

/// The first line that whoever connects is told.
pub(super) fn greeting() -> Value {
    json!({ "QMP": { "version": { "package": concat!("colo ", env!("CARGO_PKG_VERSION")) }, "capabilities": [] } })
}

/// An event, as QMP tells it; the time is since 1970.
pub(super) fn event(name: &str, data: &Value, time: Duration) -> Value {
    let timestamp = json!({ "seconds": time.as_secs(), "microseconds": time.subsec_micros() });
    json!({ "event": name, "data": data, "timestamp": timestamp })
}

/// Why a command was not carried out, or is not known to have been.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// Nobody is there.
    #[error("{}: {error}, expected the control socket of a side that runs", .path.display())]
    Unreachable {
        /// Where was tried.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// It says nothing, or something else.
    #[error("{}: {problem}", .path.display())]
    Garbled {
        /// Where.
        path: PathBuf,
        /// What came, and what was expected.
        problem: String,
    },
    /// It was asked, and refused.
    #[error("{command} was refused: {problem}")]
    Refused {
        /// What was asked.
        command: &'static str,
        /// Why, in its words.
        problem: String,
    },
}

/// Has a side, or a QEMU, at this control socket carry a command out. What it returns.
pub fn execute(path: &Path, command: Command) -> Result<Value, MonitorError> {
    let unreachable = |error| MonitorError::Unreachable { path: path.to_owned(), error };
    let mut stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN)).map_err(unreachable)?;
    stream.set_write_timeout(Some(ANSWERS_WITHIN)).map_err(unreachable)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(unreachable)?);
    let garbled = |problem: String| MonitorError::Garbled { path: path.to_owned(), problem };
    let mut next = |expected: &str| -> Result<Value, MonitorError> {
        let line = read_line_of(&mut reader, MAX_ANSWER_BYTES)
            .map_err(|error| garbled(format!("{}, expected {expected}", in_words(&error))))?;
        let line = line.ok_or_else(|| garbled(format!("it has ended, expected {expected}")))?;
        serde_json::from_str(&line).map_err(|error| garbled(format!("{error}, expected {expected}")))
    };
    let greeting = next("a greeting")?;
    let package = greeting.get("QMP").map(|said| said.pointer("/version/package").and_then(Value::as_str));
    let Some(package) = package else { return Err(garbled("no greeting of QMP's came first".to_owned())) };
    let is_colo = package.is_some_and(|package| package.starts_with(PACKAGE));
    if command == Command::Checkpoint && !is_colo {
        return Err(MonitorError::Refused { command: command.qemu_name(), problem: OF_A_QEMU.to_owned() });
    }
    let mut returned = Value::Null;
    for (line, name) in [
        (json!({ "execute": "qmp_capabilities" }), "qmp_capabilities"),
        (command.line(), command.qemu_name()),
    ] {
        writeln!(stream, "{line}").map_err(|error| garbled(in_words(&error)))?;
        returned = loop {
            let answer = next("an answer")?;
            if let Some(value) = answer.get("return") {
                break value.clone();
            }
            if let Some(error) = answer.get("error") {
                let problem = error.get("desc").and_then(Value::as_str).unwrap_or("it says nothing of why");
                return Err(MonitorError::Refused { command: name, problem: problem.to_owned() });
            }
            // An event: it was nobody's question.
        };
    }
    Ok(returned)
}

fn in_words(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return format!("nothing came within {} s", ANSWERS_WITHIN.as_secs());
    }
    error.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    #[test]
    fn every_command_is_understood_as_it_is_said() {
        for command in PLAIN.into_iter().chain([Command::SetDelay(20)]) {
            let asked = Asked::parse(&command.line().to_string()).unwrap();
            assert_eq!(asked.command, Some(command));
        }
        let asked = Asked::parse(r#"{"execute":"qmp_capabilities","id":7}"#).unwrap();
        assert_eq!(asked.command, None);
        assert_eq!(asked.answer(Ok(json!({}))).to_string(), r#"{"id":7,"return":{}}"#);
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_was_expected() {
        for (line, told) in [
            ("{", "not a JSON object"),
            ("[]", "as \\\"execute\\\""),
            (r#"{"execute":"eject"}"#, "expected query-colo-status"),
            (r#"{"execute":"migrate-set-parameters"}"#, "x-checkpoint-delay"),
            (r#"{"execute":"migrate-set-parameters","arguments":{"x-checkpoint-delay":-1}}"#, "milliseconds"),
            (
                r#"{"execute":"migrate-set-parameters","arguments":{"x-checkpoint-delay":1,"cpu-throttle":1}}"#,
                "nothing else",
            ),
        ] {
            let answer = Asked::parse(line).unwrap_err().to_string();
            assert!(answer.contains(told) && answer.contains("error"), "{line}: {answer}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange_to_be_answered(line in ".*|\\{\"execute\": ?\"[a-z_-]*\"(, ?\"(id|arguments)\": ?[0-9{}\\[\\]\"a-z:]*)?\\}") {
            match Asked::parse(&line) {
                Ok(asked) => {
                    let answer = asked.answer(Ok(json!({})));
                    prop_assert!(answer.get("return").is_some());
                },
                Err(answer) => prop_assert!(answer.get("error").is_some()),
            }
        }
    }
}
