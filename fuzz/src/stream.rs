//! Whatever bytes come in whatever pieces: the decoder does not panic, yields the same frames and the same end for
//! any pieces, accounts for every byte, and the encoder gives back what was decoded.

use colo_protocol::Dialect;
use colo_protocol::wire::{Body, Config, DecodeError, Decoder, Direction, Encoder, Frame, MAX_FRAME_BYTES};

/// Where every stream starts, so that no offset passes for a length.
pub(crate) const FIRST_OFFSET: u64 = 1_000_000_000_000;

/// What is compared of a stream: each frame's place and name, and what all of them encode to again.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) frames: Vec<(u64, usize, &'static str)>,
    pub(crate) encoded: Vec<u8>,
}

/// Today's dialect. Byte 0 chooses (2: secondary to primary; 4: device state limited to 64 KiB), byte 1 the lengths of the
/// pieces, and the rest is the stream.
pub fn stream_decoder(input: &[u8]) {
    of_one_dialect(Dialect::Current, input);
}

/// The same for the dialect of series v12.
pub fn stream_decoder_v12(input: &[u8]) {
    of_one_dialect(Dialect::V12, input);
}

fn of_one_dialect(dialect: Dialect, input: &[u8]) {
    let [choices, piece, stream @ ..] = input else { return };
    let config = config(dialect, *choices);
    let (seen, end) = decode(config, [stream]);
    assert!(stream.starts_with(&seen.encoded), "encoding the frames gives the stream again");
    let lengths = [usize::from(*piece) + 1, 1, usize::from(*piece) * 37 + 1];
    assert_eq!(decode(config, pieces(stream, &lengths)), (seen, end), "pieces of {lengths:?}");
}

/// Any split: byte 0 chooses as above (1: dialect v12), byte 1 says how many cuts follow, two bytes each; the rest is the
/// stream.
pub fn chunks(input: &[u8]) {
    let [choices, cuts, rest @ ..] = input else { return };
    let dialect = if choices & 1 == 0 { Dialect::Current } else { Dialect::V12 };
    let Some((cuts, stream)) = rest.split_at_checked(usize::from(*cuts) * 2) else { return };
    let (cuts, _) = cuts.as_chunks::<2>();
    let mut cuts: Vec<usize> =
        cuts.iter().map(|cut| usize::from(u16::from_be_bytes(*cut)) % (stream.len() + 1)).collect();
    cuts.sort_unstable();
    let (mut begin, mut cut) = (0, Vec::new());
    for end in cuts.into_iter().chain([stream.len()]) {
        cut.push(&stream[begin..end]);
        begin = end;
    }
    let config = config(dialect, *choices);
    assert_eq!(decode(config, cut), decode(config, [stream]), "in pieces and whole");
}

fn config(dialect: Dialect, choices: u8) -> Config {
    let direction =
        if choices & 2 == 0 { Direction::PrimaryToSecondary } else { Direction::SecondaryToPrimary };
    let max_device_state_bytes = if choices & 4 == 0 { u64::MAX } else { 1 << 16 };
    Config { max_device_state_bytes, first_offset: FIRST_OFFSET, ..Config::new(dialect, direction) }
}

/// `stream` in pieces of these lengths, over and over.
pub(crate) fn pieces<'s>(stream: &'s [u8], lengths: &[usize]) -> Vec<&'s [u8]> {
    let (mut rest, mut pieces) = (stream, Vec::new());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces
}

/// All frames of a stream that comes in these pieces, and how it ended.
pub(crate) fn decode<'s>(
    config: Config,
    pieces: impl IntoIterator<Item = &'s [u8]>,
) -> (Seen, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(config);
    let mut encoder = Encoder::new(config.dialect, config.ram_section_id);
    let (mut seen, mut offset, mut fed) = (Seen::default(), config.first_offset, config.first_offset);
    for mut piece in pieces {
        fed += piece.len() as u64;
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.offset, offset, "no gap, no overlap");
                    assert!(frame.len <= MAX_FRAME_BYTES);
                    offset += frame.len as u64;
                    encode(&mut encoder, &frame, &mut seen.encoded);
                    seen.frames.push((frame.offset, frame.len, frame.body.name()));
                }
                Ok(None) => break,
                Err(error) => {
                    assert!((offset..=fed).contains(&error.offset), "the error is about what came");
                    assert_eq!(decoder.finish(), Err(error));
                    assert_eq!(decoder.next(&mut &[0; 64][..]), Err(error), "an error is final");
                    return (seen, Err(error));
                }
            }
        }
        assert!(piece.is_empty());
        assert!(fed - offset < MAX_FRAME_BYTES as u64, "never more than one frame is held back");
    }
    assert_eq!(decoder.offset(), offset, "half a frame does not count");
    let end = decoder.finish();
    assert!(end.is_err() || offset == fed, "only whole frames end well");
    (seen, end)
}

/// Encodes the frame again.
fn encode(encoder: &mut Encoder, frame: &Frame<'_>, out: &mut Vec<u8>) {
    let named = match &frame.body {
        Body::Page { .. } => frame.len > 8 + 4096,
        Body::ZeroPage { .. } => frame.len > 8 + 1,
        _ => false,
    };
    if named {
        // QEMU names a block only where it changes; the grammar lets a record name it again.
        encoder.set_last_block(None);
    }
    let before = out.len();
    encoder.body(out, &frame.body).expect("what was decoded can be encoded");
    assert_eq!(out.len() - before, frame.len);
}
