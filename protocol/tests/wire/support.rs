//! Decoding a whole stream into values that can be kept and compared.

use colo_protocol::Message;
use colo_protocol::wire::{Body, Config, DecodeError, Decoder, Encoder, Frame};

/// A frame that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) name: &'static str,
    pub(crate) message: Option<Message>,
    pub(crate) address: u64,
    pub(crate) block: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) last: bool,
}

impl Seen {
    pub(crate) fn new(frame: &Frame<'_>) -> Self {
        let Frame { offset, len, body } = *frame;
        let (message, address, block, bytes, last): (_, _, &[u8], &[u8], _) = match &body {
            Body::Message(message) => (Some(*message), 0, &[], &[], false),
            Body::Page { address, block, data } => (None, *address, block, *data, false),
            Body::ZeroPage { address, block, fill } => {
                (None, *address, block, std::slice::from_ref(fill), false)
            }
            Body::DeviceState { position, bytes, last } => (None, *position, &[], bytes, *last),
            _ => (None, 0, &[], &[], false),
        };
        let (block, bytes) = (block.to_vec(), bytes.to_vec());
        Self { offset, len, name: body.name(), message, address, block, bytes, last }
    }
}

/// All frames of a stream that comes in these pieces, and how it ended.
pub(crate) fn decode<'p>(
    config: Config,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<Seen>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(config);
    let mut seen = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(frame)) => seen.push(Seen::new(&frame)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.finish(), Err(error), "a failed decoder stays failed");
                    return (seen, Err(error));
                }
            }
        }
        assert!(piece.is_empty(), "all of a piece is used");
    }
    (seen, decoder.finish())
}

/// Encodes every frame of `stream` again, as an encoder that starts where the stream starts.
pub(crate) fn reencode(config: Config, stream: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(config);
    let mut encoder = Encoder::new(config.dialect, config.ram_section_id);
    let (mut out, mut rest) = (Vec::new(), stream);
    while let Some(frame) = decoder.next(&mut rest).unwrap() {
        encoder.body(&mut out, &frame.body).unwrap();
    }
    out
}
