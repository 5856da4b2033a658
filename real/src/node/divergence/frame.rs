//! A frame that brings a guest another command than was sent: the last letter of what is to be written, or of where, is another.
//! Its checksum is that of what it says then, so nobody notices on the way.

use crate::net::Frame;
use std::ops::Range;

const ETHERNET_BYTES: usize = 14;
const IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;
/// Where in a TCP header its checksum is.
const CHECKSUM: usize = 16;

/// Commands of the Redis protocol that write.
const WRITES: [&[u8]; 4] = [b"\r\nSET\r\n", b"\r\nINCR\r\n", b"\r\nINCRBY\r\n", b"\r\nDEL\r\n"];

/// Where the TCP header of a frame begins, and its content, as far as the frame has one and its lengths are true.
fn segment(frame: &[u8]) -> Option<(usize, Range<usize>)> {
    let packet = frame.get(ETHERNET_BYTES..)?;
    let is_tcp = frame.get(12..ETHERNET_BYTES)? == IPV4 && *packet.get(9)? == TCP;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let tcp = ETHERNET_BYTES + header;
    let content = tcp + usize::from(frame.get(tcp + 12)? >> 4) * 4..ETHERNET_BYTES + total;
    (is_tcp && content.start <= content.end && content.end <= frame.len()).then_some((tcp, content))
}

/// The content of a frame that brings a command which writes, whole at its end.
pub(super) fn command(frame: &[u8]) -> Option<Range<usize>> {
    let (_, content) = segment(frame)?;
    let words = frame.get(content.clone())?.to_ascii_uppercase();
    let writes = WRITES.iter().any(|write| words.windows(write.len()).any(|window| window == *write));
    (words.starts_with(b"*") && words.ends_with(b"\r\n") && writes).then_some(content)
}

/// The same frame with another command; none if it brings none that writes.
pub(super) fn altered(frame: &[u8]) -> Option<Frame> {
    let (tcp, content) = (segment(frame)?.0, command(frame)?);
    let letter = content.end.checked_sub(3).filter(|letter| content.contains(letter))?;
    let mut bytes = frame.to_vec();
    // Of the words that the checksum adds, the letter is in the one that begins at an even place of the header.
    let word = letter - (letter - tcp) % 2;
    let before = read(&bytes, word)?;
    *bytes.get_mut(letter)? ^= 1;
    let after = read(&bytes, word)?;
    let checksum = read(&bytes, tcp + CHECKSUM)?;
    let place = bytes.get_mut(tcp + CHECKSUM..tcp + CHECKSUM + 2)?;
    place.copy_from_slice(&adjusted(checksum, before, after).to_be_bytes());
    Frame::new(&bytes).ok()
}

/// The word at a place; behind the end there is a zero, as the checksum has it.
fn read(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, bytes.get(at + 1).copied().unwrap_or_default()]))
}

/// The checksum when one word is another (RFC 1624, equation 3).
fn adjusted(checksum: u16, before: u16, after: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A frame with this content in it, and the right checksum.
    fn frame(content: &[u8]) -> Vec<u8> {
        let total = u16::try_from(40 + content.len()).unwrap();
        let mut frame = vec![0; 54];
        frame[12..14].copy_from_slice(&IPV4);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[23] = TCP;
        frame[26..34].copy_from_slice(&[10, 66, 0, 1, 10, 66, 0, 2]);
        frame[34..38].copy_from_slice(&[0x80, 1, 0x18, 0xeb]);
        frame[46] = 0x50;
        frame.extend_from_slice(content);
        let sum = checksum(&frame);
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// What the checksum is to be, added up from all that it covers: 0 of a frame that has the right one.
    fn checksum(frame: &[u8]) -> u16 {
        let covered = [
            &frame[26..34],
            &[0, TCP],
            &u16::try_from(frame.len() - 34).unwrap().to_be_bytes(),
            &frame[34..],
        ];
        let bytes = covered.concat();
        let words = bytes.chunks(2).map(|word| u32::from(read(word, 0).unwrap()));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn a_command_that_writes_becomes_another_of_the_same_length() {
        for (was, is) in [
            (
                &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n10\r\n"[..],
                &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n11\r\n"[..],
            ),
            (b"*2\r\n$4\r\nincr\r\n$3\r\nkey\r\n", b"*2\r\n$4\r\nincr\r\n$3\r\nkex\r\n"),
        ] {
            let altered = altered(&frame(was)).unwrap();
            assert_eq!(altered[54..], *is);
            assert_eq!(checksum(&altered), 0);
        }
    }

    #[test]
    fn what_is_no_such_command_is_left_alone() {
        let table: [&[u8]; 5] =
            [b"", b"*1\r\n$4\r\nPING\r\n", b"GET k\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk", b"SET"];
        for content in table {
            assert_eq!(altered(&frame(content)), None, "{content:?}");
        }
        let whole = frame(b"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n");
        (0..whole.len()).for_each(|bytes| assert_eq!(altered(&whole[..bytes]), None));
    }
}
