//! `colo conform`: is a recorded run a behaviour of the protocol? What is said of it is the search's; here files are
//! read, put together to records, and findings printed.

use crate::report::{Exit, Failure, counted, grouped, mind_name, paragraph, print, print_json};
use colo_protocol::wire::DEFAULT_RAM_SECTION_ID;
use colo_protocol::{Dialect, MessageKind, NodeName, Rules};
use colo_trace::{
    Capture, Finding, Index, Log, NamedRules, Place, Spot, Trace, Verdict, Word, conform, load_rules,
    read_trace,
};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The rules for what QEMU has sent, if nothing else is said.
const RULES_OF_A_CAPTURE: &str = "qemu";

/// The most that is looked at of a file's beginning, bytes.
const BEGINNING_BYTES: usize = 4;

/// Say whether recorded runs are behaviours of the protocol.
///
/// A file is a trace (JSON lines, as colo writes them) or what one side of a QEMU pair has sent, from its first COLO
/// message on. Two such captures one after the other, one of each side, are one record. An index of a capture is given
/// behind it, or stands beside it: NAME.p2s.idx beside NAME.p2s.bin, or beside NAME.p2s.colo.bin.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Traces, captures, and indices of captures.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The rules: by default those that a trace names, and "qemu" for captures.
    #[arg(long, value_name = "RULES")]
    rules: Option<String>,
    /// Look only at the messages of a trace, and at what befell the pair.
    #[arg(long)]
    messages: bool,
    /// The section id of "ram" in a capture.
    #[arg(long, default_value_t = DEFAULT_RAM_SECTION_ID, value_name = "ID")]
    ram_section_id: u32,
    /// Print JSON: a line for each record, in the order of the files.
    #[arg(long)]
    json: bool,
}

/// A record that can be judged.
struct Run {
    /// What it is called.
    name: String,
    rules: NamedRules,
    log: Log,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let rules = arguments.rules.as_deref().map(load_rules).transpose()?;
    // Whatever cannot be read is said before anything is judged.
    let records = records(&arguments.files)?;
    let runs = records.iter().map(|record| record.read(rules.as_ref(), arguments));
    let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
    let mut exit = Exit::Holds;
    for run in &runs {
        match conform(&run.log, &run.rules.rules) {
            Ok(finding) => {
                tell(run, &finding, arguments.json)?;
                if finding.verdict == Verdict::Deviates {
                    exit = Exit::Violated;
                }
            }
            // The records behind it are judged all the same.
            Err(error) => {
                eprintln!("colo: {}: {error}", run.name);
                if exit == Exit::Holds {
                    exit = Exit::Incomplete;
                }
            }
        }
    }
    Ok(exit)
}

fn tell(run: &Run, finding: &Finding, json: bool) -> Result<(), Failure> {
    if json { print_json(&finding.line()) } else { print(&told(run, finding)) }
}

/// Files that are one record.
enum Record<'a> {
    Trace(&'a Path),
    Captures(Vec<Side<'a>>),
}

/// A capture and its index.
struct Side<'a> {
    file: &'a Path,
    from: NodeName,
    index: Option<PathBuf>,
}

/// Which files belong together.
fn records(files: &[PathBuf]) -> Result<Vec<Record<'_>>, Failure> {
    let mut records: Vec<Record<'_>> = Vec::new();
    for file in files {
        if file.extension().is_some_and(|extension| extension == "idx") {
            index_of_last(&mut records, file)?;
        } else {
            let beginning = beginning(file)?;
            match (beginning.first(), records.last_mut()) {
                (Some(b'{'), _) => records.push(Record::Trace(file)),
                (_, last) => {
                    let side = Side { file, from: direction(file, &beginning)?, index: index_beside(file) };
                    match last {
                        Some(Record::Captures(sides)) if is_other_side(sides, side.from) => sides.push(side),
                        _ => records.push(Record::Captures(vec![side])),
                    }
                }
            }
        }
    }
    Ok(records)
}

/// Whether the record has one side so far, and this is the other.
fn is_other_side(sides: &[Side<'_>], from: NodeName) -> bool {
    matches!(sides, [side] if side.from != from)
}

fn index_of_last(records: &mut [Record<'_>], index: &Path) -> Result<(), Failure> {
    match records.last_mut() {
        Some(Record::Captures(sides)) => {
            sides.iter_mut().last().into_iter().for_each(|side| side.index = Some(index.to_owned()));
            Ok(())
        }
        _ => {
            Err(bad(index, "an index, expected behind the capture that it is of: NAME.p2s.bin NAME.p2s.idx"))
        }
    }
}

/// NAME.p2s.idx beside NAME.p2s.bin, or beside NAME.p2s.colo.bin.
fn index_beside(file: &Path) -> Option<PathBuf> {
    let stem = file.with_extension("");
    let stem = if stem.extension().is_some_and(|extension| extension == "colo") {
        stem.with_extension("")
    } else {
        stem
    };
    let index = PathBuf::from(format!("{}.idx", stem.display()));
    index.is_file().then_some(index)
}

fn beginning(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut reader = open(file)?;
    let start = reader.fill_buf().map_err(|error| bad(file, error))?;
    Ok(start.iter().copied().take(BEGINNING_BYTES).collect())
}

/// Whose stream it is: its name says so, or its first message.
fn direction(file: &Path, beginning: &[u8]) -> Result<NodeName, Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let first = beginning.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let first = first.and_then(|number| MessageKind::from_number(number, Dialect::Current));
    match first {
        _ if beginning.is_empty() => Err(bad(file, "it is empty: neither a trace nor a capture")),
        _ if name.contains(".p2s.") => Ok(NodeName::Primary),
        _ if name.contains(".s2p.") => Ok(NodeName::Secondary),
        Some(MessageKind::CheckpointRequest) => Ok(NodeName::Primary),
        Some(MessageKind::CheckpointReady) => Ok(NodeName::Secondary),
        _ => Err(bad(
            file,
            "neither a trace nor a capture, expected a JSON line, checkpoint-request (1) or checkpoint-ready (0)",
        )),
    }
}

fn open(file: &Path) -> Result<BufReader<File>, Failure> {
    File::open(file).map(BufReader::new).map_err(|error| bad(file, error))
}

fn bad(file: &Path, problem: impl std::fmt::Display) -> Failure {
    Failure::Input(format!("{}: {problem}", file.display()))
}

impl Record<'_> {
    fn read(&self, rules: Option<&NamedRules>, arguments: &Arguments) -> Result<Run, Failure> {
        match self {
            Self::Trace(file) => {
                let trace = read_trace(open(file)?).map_err(|error| bad(file, error))?;
                let Trace { header, .. } = &trace;
                mind_name(file, header);
                let own = NamedRules { name: header.rules_name.clone(), rules: header.rules };
                let rules = rules.map_or(own, |rules| with_delay(rules, header.rules.checkpoint_delay_ms));
                let trace = if arguments.messages { Log::messages_of(&trace) } else { trace };
                let log = Log::of_trace(&trace).map_err(|error| bad(file, error))?;
                Ok(Run { name: file.display().to_string(), rules, log })
            }
            Self::Captures(sides) => {
                let rules = rules.cloned().map_or_else(|| load_rules(RULES_OF_A_CAPTURE), Ok)?;
                let read = |side: &Side<'_>| side.read(rules.rules.dialect, arguments.ram_section_id);
                let captures = sides.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let names: Vec<_> = sides.iter().map(|side| side.file.display().to_string()).collect();
                Ok(Run { name: names.join(" and "), rules, log: Log::of_captures(&captures) })
            }
        }
    }
}

/// Other rules for a run that was made with this delay: how long a pair waits is a setting of the run.
fn with_delay(NamedRules { name, rules }: &NamedRules, checkpoint_delay_ms: u32) -> NamedRules {
    NamedRules { name: name.clone(), rules: Rules { checkpoint_delay_ms, ..*rules } }
}

impl Side<'_> {
    fn read(&self, dialect: Dialect, ram_section_id: u32) -> Result<Capture, Failure> {
        let index =
            self.index.as_ref().map(|file| Index::read(open(file)?).map_err(|error| bad(file, error)));
        let capture = Capture::read(self.from, dialect, ram_section_id, open(self.file)?, index.transpose()?);
        capture.map_err(|error| bad(self.file, error))
    }
}

/// A finding for a person.
fn told(run: &Run, finding: &Finding) -> String {
    let Run { name, rules, log } = run;
    let rules = &rules.name;
    let mut out = String::new();
    paragraph(&mut out, "record     ", name);
    let what = match NodeName::ALL.map(|node| log.shows_inside_of(node)) {
        [true, true] => "all that both nodes did",
        [true, false] => "all that the primary did",
        [false, true] => "all that the secondary did",
        [false, false] => "what was on the link",
    };
    let events = grouped(log.events() as u64);
    paragraph(
        &mut out,
        "shows      ",
        &format!("{what}: {}", counted(log.events() as u64, "event", "events")),
    );
    match finding.verdict {
        Verdict::Conforms => {
            paragraph(
                &mut out,
                "verdict    ",
                &format!("conforms to {rules}: all {events} events are explained"),
            );
            if let Some(place) = &finding.at {
                paragraph(
                    &mut out,
                    "breaks off ",
                    &format!("{}; next: {}", spoken(place), any_of(&finding.accepted)),
                );
            }
        }
        Verdict::Deviates => {
            let explained = grouped(finding.events as u64);
            let verdict =
                format!("deviates from {rules}: of {events} events the first {explained} are explained");
            paragraph(&mut out, "verdict    ", &verdict);
            let place = finding.at.as_ref().map(spoken).unwrap_or_default();
            paragraph(&mut out, "where      ", &place);
            let got = finding.got.as_ref().map(Word::sentence).unwrap_or_default();
            paragraph(&mut out, "got        ", &got);
            paragraph(&mut out, "accepted   ", &any_of(&finding.accepted));
        }
    }
    out
}

fn any_of(words: &[Word]) -> String {
    let sentences: Vec<_> = words.iter().map(Word::sentence).collect();
    if sentences.is_empty() { "nothing more".to_owned() } else { sentences.join("; or ") }
}

fn spoken(place: &Place) -> String {
    let spot = match place.spot {
        // The header is line 1.
        Spot::Index(index) => format!("at line {}", grouped(index as u64 + 2)),
        Spot::Offset(from, offset) => format!("at byte {} of the {from}'s stream", grouped(offset)),
    };
    match place.time_us {
        Some(time_us) => format!("{spot}, at {}.{:06} s", time_us / 1_000_000, time_us % 1_000_000),
        None => spot,
    }
}
