//! Which bytes can follow which: reads one frame from the bytes at a place of the stream, and moves that place on.
//! It holds no bytes back (that is the decoder's) and knows nothing of what messages are due (the state machines').

use super::error::{DecodeErrorKind as Kind, Expected, Part};
use super::flags::{RamFlags, RecordKind};
use super::frame::{Body, Frame};
use super::reader::{Reader, Stop, invalid};
use super::{BlockName, DEFAULT_RAM_SECTION_ID, DEVICE_STATE_CHUNK_BYTES, PAGE_BYTES};
use super::{CMD_SWITCHOVER_START, VM_COMMAND, VM_EOF, VM_SECTION_END, VM_SECTION_FOOTER};
use crate::{Dialect, Message, MessageKind};

/// Which way a stream runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Messages and state.
    PrimaryToSecondary,
    /// Messages only. vmstate-send and vmstate-size are errors of the grammar here, since what would have to follow
    /// them cannot; any other message decodes, also one that only a primary sends.
    SecondaryToPrimary,
}

/// What a [`super::Decoder`] has to know about its stream beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The vocabulary: which numbers are messages. switchover-start exists in [`Dialect::Current`] only.
    pub dialect: Dialect,
    /// Which way the stream runs.
    pub direction: Direction,
    /// The id of the "ram" section, as the initial migration has set it.
    pub ram_section_id: u32,
    /// The longest device state accepted, in bytes. It limits time, not memory: the decoder allocates nothing for it.
    pub max_device_state_bytes: u64,
    /// The offset of the first byte fed, in bytes: where in a longer stream (the initial migration) decoding begins.
    pub first_offset: u64,
}

impl Config {
    /// QEMU's own choices for a stream in `direction`: section id 2, device state up to 1 GiB, from offset 0.
    pub const fn new(dialect: Dialect, direction: Direction) -> Self {
        Self {
            dialect,
            direction,
            ram_section_id: DEFAULT_RAM_SECTION_ID,
            max_device_state_bytes: 1 << 30,
            first_offset: 0,
        }
    }
}

/// What can come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// A message.
    Messages,
    /// A section of the RAM, or its end.
    Sections,
    /// A RAM record, or the end of records.
    Records,
    /// The footer of the RAM section.
    Footer,
    /// vmstate-size.
    Size,
    /// The rest of the device state.
    DeviceState { done: u64, total: u64 },
}

/// A place in a stream.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    config: Config,
    place: Place,
    /// The block of the last record; it lives on across checkpoints (QEMU's `last_recv_block`).
    block: Option<BlockName>,
    /// Where the next frame stands.
    offset: u64,
}

/// A frame that has been read and not yet accepted.
pub(super) enum Item<'a> {
    /// A frame that does not depend on what came before.
    Body(Body<'a>),
    /// A RAM record.
    Record { address: u64, name: Option<&'a [u8]>, content: Content<'a> },
}

/// What a page holds.
pub(super) enum Content<'a> {
    Page(&'a [u8; PAGE_BYTES]),
    Zero(u8),
}

impl Grammar {
    /// At the beginning of a stream, where a message is next.
    pub(super) fn new(config: Config) -> Self {
        Self { config, place: Place::Messages, block: None, offset: config.first_offset }
    }

    /// Sets the block that a record with CONTINUE belongs to.
    pub(super) fn set_block(&mut self, block: Option<BlockName>) {
        self.block = block;
    }

    /// Where the next frame stands.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next frame and its length. The answer depends on the frame's bytes only, never on how many follow:
    /// that is why any split of a stream decodes alike.
    pub(super) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<(Item<'a>, usize), Stop> {
        let mut reader = Reader::new(bytes);
        let item = match self.place {
            Place::Messages => self.message(&mut reader).map(Body::Message).map(Item::Body),
            Place::Sections => self.section(&mut reader).map(Item::Body),
            Place::Records => self.record(&mut reader),
            Place::Footer => self.footer(&mut reader).map(Item::Body),
            Place::Size => self.size(&mut reader).map(Body::Message).map(Item::Body),
            Place::DeviceState { done, total } => device_state(&mut reader, done, total).map(Item::Body),
        }?;
        Ok((item, reader.at()))
    }

    /// Moves on behind `item`, which `parse` has just read at this place.
    pub(super) fn accept<'a>(&'a mut self, item: Item<'a>, len: usize) -> Frame<'a> {
        let offset = self.offset;
        self.offset = offset.saturating_add(len as u64);
        let body = match item {
            Item::Body(body) => {
                self.place = self.after(&body);
                body
            }
            Item::Record { address, name, content } => {
                if let Some(name) = name {
                    self.block = Some(BlockName::from_wire(name));
                }
                // `parse` refuses a record without a name where there is no block yet, so nothing is made up here.
                let block = self.block.get_or_insert_default();
                match content {
                    Content::Page(data) => Body::Page { address, block, data },
                    Content::Zero(fill) => Body::ZeroPage { address, block, fill },
                }
            }
        };
        Frame { offset, len, body }
    }

    /// What stands next where the stream ended between two frames; `None` where it may end.
    pub(super) fn expected(&self) -> Option<Expected> {
        match self.place {
            Place::Messages | Place::DeviceState { .. } => None,
            Place::Sections => Some(Expected::SectionStart(self.config.dialect)),
            Place::Records => Some(Expected::RamRecord),
            Place::Footer => Some(Expected::SectionFooter),
            Place::Size => Some(Expected::VmstateSize),
        }
    }

    /// The device state's bytes before the next frame and in all, where the stream stands inside it.
    pub(super) fn device_state(&self) -> Option<(u64, u64)> {
        match self.place {
            Place::DeviceState { done, total } => Some((done, total)),
            _ => None,
        }
    }

    fn after(&self, body: &Body<'_>) -> Place {
        match (self.place, body) {
            (_, Body::Message(Message::VmstateSend)) => Place::Sections,
            (_, Body::Message(Message::VmstateSize(total))) => Place::DeviceState { done: 0, total: *total },
            (_, Body::RamSectionStart) => Place::Records,
            (_, Body::EndOfRecords) => Place::Footer,
            (_, Body::SectionFooter) => Place::Sections,
            (_, Body::EndOfRam) => Place::Size,
            (_, Body::DeviceState { last: true, .. }) => Place::Messages,
            (Place::DeviceState { done, total }, Body::DeviceState { bytes, .. }) => {
                Place::DeviceState { done: done.saturating_add(bytes.len() as u64), total }
            }
            (place, _) => place,
        }
    }

    /// `colo_receive_message`, at a place where any message can come.
    fn message(&self, reader: &mut Reader<'_>) -> Result<Message, Stop> {
        let dialect = self.config.dialect;
        let kind = read_kind(reader, dialect, Expected::Message(dialect))?;
        let unexpected = |expected| invalid(0, Kind::UnexpectedMessage { message: kind, expected });
        match (self.config.direction, kind) {
            (Direction::SecondaryToPrimary, MessageKind::VmstateSend | MessageKind::VmstateSize) => {
                unexpected(Expected::MessageOfSecondary)
            }
            (Direction::PrimaryToSecondary, MessageKind::VmstateSize) => {
                unexpected(Expected::MessageOutsideState)
            }
            (_, MessageKind::CheckpointReady) => Ok(Message::CheckpointReady),
            (_, MessageKind::CheckpointRequest) => Ok(Message::CheckpointRequest),
            (_, MessageKind::CheckpointReply) => Ok(Message::CheckpointReply),
            (_, MessageKind::VmstateSend) => Ok(Message::VmstateSend),
            (_, MessageKind::VmstateReceived) => Ok(Message::VmstateReceived),
            (_, MessageKind::VmstateLoaded) => Ok(Message::VmstateLoaded),
            (_, MessageKind::GuestShutdown) => Ok(Message::GuestShutdown),
        }
    }

    /// `colo_receive_message_value` for vmstate-size.
    fn size(&self, reader: &mut Reader<'_>) -> Result<Message, Stop> {
        let expected = Expected::VmstateSize;
        let kind = read_kind(reader, self.config.dialect, expected)?;
        if kind != MessageKind::VmstateSize {
            return invalid(0, Kind::UnexpectedMessage { message: kind, expected });
        }
        let bytes = reader.be64(Part::VmstateSize)?;
        let limit = self.config.max_device_state_bytes;
        if bytes > limit {
            return invalid(0, Kind::DeviceStateTooLong { bytes, limit });
        }
        Ok(Message::VmstateSize(bytes))
    }

    /// `qemu_loadvm_state_main`, of which a checkpoint has the RAM's section, one command and the end.
    fn section(&self, reader: &mut Reader<'_>) -> Result<Body<'static>, Stop> {
        let dialect = self.config.dialect;
        match (reader.u8(Part::SectionType)?, dialect) {
            (VM_SECTION_END, _) => self.section_id(reader).map(|()| Body::RamSectionStart),
            (VM_EOF, _) => Ok(Body::EndOfRam),
            (VM_COMMAND, Dialect::Current) => command(reader).map(|()| Body::SwitchoverStart),
            (byte, _) => invalid(0, Kind::SectionType { byte, expected: Expected::SectionStart(dialect) }),
        }
    }

    /// `check_section_footer`.
    fn footer(&self, reader: &mut Reader<'_>) -> Result<Body<'static>, Stop> {
        match reader.u8(Part::SectionType)? {
            VM_SECTION_FOOTER => self.section_id(reader).map(|()| Body::SectionFooter),
            byte => invalid(0, Kind::SectionType { byte, expected: Expected::SectionFooter }),
        }
    }

    fn section_id(&self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let at = reader.at();
        let got = reader.be32(Part::SectionId)?;
        let expected = self.config.ram_section_id;
        if got == expected { Ok(()) } else { invalid(at, Kind::SectionId { got, expected }) }
    }

    /// `ram_load_precopy`, one turn of its loop.
    fn record<'a>(&self, reader: &mut Reader<'a>) -> Result<Item<'a>, Stop> {
        let header = reader.be64(Part::RecordHeader)?;
        let address = header & !RamFlags::MASK;
        let flags = RamFlags::of_header(header);
        match flags.record() {
            Some(RecordKind::Page { continues }) => {
                let name = self.block_name(reader, address, continues)?;
                let content = Content::Page(reader.array(Part::Page)?);
                Ok(Item::Record { address, name, content })
            }
            Some(RecordKind::Zero { continues }) => {
                let name = self.block_name(reader, address, continues)?;
                let content = Content::Zero(reader.u8(Part::FillByte)?);
                Ok(Item::Record { address, name, content })
            }
            Some(RecordKind::EndOfRecords) if address == 0 => Ok(Item::Body(Body::EndOfRecords)),
            Some(RecordKind::EndOfRecords) => invalid(0, Kind::EosAddress { address }),
            None => invalid(0, Kind::RamFlags { flags }),
        }
    }

    /// `ram_block_from_stream`: the name that the record carries, if it carries one.
    fn block_name<'a>(
        &self,
        reader: &mut Reader<'a>,
        address: u64,
        continues: bool,
    ) -> Result<Option<&'a [u8]>, Stop> {
        if continues {
            return if self.block.is_some() { Ok(None) } else { invalid(0, Kind::NoBlock { address }) };
        }
        let len = reader.u8(Part::BlockName)?;
        reader.take(usize::from(len), Part::BlockName).map(Some)
    }
}

/// A message's number. `expected` is what an invalid one is told.
fn read_kind(reader: &mut Reader<'_>, dialect: Dialect, expected: Expected) -> Result<MessageKind, Stop> {
    let number = reader.be32(Part::Message)?;
    match MessageKind::from_number(number, dialect) {
        Some(kind) => Ok(kind),
        None => invalid(0, Kind::InvalidMessage { number, expected }),
    }
}

/// `loadvm_process_command`, for the one command that a checkpoint can have.
fn command(reader: &mut Reader<'_>) -> Result<(), Stop> {
    let number = reader.be16(Part::Command)?;
    if number != CMD_SWITCHOVER_START {
        return invalid(0, Kind::Command { number });
    }
    match reader.be16(Part::Command)? {
        0 => Ok(()),
        bytes => invalid(0, Kind::CommandData { bytes }),
    }
}

/// The next chunk of the device state. Where chunks end depends on the position in the device state only.
fn device_state<'a>(reader: &mut Reader<'a>, done: u64, total: u64) -> Result<Body<'a>, Stop> {
    let left = total.saturating_sub(done);
    let len =
        usize::try_from(left).map_or(DEVICE_STATE_CHUNK_BYTES, |left| left.min(DEVICE_STATE_CHUNK_BYTES));
    let bytes = reader.take(len, Part::DeviceState)?;
    Ok(Body::DeviceState { position: done, bytes, last: len as u64 == left })
}
