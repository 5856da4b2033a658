//! The buffers of one chain in a queue: what the guest has put into them, or what it is given in them.
//!
//! A chain is the guest's word. How many buffers it has is bounded here: a queue's descriptors are few, but a table of its own
//! (indirect descriptors, which the card does not offer) could have 65,535, in each of the chains.

use super::corrupt;
use crate::abi::CARD_QUEUE_ENTRIES;
use crate::vm::memory::Mapping;
use crate::{Error, Result};
use virtio_queue::DescriptorChain;
use virtio_queue::desc::split::Descriptor;
use vm_memory::Bytes;

/// The most buffers of a chain.
const MOST: usize = CARD_QUEUE_ENTRIES as usize;

/// All buffers of a chain.
fn all(chain: DescriptorChain<&Mapping>) -> Result<Vec<Descriptor>> {
    let buffers: Vec<_> = chain.take(MOST + 1).collect();
    if buffers.len() > MOST {
        return Err(Error::Card(format!("a chain of more than {MOST} buffers")));
    }
    Ok(buffers)
}

/// Copies what the guest has put into a chain, as far as `to` has room; how much that is, bytes.
pub(super) fn read(chain: DescriptorChain<&Mapping>, memory: &Mapping, to: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    for buffer in all(chain)?.iter().filter(|buffer| !buffer.is_write_only()) {
        let room = &mut to[filled..];
        let length = bytes_of(buffer).min(room.len());
        memory.read_slice(&mut room[..length], buffer.addr()).map_err(corrupt)?;
        filled += length;
    }
    Ok(filled)
}

/// Copies `from` into what of a chain the guest lets be written to. A chain without room for all of it is an error.
pub(super) fn write(chain: DescriptorChain<&Mapping>, memory: &Mapping, from: &[u8]) -> Result<()> {
    let mut buffers = all(chain)?;
    buffers.retain(Descriptor::is_write_only);
    let room: usize = buffers.iter().map(bytes_of).sum();
    if room < from.len() {
        let wanted = from.len();
        return Err(Error::Card(format!(
            "a receive buffer of {room} bytes, for a frame and header of {wanted}"
        )));
    }
    let mut rest = from;
    for buffer in &buffers {
        let (now, behind) = rest.split_at(bytes_of(buffer).min(rest.len()));
        memory.write_slice(now, buffer.addr()).map_err(corrupt)?;
        rest = behind;
    }
    Ok(())
}

fn bytes_of(buffer: &Descriptor) -> usize {
    usize::try_from(buffer.len()).unwrap_or(usize::MAX)
}
