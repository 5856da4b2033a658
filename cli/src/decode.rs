//! `colo decode`: a captured migration stream with offsets: each message, and the RAM and device state between them.

use crate::report::{Exit, Failure, counted, grouped};
use colo_protocol::wire::{
    BlockName, Body, Config, DEFAULT_RAM_SECTION_ID, DecodeError, DecodeErrorKind, Decoder, Direction, Frame,
};
use colo_protocol::{Dialect, MessageKind};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Read, StdoutLock, Write};
use std::path::PathBuf;

/// What an initial migration begins with: "QEVM".
const MIGRATION_HEADER: u32 = 0x5145_564d;

/// How much of the file is read at once, bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// Decode a captured migration stream, message by message. The file has to begin at a COLO message.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file with the bytes of one direction.
    file: PathBuf,
    /// Which way the bytes went; by default guessed from the first message.
    #[arg(long, value_enum)]
    direction: Option<Way>,
    /// The dialect: in v12, message 7 is guest-shutdown.
    #[arg(long, value_enum, default_value_t = DialectName::Current)]
    dialect: DialectName,
    /// The section id of "ram" in this stream.
    #[arg(long, default_value_t = DEFAULT_RAM_SECTION_ID, value_name = "ID")]
    ram_section_id: u32,
    /// The offset of the file's first byte in the whole stream.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 62))]
    base_offset: u64,
    /// The RAM block of the record before the file's first byte, for a capture whose first page says CONTINUE.
    #[arg(long, value_name = "NAME", value_parser = |name: &str| BlockName::try_from(name))]
    block: Option<BlockName>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Way {
    /// Primary to secondary: messages, RAM, device state.
    P2s,
    /// Secondary to primary: messages only.
    S2p,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DialectName {
    /// Series v12 of 2015.
    V12,
    /// QEMU 3.1 and later.
    Current,
}

/// One line of the output.
struct Line {
    offset: u64,
    bytes: u64,
    item: Item,
}

enum Item {
    Message(MessageKind, Option<u64>),
    Ram { pages: u64, zero_pages: u64 },
    DeviceState,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let path = arguments.file.display();
    let unreadable = |error: std::io::Error| Failure::Input(format!("{path}: {error}"));
    let mut file = File::open(&arguments.file).map_err(unreadable)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut filled = file.read(&mut buffer).map_err(unreadable)?;
    if filled == 0 {
        return Err(Failure::Input(format!("{path}: there is nothing in it, expected a COLO message")));
    }
    let way = arguments.direction.unwrap_or_else(|| guess(&buffer[..filled]));
    let mut decoder = Decoder::new(arguments.config(way));
    decoder.set_last_block(arguments.block.clone());
    let mut printer = Printer::new(way, arguments.json);
    let bad = |error: DecodeError| Failure::Input(format!("{path}: {error}{}", hint(&error)));
    while filled > 0 {
        let mut input = &buffer[..filled];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => printer.frame(&frame)?,
                Ok(None) => break,
                Err(error) => return printer.flush().and(Err(bad(error))),
            }
        }
        filled = file.read(&mut buffer).map_err(unreadable)?;
    }
    printer.flush()?;
    decoder.finish().map_err(bad)?;
    Ok(Exit::Holds)
}

impl Arguments {
    fn config(&self, way: Way) -> Config {
        let dialect = match self.dialect {
            DialectName::V12 => Dialect::V12,
            DialectName::Current => Dialect::Current,
        };
        let direction = match way {
            Way::P2s => Direction::PrimaryToSecondary,
            Way::S2p => Direction::SecondaryToPrimary,
        };
        let mut config = Config::new(dialect, direction);
        config.ram_section_id = self.ram_section_id;
        config.first_offset = self.base_offset;
        config
    }
}

/// What the user can do about an error, where there is something.
const fn hint(error: &DecodeError) -> &'static str {
    match error.kind {
        DecodeErrorKind::InvalidMessage { number: MIGRATION_HEADER, .. } => {
            ": this is the initial migration, and the file has to begin behind it, at a COLO message"
        }
        DecodeErrorKind::NoBlock { .. } => {
            " (--block NAME says which block came before the file: pc.ram, say)"
        }
        _ => "",
    }
}

/// A secondary begins with checkpoint-ready, and never says what a primary says.
fn guess(start: &[u8]) -> Way {
    let first = start.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    match first.and_then(|number| MessageKind::from_number(number, Dialect::Current)) {
        Some(
            MessageKind::CheckpointReady
            | MessageKind::CheckpointReply
            | MessageKind::VmstateReceived
            | MessageKind::VmstateLoaded,
        ) => Way::S2p,
        _ => Way::P2s,
    }
}

/// Puts the frames of a checkpoint's RAM, and those of its device state, together into a line each.
struct Printer {
    way: Way,
    json: bool,
    open: Option<Line>,
    out: BufWriter<StdoutLock<'static>>,
}

impl Printer {
    fn new(way: Way, json: bool) -> Self {
        Self { way, json, open: None, out: BufWriter::new(std::io::stdout().lock()) }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let bytes = frame.len as u64;
        let item = match frame.body {
            Body::Message(message) => {
                self.close()?;
                let item = Item::Message(message.kind(), message.value());
                return self.print(&Line { offset: frame.offset, bytes, item });
            }
            Body::DeviceState { .. } => Item::DeviceState,
            Body::Page { .. } => Item::Ram { pages: 1, zero_pages: 0 },
            Body::ZeroPage { .. } => Item::Ram { pages: 0, zero_pages: 1 },
            _ => Item::Ram { pages: 0, zero_pages: 0 },
        };
        match &mut self.open {
            Some(line) => line.add(&item, bytes),
            None => self.open = Some(Line { offset: frame.offset, bytes, item }),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.open.take().map_or(Ok(()), |line| self.print(&line))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.close()?;
        Ok(self.out.flush()?)
    }

    fn print(&mut self, line: &Line) -> Result<(), Failure> {
        let text = if self.json { line.json(self.way).to_string() } else { line.text() };
        Ok(writeln!(self.out, "{text}")?)
    }
}

impl Line {
    fn add(&mut self, more: &Item, bytes: u64) {
        self.bytes += bytes;
        if let (
            Item::Ram { pages, zero_pages },
            Item::Ram { pages: more_pages, zero_pages: more_zero_pages },
        ) = (&mut self.item, more)
        {
            *pages += more_pages;
            *zero_pages += more_zero_pages;
        }
    }

    fn text(&self) -> String {
        let (name, note) = match self.item {
            Item::Message(kind, value) => (kind.name(), value.map(grouped).unwrap_or_default()),
            Item::Ram { pages, zero_pages } => {
                let pages = counted(pages, "page", "pages");
                let zero_pages = counted(zero_pages, "zero page", "zero pages");
                ("ram", format!("{pages}, {zero_pages}, {} bytes", grouped(self.bytes)))
            }
            Item::DeviceState => ("device-state", format!("{} bytes", grouped(self.bytes))),
        };
        format!("{:>12}  {name:<20} {note}", self.offset).trim_end().to_owned()
    }

    fn json(&self, way: Way) -> Value {
        let direction = match way {
            Way::P2s => "p2s",
            Way::S2p => "s2p",
        };
        let mut line = json!({ "direction": direction, "offset": self.offset, "bytes": self.bytes });
        match self.item {
            Item::Message(kind, value) => {
                line["message"] = kind.name().into();
                line["value"] = value.into();
            }
            Item::Ram { pages, zero_pages } => {
                line["section"] = "ram".into();
                line["pages"] = pages.into();
                line["zero_pages"] = zero_pages.into();
            }
            Item::DeviceState => line["section"] = "device-state".into(),
        }
        line
    }
}
