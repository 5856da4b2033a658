//! Streams of the grammar, with one field broken: byte fuzzing alone does not find a single wrong field, since nearly all
//! of what it makes is wrong earlier.
//!
//! The stream is written here from the grammar of the protocol book, not by the house's encoder. Of each field that is
//! broken it is known what has to come of it: the frames before it as they were, and this error at this offset.

use crate::stream::{FIRST_OFFSET, Seen, decode, pieces};
use arbitrary::{Arbitrary, Result, Unstructured};
use colo_protocol::wire::{Config, DecodeErrorKind, Direction, Part};
use colo_protocol::{Dialect, Message};

/// The longest device state that is accepted, bytes.
const LIMIT: u64 = 1 << 20;

/// One thing that a primary puts on the link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Message(Message),
    SectionStart,
    Page { address: u64, block: Vec<u8>, fill: u8 },
    Zero { address: u64, block: Vec<u8>, fill: u8 },
    EndOfRecords,
    Footer,
    EndOfRam,
    Switchover,
    DeviceState(Vec<u8>),
}

/// What a primary says, from its first message on.
#[derive(Clone, Debug)]
pub(crate) struct Dialogue {
    pub(crate) dialect: Dialect,
    pub(crate) items: Vec<Item>,
}

impl Arbitrary<'_> for Dialogue {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let dialect = *u.choose(&[Dialect::Current, Dialect::V12])?;
        let mut items = Vec::new();
        for _ in 0..u.int_in_range(1..=6)? {
            match u.int_in_range(0..=9_u8)? {
                0 => items.push(Item::Message(Message::CheckpointReady)),
                1 => items.push(Item::Message(Message::CheckpointReply)),
                2 => items.push(Item::Message(Message::VmstateReceived)),
                3 => items.push(Item::Message(Message::VmstateLoaded)),
                4 if dialect == Dialect::V12 => items.push(Item::Message(Message::GuestShutdown)),
                _ => checkpoint(u, dialect, &mut items)?,
            }
        }
        Ok(Self { dialect, items })
    }
}

fn checkpoint(u: &mut Unstructured<'_>, dialect: Dialect, items: &mut Vec<Item>) -> Result<()> {
    items.push(Item::Message(Message::CheckpointRequest));
    items.push(Item::Message(Message::VmstateSend));
    for _ in 0..u.int_in_range(0..=2)? {
        if dialect == Dialect::Current && u.ratio(1, 4)? {
            items.push(Item::Switchover);
        }
        items.push(Item::SectionStart);
        for _ in 0..u.int_in_range(0..=3)? {
            items.push(record(u)?);
        }
        items.extend([Item::EndOfRecords, Item::Footer]);
    }
    let bytes = match u.int_in_range(0..=5_u8)? {
        0 => 4096,
        1 => 4097 + u.int_in_range(0..=5000_usize)?,
        _ => u.int_in_range(0..=64)?,
    };
    let fill: u8 = u.arbitrary()?;
    let device_state = (0..bytes).map(|at| (at as u8).wrapping_mul(7).wrapping_add(fill)).collect();
    items.extend([
        Item::EndOfRam,
        Item::Message(Message::VmstateSize(bytes as u64)),
        Item::DeviceState(device_state),
    ]);
    Ok(())
}

fn record(u: &mut Unstructured<'_>) -> Result<Item> {
    let address = u.arbitrary::<u64>()? & !0xfff;
    let block = match u.int_in_range(0..=5_u8)? {
        0 => Vec::new(),
        1 => vec![0xff; 255],
        2 => {
            let bytes = u.int_in_range(0..=16)?;
            u.bytes(bytes)?.to_vec()
        }
        _ => b"pc.ram".to_vec(),
    };
    let fill = u.arbitrary()?;
    Ok(if u.ratio(1, 3)? { Item::Page { address, block, fill } } else { Item::Zero { address, block, fill } })
}

/// A page that begins with this byte, and in which no two neighbours are the same.
pub(crate) fn content(fill: u8) -> [u8; 4096] {
    std::array::from_fn(|at| fill.wrapping_add(at as u8).wrapping_add((at >> 8) as u8))
}

/// What a field says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Message,
    SizeMessage,
    Size,
    SectionType,
    SectionId,
    Command,
    CommandData,
    Record { named: bool },
    EndOfRecords,
    FooterType,
    FooterId,
}

/// A stream, its fields and its frames.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    /// What, where, how long, and where its frame begins.
    fields: Vec<(Field, usize, usize, usize)>,
    frames: Vec<(u64, usize, &'static str)>,
}

impl Written {
    fn field(&mut self, field: Field, frame: usize, bytes: &[u8]) {
        self.fields.push((field, self.bytes.len(), bytes.len(), frame));
        self.bytes.extend_from_slice(bytes);
    }

    fn frame(&mut self, begin: usize, name: &'static str) {
        self.frames.push((FIRST_OFFSET + begin as u64, self.bytes.len() - begin, name));
    }

    fn record(&mut self, address: u64, block: Option<&[u8]>, flag: u64) {
        let begin = self.bytes.len();
        let continues = if block.is_none() { 0x20 } else { 0 };
        let header = (address | flag | continues).to_be_bytes();
        self.field(Field::Record { named: block.is_some() }, begin, &header);
        if let Some(block) = block {
            self.bytes.push(u8::try_from(block.len()).expect("names are drawn no longer than they may be"));
            self.bytes.extend_from_slice(block);
        }
    }
}

impl Dialogue {
    /// The stream as section 1.4 of the protocol book has it.
    pub(crate) fn written(&self) -> Written {
        let (mut out, mut last) = (Written::default(), None);
        for item in &self.items {
            let begin = out.bytes.len();
            let name = match item {
                Item::Message(Message::VmstateSize(bytes)) => {
                    out.field(Field::SizeMessage, begin, &4_u32.to_be_bytes());
                    out.field(Field::Size, begin, &bytes.to_be_bytes());
                    "vmstate-size"
                }
                Item::Message(message) => {
                    let (number, name) = number_and_name(*message);
                    out.field(Field::Message, begin, &number.to_be_bytes());
                    name
                }
                Item::SectionStart => {
                    out.field(Field::SectionType, begin, &[0x03]);
                    out.field(Field::SectionId, begin, &[0, 0, 0, 2]);
                    "ram-section"
                }
                Item::Page { address, block, fill } => {
                    let named = (last.as_ref() != Some(block)).then_some(&block[..]);
                    out.record(*address, named, 0x08);
                    out.bytes.extend_from_slice(&content(*fill));
                    last = Some(block.clone());
                    "page"
                }
                Item::Zero { address, block, fill } => {
                    let named = (last.as_ref() != Some(block)).then_some(&block[..]);
                    out.record(*address, named, 0x02);
                    out.bytes.push(*fill);
                    last = Some(block.clone());
                    "zero-page"
                }
                Item::EndOfRecords => {
                    out.field(Field::EndOfRecords, begin, &0x10_u64.to_be_bytes());
                    "end-of-records"
                }
                Item::Footer => {
                    out.field(Field::FooterType, begin, &[0x7e]);
                    out.field(Field::FooterId, begin, &[0, 0, 0, 2]);
                    "section-footer"
                }
                Item::EndOfRam => {
                    out.field(Field::SectionType, begin, &[0x00]);
                    "end-of-ram"
                }
                Item::Switchover => {
                    out.field(Field::SectionType, begin, &[0x08]);
                    out.field(Field::Command, begin, &[0, 11]);
                    out.field(Field::CommandData, begin, &[0, 0]);
                    "switchover-start"
                }
                Item::DeviceState(bytes) => {
                    let mut chunks: Vec<&[u8]> = bytes.chunks(4096).collect();
                    if chunks.is_empty() {
                        chunks.push(&[]);
                    }
                    for chunk in chunks {
                        let begin = out.bytes.len();
                        out.bytes.extend_from_slice(chunk);
                        out.frame(begin, "device-state");
                    }
                    continue;
                }
            };
            out.frame(begin, name);
        }
        out
    }
}

fn number_and_name(message: Message) -> (u32, &'static str) {
    match message {
        Message::CheckpointReady => (0, "checkpoint-ready"),
        Message::CheckpointRequest => (1, "checkpoint-request"),
        Message::CheckpointReply => (2, "checkpoint-reply"),
        Message::VmstateSend => (3, "vmstate-send"),
        Message::VmstateSize(_) => (4, "vmstate-size"),
        Message::VmstateReceived => (5, "vmstate-received"),
        Message::VmstateLoaded => (6, "vmstate-loaded"),
        Message::GuestShutdown => (7, "guest-shutdown"),
    }
}

/// What has to come of a broken field.
enum Outcome {
    /// An error so many bytes into the stream, of this sort.
    Refused(usize, fn(&DecodeErrorKind) -> bool),
    /// The same frames, but for what the field says.
    Decodes,
    /// Whatever follows means something else now.
    Unknown,
}

/// A dialogue, then which field is broken and how: its new bytes, or a cut there.
pub fn structured_stream(input: &[u8]) {
    let mut u = Unstructured::new(input);
    // Drawn first, from the end of what there is: a small change of the dialogue leaves the defect what it was.
    let Ok((choice, value, piece)) = u.arbitrary::<(u16, u64, u8)>() else { return };
    let Ok(dialogue) = Dialogue::arbitrary(&mut u) else { return };
    let config = Config {
        max_device_state_bytes: LIMIT,
        first_offset: FIRST_OFFSET,
        ..Config::new(dialogue.dialect, Direction::PrimaryToSecondary)
    };
    let written = dialogue.written();
    let (seen, end) = decode(config, [&written.bytes[..]]);
    assert_eq!((&seen.frames, end), (&written.frames, Ok(())), "a stream of the grammar decodes");
    if value % 5 == 0 {
        return cut(config, &written, usize::from(choice) % (written.bytes.len() + 1));
    }
    let (field, at, bytes, frame) = written.fields[usize::from(choice) % written.fields.len()];
    let mut broken = written.bytes.clone();
    let new = broken_value(field, &written.bytes[at..at + bytes], value);
    broken[at..at + bytes].copy_from_slice(&new[8 - bytes..]);
    let outcome = outcome(dialogue.dialect, field, &written, (at, frame), u64::from_be_bytes(new));
    expect(config, &written, &broken, frame, usize::from(piece) + 1, &outcome);
}

/// The field's new value, big-endian in the last bytes. Of a record, the flags only.
fn broken_value(field: Field, old: &[u8], value: u64) -> [u8; 8] {
    let old = old.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    // What stands near a valid value is drawn as often as anything.
    let near = if value & 1 == 0 { value >> 8 } else { old.wrapping_add(value >> 8 & 0xf).wrapping_sub(7) };
    let new = match field {
        Field::Record { .. } => old & !0xfff | near & 0xfff,
        _ => near,
    };
    new.to_be_bytes()
}

fn outcome(
    dialect: Dialect,
    field: Field,
    written: &Written,
    (at, frame): (usize, usize),
    new: u64,
) -> Outcome {
    use DecodeErrorKind as Kind;
    let top = if dialect == Dialect::V12 { 7 } else { 6 };
    let old_is = |byte: u8| written.bytes[at] == byte;
    match field {
        Field::Message | Field::SizeMessage => {
            let new = new as u32;
            let old = written.bytes[at + 3];
            match (field, new) {
                (_, new) if new > top => {
                    Outcome::Refused(frame, |kind| matches!(kind, Kind::InvalidMessage { .. }))
                }
                (Field::SizeMessage, 4) => Outcome::Decodes,
                (Field::SizeMessage, _) | (_, 4) => {
                    Outcome::Refused(frame, |kind| matches!(kind, Kind::UnexpectedMessage { .. }))
                }
                (_, new) if new == u32::from(old) => Outcome::Decodes,
                (_, 3) => Outcome::Unknown,
                _ if old == 3 => Outcome::Unknown,
                _ => Outcome::Decodes,
            }
        }
        Field::Size if new > LIMIT => {
            Outcome::Refused(frame, |kind| matches!(kind, Kind::DeviceStateTooLong { limit: LIMIT, .. }))
        }
        Field::Size if new > (written.bytes.len() - at - 8) as u64 => {
            Outcome::Refused(written.bytes.len(), |kind| {
                matches!(kind, Kind::EndedInside { part: Part::DeviceState, .. })
            })
        }
        Field::Size => Outcome::Unknown,
        Field::SectionType => match new as u8 {
            new if old_is(new) => Outcome::Decodes,
            0x00 | 0x03 => Outcome::Unknown,
            0x08 if dialect == Dialect::Current => Outcome::Unknown,
            _ => Outcome::Refused(frame, |kind| matches!(kind, Kind::SectionType { .. })),
        },
        Field::SectionId | Field::FooterId if new as u32 == 2 => Outcome::Decodes,
        Field::SectionId | Field::FooterId => {
            Outcome::Refused(at, |kind| matches!(kind, Kind::SectionId { expected: 2, .. }))
        }
        Field::Command if new as u16 == 11 => Outcome::Decodes,
        Field::Command => Outcome::Refused(frame, |kind| matches!(kind, Kind::Command { .. })),
        Field::CommandData if new as u16 == 0 => Outcome::Decodes,
        Field::CommandData => Outcome::Refused(frame, |kind| matches!(kind, Kind::CommandData { .. })),
        Field::FooterType if new as u8 == 0x7e => Outcome::Decodes,
        Field::FooterType => Outcome::Refused(frame, |kind| matches!(kind, Kind::SectionType { .. })),
        Field::Record { named } => record_outcome(written, (at, frame), named, new),
        Field::EndOfRecords => match new & 0xfff {
            0x10 if new == 0x10 => Outcome::Decodes,
            0x10 => Outcome::Refused(frame, |kind| matches!(kind, Kind::EosAddress { .. })),
            0x02 | 0x08 | 0x22 | 0x28 => Outcome::Unknown,
            _ => Outcome::Refused(frame, |kind| matches!(kind, Kind::RamFlags { .. })),
        },
    }
}

fn record_outcome(written: &Written, (at, frame): (usize, usize), named: bool, new: u64) -> Outcome {
    use DecodeErrorKind as Kind;
    let old = u16::from_be_bytes([written.bytes[at + 6], written.bytes[at + 7]]) & 0xfff;
    let first =
        !written.fields.iter().any(|(field, other, ..)| matches!(field, Field::Record { .. }) && *other < at);
    match (new & 0xfff) as u16 {
        new if new == old => Outcome::Decodes,
        0x22 | 0x28 if named && first => Outcome::Refused(frame, |kind| matches!(kind, Kind::NoBlock { .. })),
        0x02 | 0x08 | 0x22 | 0x28 => Outcome::Unknown,
        0x10 if new & !0xfff != 0 => Outcome::Refused(frame, |kind| matches!(kind, Kind::EosAddress { .. })),
        0x10 => Outcome::Unknown,
        _ => Outcome::Refused(frame, |kind| matches!(kind, Kind::RamFlags { .. })),
    }
}

fn expect(config: Config, written: &Written, broken: &[u8], frame: usize, piece: usize, outcome: &Outcome) {
    let (seen, end) = decode(config, pieces(broken, &[piece]));
    let intact = |frames: &[(u64, usize, &str)]| {
        frames.iter().filter(|(offset, ..)| *offset < FIRST_OFFSET + frame as u64).count()
    };
    let before = intact(&written.frames);
    assert!(
        intact(&seen.frames) == before && seen.frames[..before] == written.frames[..before],
        "what is before"
    );
    match (outcome, end) {
        (Outcome::Unknown, _) => {}
        (Outcome::Decodes, end) => {
            let places =
                |seen: &[(u64, usize, &str)]| seen.iter().map(|(at, len, _)| (*at, *len)).collect::<Vec<_>>();
            assert_eq!((places(&seen.frames), end), (places(&written.frames), Ok(())));
        }
        (Outcome::Refused(at, is), Err(error)) => {
            assert_eq!(error.offset, FIRST_OFFSET + *at as u64, "{error}");
            assert!(is(&error.kind), "{error}");
        }
        (Outcome::Refused(at, _), Ok(())) => panic!("a broken field at {at} has not been seen"),
    }
}

/// The stream ends early: well between two messages, nowhere else.
fn cut(config: Config, written: &Written, at: usize) {
    let (Seen { frames, .. }, end) = decode(config, [&written.bytes[..at]]);
    let whole =
        written.frames.iter().filter(|(offset, len, _)| offset + *len as u64 <= FIRST_OFFSET + at as u64);
    let whole: Vec<_> = whole.copied().collect();
    // An empty device state is whole as soon as it has been announced.
    assert_eq!(frames, whole);
    let ends_well = match whole.last() {
        None => at == 0,
        Some((offset, len, name)) => {
            let at_end = offset + *len as u64 == FIRST_OFFSET + at as u64;
            let more = written.frames.get(whole.len()).is_some_and(|(_, _, next)| *next == "device-state");
            at_end
                && !more
                && !matches!(
                    *name,
                    "vmstate-send"
                        | "vmstate-size"
                        | "ram-section"
                        | "page"
                        | "zero-page"
                        | "end-of-records"
                        | "section-footer"
                        | "end-of-ram"
                        | "switchover-start"
                )
        }
    };
    assert_eq!(end.is_ok(), ends_well, "cut at {at}: {end:?}");
    if let Err(error) = end {
        assert_eq!(error.offset, FIRST_OFFSET + at as u64, "{error}");
    }
}
