//! The guest's end of the block ring: requests go in, the doorbell is rung, and then all of them are done.
//!
//! What the disk could not do is asked for again, a few times: a disk may fail for a moment. One that goes on failing ends the
//! machine: a journal that is not written is none.

use super::abi::{self, BlockRequest};
use super::bare::{check, load, out, read_slot, store, write_slot};

/// How often a request is made again that could not be done.
const TRIES: u32 = 8;

/// Has these requests done, at most as many as the ring has slots.
pub(crate) fn ask(requests: impl Iterator<Item = BlockRequest> + Clone) {
    for _ in 0..TRIES {
        if all_done(requests.clone()) {
            return;
        }
    }
    check(false, line!());
}

/// Makes the requests once; whether all of them could be done.
fn all_done(requests: impl Iterator<Item = BlockRequest>) -> bool {
    let first = load(abi::BLOCKS_PUT);
    let mut put = first;
    for request in requests {
        write_slot(abi::block_slot_address(put), request.to_slot());
        put = put.wrapping_add(1);
    }
    store(abi::BLOCKS_PUT, put);
    while load(abi::BLOCKS_DONE) != put {
        out(abi::PORT_BLOCKS, 0);
    }
    let mut done = true;
    let mut n = first;
    while n != put {
        done &= read_slot(abi::block_slot_address(n)).get(abi::BLOCK_STATUS) == Some(&abi::BLOCK_OK);
        n = n.wrapping_add(1);
    }
    store(abi::BLOCKS_SEEN, put);
    done
}
