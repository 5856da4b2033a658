//! Device state, and the form in which it travels: the counters, the withheld output with its start, and filler.
//!
//! ```text
//! serial | taken | output end | disk digest | output start | units (client, sequence, serial, value)* | filler
//! all u64, little-endian
//! ```

use colo_oracle::Reply;
use colo_protocol::{OutputBuffer, OutputOffset};

/// The part of the service's state that is not in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Devices {
    /// Operations applied.
    pub(crate) serial: u64,
    /// Requests taken, the ones that got lost in the machine included.
    pub(crate) taken: u64,
    /// Replies sent.
    pub(crate) output_end: OutputOffset,
    /// The digest of the disk, by all that this machine has written to it. The service knows nothing of it: it is there
    /// for the judge.
    pub(crate) disk_digest: u64,
}

/// The state as bytes; with it travels the output that the world may not have been given.
pub(crate) fn encode_devices(devices: &Devices, output: &OutputBuffer<Reply>, filler: usize) -> Vec<u8> {
    let units = output.units();
    let mut bytes = Vec::with_capacity(40 + units.len() * 32 + filler);
    let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    put(devices.serial);
    put(devices.taken);
    put(devices.output_end.0);
    put(devices.disk_digest);
    put(output.start().0);
    for Reply { client, sequence, serial, value } in units {
        [u64::from(*client), *sequence, *serial, *value].into_iter().for_each(&mut put);
    }
    bytes.resize(bytes.len() + filler, 0xdd);
    bytes
}

/// The state from bytes; none if they are not one.
pub(crate) fn decode_devices(bytes: &[u8]) -> Option<(Devices, OutputBuffer<Reply>)> {
    let mut words = bytes.chunks_exact(8).map_while(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
    let devices = Devices {
        serial: words.next()?,
        taken: words.next()?,
        output_end: OutputOffset(words.next()?),
        disk_digest: words.next()?,
    };
    let start = words.next()?;
    let mut output = OutputBuffer::starting_at(OutputOffset(start));
    for _ in start..devices.output_end.0 {
        let client = u32::try_from(words.next()?).ok()?;
        let (sequence, serial, value) = (words.next()?, words.next()?, words.next()?);
        output.push(Reply { client, sequence, serial, value });
    }
    (output.end() == devices.output_end).then_some((devices, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_as_they_are_written() {
        let devices = Devices { serial: 9, taken: 14, output_end: OutputOffset(12), disk_digest: 77 };
        let mut output = OutputBuffer::starting_at(OutputOffset(10));
        output.push(Reply { client: 1, sequence: 2, serial: 8, value: 3 });
        output.push(Reply { client: 2, sequence: 1, serial: 9, value: 4 });
        let bytes = encode_devices(&devices, &output, 100);
        assert_eq!(decode_devices(&bytes), Some((devices, output)));
        assert_eq!(decode_devices(&bytes[..56]), None);
    }
}
