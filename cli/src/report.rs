//! What all subcommands share: exit codes, failures, and writing to stdout without a panic.

use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;
use thiserror::Error;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// What was asked for holds.
    Holds = 0,
    /// A violation was found.
    Violated = 1,
    /// Wrong usage or unreadable input.
    Usage = 2,
    /// The environment lacks something.
    Environment = 3,
    /// A limit was reached before a verdict.
    Incomplete = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// What the user gave cannot be used.
    #[error("{0}")]
    Input(String),
    /// The machine lacks something.
    #[error("{0}")]
    Environment(String),
    /// Nothing can be claimed.
    #[error("{0}")]
    Incomplete(String),
    /// Our own output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Input(_) => Exit::Usage,
            Self::Environment(_) | Self::Output(_) => Exit::Environment,
            Self::Incomplete(_) => Exit::Incomplete,
        }
    }
}

impl From<colo_trace::RulesError> for Failure {
    fn from(error: colo_trace::RulesError) -> Self {
        Self::Input(error.to_string())
    }
}

/// A trace has its rules in it, and a name for them: where that is the name of others, the name is not to be believed.
/// How long a pair waits between checkpoints is a setting of the run.
pub(crate) fn mind_name(file: &std::path::Path, header: &colo_trace::Header) {
    let Some(named) = colo_protocol::rules_named(&header.rules_name) else { return };
    let named = colo_protocol::Rules { checkpoint_delay_ms: header.rules.checkpoint_delay_ms, ..named };
    if named != header.rules {
        let name = &header.rules_name;
        eprintln!("colo: {}: its rules are called {name}, and are not those of {name}", file.display());
    }
}

/// Writes text to stdout as it stands. A reader that has gone away has heard enough: the verdict stays what it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A file that cannot be written.
pub(crate) fn unwritable(file: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::Input(format!("cannot write {}: {error}", file.display()))
}

/// Writes one JSON document, or one line of several, to stdout.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(std::io::Error::from)?;
    print(&format!("{text}\n"))
}

/// Adds a paragraph under a heading to a text for a terminal of 100 columns.
pub(crate) fn paragraph(out: &mut String, heading: &str, text: &str) {
    let indent = " ".repeat(heading.chars().count());
    // Message names have hyphens: a line ends at a space only.
    let options = textwrap::Options::new(100)
        .initial_indent(heading)
        .subsequent_indent(&indent)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    out.push_str(&textwrap::fill(text, options));
    out.push('\n');
}

/// CPU seconds that this process has used.
pub(crate) fn cpu_seconds() -> f64 {
    colo_model::checker::processor_time().as_secs_f64()
}

/// 1234567 as "1,234,567".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// "1 crash", "2 crashes".
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A word of a command as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=+,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        for (word, as_typed) in [
            ("bug:ram-first", "bug:ram-first"),
            ("regressions/bug-ram-first.disk.1.toml", "regressions/bug-ram-first.disk.1.toml"),
            ("my rules.toml", "'my rules.toml'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), as_typed);
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
