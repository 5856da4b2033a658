//! The service that runs in the guest: the oracle's store, laid out in guest pages and on a disk.
//!
//! Page 0 holds each client's last reply, page 1 is scratch, the rest holds values; every fourth key has its value on
//! the disk instead, behind the sector that says how far the service has come. How many operations were applied and
//! how many replies were sent is in the devices: memory, devices and disk of different checkpoints contradict each
//! other in front of the clients.

use super::Guest;
use super::disk::SECTORS;
use crate::draw::index;
use colo_oracle::{Reply, Request};

/// The page with the clients' last replies, 24 bytes each.
const CLIENTS_PAGE: usize = 0;
/// Of so many keys, one has its value on the disk.
const DISK_KEYS: u64 = 4;
/// The sector that says how far the service has come: the operations applied, and how often the machine went on.
const PROGRESS_SECTOR: usize = 0;

/// The page that is filled with one byte now and then, and so travels as a zero page does.
const SCRATCH_PAGE: usize = 1;
/// The pages before the values.
const FIRST_VALUES: usize = 2;

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place {
    Memory { page: usize, at: usize },
    Disk { sector: usize, word: usize },
}

impl Guest {
    /// Executes a request. A retry is answered by what it was answered before; what a client has moved on from is
    /// not answered at all.
    pub(crate) fn execute(&mut self, request: Request) -> Option<Reply> {
        let Request { client, sequence, operation } = request;
        let last = self.last_reply(client);
        if sequence < last.sequence {
            return None;
        }
        if sequence > last.sequence {
            self.devices.serial += 1;
            let (after, value) = operation.apply(self.value(operation.key()));
            if let Some(after) = after {
                self.store(operation.key(), after);
            }
            self.write_disk(PROGRESS_SECTOR, 0, self.devices.serial);
            self.remember(Reply { client, sequence, serial: self.devices.serial, value });
        }
        self.devices.output_end.0 += 1;
        Some(self.last_reply(client))
    }

    /// The machine goes on: something in it always has a note to make.
    pub(crate) fn goes_on(&mut self) {
        self.executing = true;
        let count = self.disk.read(PROGRESS_SECTOR, 1) + 1;
        self.write_disk(PROGRESS_SECTOR, 1, count);
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: u64) -> u64 {
        match self.place(key) {
            Place::Memory { page, at } => self.memory.read(page, at),
            Place::Disk { sector, word } => self.disk.read(sector, word),
        }
    }

    fn store(&mut self, key: u64, value: u64) {
        match self.place(key) {
            Place::Memory { page, at } => self.memory.write(page, at, value),
            Place::Disk { sector, word } => self.write_disk(sector, word, value),
        }
    }

    fn write_disk(&mut self, sector: usize, word: usize, value: u64) {
        self.devices.disk_digest ^= self.disk.write(sector, word, value);
    }

    /// Where a key's value stands: neighbours are on different pages, or sectors.
    fn place(&self, key: u64) -> Place {
        if key % DISK_KEYS == DISK_KEYS - 1 {
            let (key, sectors) = (key / DISK_KEYS, SECTORS as u64 - 1);
            return Place::Disk { sector: 1 + index(key % sectors), word: index(key / sectors) };
        }
        let pages = (self.memory.len() - FIRST_VALUES) as u64;
        Place::Memory { page: FIRST_VALUES + index(key % pages), at: index(key / pages) * 8 }
    }

    fn last_reply(&self, client: u32) -> Reply {
        let at = client as usize * 24;
        let [sequence, serial, value] = [0, 8, 16].map(|field| self.memory.read(CLIENTS_PAGE, at + field));
        Reply { client, sequence, serial, value }
    }

    fn remember(&mut self, reply: Reply) {
        let at = reply.client as usize * 24;
        for (field, value) in [(0, reply.sequence), (8, reply.serial), (16, reply.value)] {
            self.memory.write(CLIENTS_PAGE, at + field, value);
        }
        if reply.serial % 8 == 1 {
            let [byte, ..] = (reply.serial / 8).to_le_bytes();
            self.memory.fill(SCRATCH_PAGE, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_oracle::Operation;

    fn put(sequence: u64, value: u64) -> Request {
        Request { client: 3, sequence, operation: Operation::Put { key: 40, value } }
    }

    #[test]
    fn a_retry_is_answered_alike_and_applied_once() {
        let mut guest = Guest::new(16);
        let first = guest.execute(put(1, 7)).unwrap();
        assert_eq!(guest.execute(put(1, 7)), Some(first));
        let second = guest.execute(put(2, 8)).unwrap();
        assert_eq!((first.serial, second.serial, second.value), (1, 2, 7));
        assert_eq!(guest.execute(put(1, 7)), None);
        assert_eq!((guest.value(40), guest.devices.serial, guest.devices.output_end.0), (8, 2, 3));
    }
}
