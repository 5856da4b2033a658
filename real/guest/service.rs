//! The key-value service that every guest has: without answers nobody could say whether a failover has lost anything.
//!
//! **Exactly once.** A retried request gets the very reply of the first time, and changes nothing. **One order.** Every
//! applied operation gets the next serial number, and its reply carries it.

use super::abi::{self, Parameters, Reply, Request};
use super::bare::{load, out, read_slot, store, write_slot};
use super::writer::Writer;

/// What the service knows; zero at start.
#[repr(C)]
pub(crate) struct Service {
    /// Operations applied.
    serial: u64,
    /// The time that replies tell.
    time: u64,
    clients: [Client; abi::CLIENTS],
    keys: [u64; abi::KEYS],
}

/// A client's latest applied request, by the reply it got (sequence 0: none yet).
#[repr(C, align(64))]
struct Client {
    latest: Reply,
}

/// What a guest does for an operation that has been applied, before it answers.
pub(crate) trait Applied {
    /// An error is a status and a value to answer instead.
    fn applied(&mut self, parameters: &Parameters, request: &Request, reply: &Reply) -> Result<(), (u64, u64)>;
}

/// It dirties pages.
impl Applied for Writer {
    fn applied(&mut self, parameters: &Parameters, _: &Request, _: &Reply) -> Result<(), (u64, u64)> {
        self.write(parameters, parameters.dirty_pages_per_request);
        Ok(())
    }
}

impl Service {
    /// What the keys hold.
    #[allow(dead_code, reason = "not every guest looks at them")]
    pub(crate) const fn keys(&self) -> &[u64; abi::KEYS] {
        &self.keys
    }

    /// From now on replies tell this time.
    #[allow(dead_code, reason = "not every guest has a clock")]
    pub(crate) const fn tell_time(&mut self, time: u64) {
        self.time = time;
    }

    /// Answers requests in order until none is left or no reply fits; says which as a doorbell value.
    pub(crate) fn work_off_requests(&mut self, besides: &mut impl Applied, parameters: &Parameters) -> u32 {
        loop {
            let taken = load(abi::REQUESTS_TAKEN);
            if taken == load(abi::REQUESTS_PUT) {
                return abi::DOORBELL_IDLE;
            }
            let put = load(abi::REPLIES_PUT);
            if put.wrapping_sub(load(abi::REPLIES_TAKEN)) >= abi::RING_SLOTS {
                return abi::DOORBELL_REPLY_RING_FULL;
            }
            let request = Request::from_slot(read_slot(abi::slot_address(abi::REQUEST_RING, taken)));
            let reply = self.answer(&request);
            let Some((mut reply, new)) = reply else {
                store(abi::REQUESTS_TAKEN, taken.wrapping_add(1));
                continue;
            };
            if new && let Err((status, value)) = besides.applied(parameters, &request, &reply) {
                (reply.status, reply.value) = (status, value);
            }
            write_slot(abi::slot_address(abi::REPLY_RING, put), reply.to_slot());
            store(abi::REPLIES_PUT, put.wrapping_add(1));
            // Only now: whoever is stopped in the middle has something to do, for the host to see.
            store(abi::REQUESTS_TAKEN, taken.wrapping_add(1));
            if request.operation == abi::OP_SHUTDOWN && reply.status == abi::STATUS_OK {
                out(abi::PORT_SHUTDOWN, 0);
            }
        }
    }

    /// The reply to a request: the recorded one for a retry, none for an older request, else that of applying it. And
    /// whether it was applied.
    fn answer(&mut self, request: &Request) -> Option<(Reply, bool)> {
        let index = usize::try_from(request.client).unwrap_or(usize::MAX);
        let Some(latest) = self.clients.get(index).map(|client| client.latest) else {
            return Some((refusal(request, abi::STATUS_BAD_CLIENT), false));
        };
        if request.sequence == 0 || request.sequence < latest.sequence {
            return None;
        }
        if request.sequence == latest.sequence {
            return Some((latest, false));
        }
        let value = match self.apply(request) {
            Ok(value) => value,
            Err(status) => return Some((refusal(request, status), false)),
        };
        self.serial = self.serial.wrapping_add(1);
        let reply = Reply {
            client: request.client,
            sequence: request.sequence,
            serial: self.serial,
            status: abi::STATUS_OK,
            value,
            time: self.time,
        };
        if let Some(client) = self.clients.get_mut(index) {
            client.latest = reply;
        }
        Some((reply, true))
    }

    /// Applies an operation to the keys; an error is the status of the refusal, and nothing has changed.
    fn apply(&mut self, request: &Request) -> Result<u64, u64> {
        if request.operation == abi::OP_SHUTDOWN {
            return Ok(0);
        }
        let index = usize::try_from(request.key).map_err(|_| abi::STATUS_BAD_KEY)?;
        let key = self.keys.get_mut(index).ok_or(abi::STATUS_BAD_KEY)?;
        match request.operation {
            abi::OP_PUT => Ok(core::mem::replace(key, request.value)),
            abi::OP_GET => Ok(*key),
            abi::OP_ADD => {
                *key = key.wrapping_add(request.value);
                Ok(*key)
            }
            _ => Err(abi::STATUS_UNKNOWN_OPERATION),
        }
    }
}

/// The answer to a request that changes nothing: no serial number, and not recorded, so a retry gets it again.
fn refusal(request: &Request, status: u64) -> Reply {
    Reply { client: request.client, sequence: request.sequence, serial: 0, status, value: 0, time: 0 }
}
