//! A connection between its bytes: what has been received and asks for nothing yet, what has been answered and waits to be
//! sent. Of TCP it knows nothing.

use alloc::vec::Vec;

use crate::command::{Counters, execute};
use crate::limits::WAITING_BYTES;
use crate::reply;
use crate::request::{Parsed, ProtocolError, REQUEST_BYTES_MAX, parse};
use crate::store::Store;

/// What becomes of a connection behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    Stays,
    /// It ends when what was answered has been sent.
    Ends,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number among all that there have ever been, from 1.
    number: u64,
    received: Bytes,
    answers: Bytes,
    after: After,
}

impl Connection {
    /// A connection of which nothing has been received.
    pub const fn new(number: u64) -> Self {
        Self { number, received: Bytes::new(), answers: Bytes::new(), after: After::Stays }
    }

    /// How much it can receive now.
    pub const fn room(&self) -> usize {
        match self.after {
            After::Stays => REQUEST_BYTES_MAX - self.received.len(),
            After::Ends => usize::MAX,
        }
    }

    /// Takes what has been received, no more than there is [`room`](Self::room). What comes behind the end is nobody's.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.after == After::Stays {
            self.received.put(bytes);
        }
    }

    /// Answers the requests that are complete, until none is or so much waits to be sent that more would be too much.
    pub fn work(&mut self, store: &mut Store, counters: &mut Counters) {
        self.answers.close_up();
        while self.after == After::Stays && self.answers.len() < WAITING_BYTES {
            match parse(self.received.as_slice()) {
                Ok(Parsed::Incomplete) => return,
                Ok(Parsed::Request { arguments, bytes }) => {
                    if !arguments.is_empty() {
                        counters.total_commands_processed += 1;
                        self.after =
                            execute(store, counters, self.number, &arguments, &mut self.answers.bytes);
                    }
                    self.received.take(bytes);
                }
                Err(error) => self.refuse(error),
            }
        }
    }

    /// Says why what was received is no request, and ends.
    fn refuse(&mut self, error: ProtocolError) {
        reply::error(&mut self.answers.bytes, format_args!("{error}"));
        self.after = After::Ends;
        self.received = Bytes::new();
    }

    /// What waits to be sent.
    pub fn waiting(&self) -> &[u8] {
        self.answers.as_slice()
    }

    /// So much of it has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.answers.take(bytes);
    }

    /// Whether nothing is to be sent any more, ever.
    pub fn is_over(&self) -> bool {
        self.after == After::Ends && self.waiting().is_empty()
    }
}

/// Bytes that are put at one end and taken from the other.
#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    /// So many of them are taken already.
    taken: usize,
}

/// An empty one keeps room for so many.
const KEPT_BYTES: usize = 4 << 10;

impl Bytes {
    const fn new() -> Self {
        Self { bytes: Vec::new(), taken: 0 }
    }

    const fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Gives up the room of what is taken.
    fn close_up(&mut self) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.close_up();
        // What is put grows frame by frame: room for more than it needs would be room for two.
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.len() == 0 {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    /// All that a connection answers to what it receives in pieces of these sizes, round and round, if as many bytes are
    /// taken from it at a time.
    fn answered(received: &[u8], pieces: &[usize]) -> (String, Counters, bool) {
        let (mut store, mut counters, mut connection) =
            (Store::new(4 << 20), Counters::default(), Connection::new(1));
        let (mut rest, mut answers) = (received, Vec::new());
        for &piece in pieces.iter().cycle() {
            let piece_in = piece.min(rest.len()).min(connection.room());
            connection.receive(&rest[..piece_in]);
            rest = &rest[piece_in..];
            connection.work(&mut store, &mut counters);
            let piece_out = piece.min(connection.waiting().len());
            answers.extend_from_slice(&connection.waiting()[..piece_out]);
            connection.sent(piece_out);
            if piece_in == 0 && piece_out == 0 {
                break;
            }
        }
        (String::from_utf8_lossy(&answers).into_owned(), counters, connection.is_over())
    }

    #[test]
    fn requests_in_one_piece_are_answered_in_their_order() {
        let (answers, counters, over) = answered(b"INCR n\r\n\r\nINCR n\r\nPING\r\nGET", &[1000]);
        assert_eq!(answers, ":1\r\n:2\r\n+PONG\r\n");
        assert_eq!(counters.total_commands_processed, 3);
        assert!(!over);
    }

    #[test]
    fn behind_a_request_that_is_none_nothing_is_answered() {
        let (answers, counters, over) = answered(b"PING\r\n*1\r\n!\r\nPING\r\n", &[1000]);
        assert_eq!(answers, "+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
        assert_eq!((counters.total_commands_processed, over), (1, true));
    }

    #[test]
    fn behind_the_end_nothing_is_answered() {
        let (answers, _, over) = answered(b"QUIT\r\nPING\r\n", &[1000]);
        assert_eq!((answers.as_str(), over), ("+OK\r\n", true));
    }

    #[test]
    fn who_takes_no_answers_is_not_answered_without_end() {
        let (mut store, mut counters, mut connection) =
            (Store::new(1 << 20), Counters::default(), Connection::new(1));
        store.set(b"k", &b"v".repeat(60_000)).unwrap();
        connection.receive(&b"GET k\r\n".repeat(100));
        connection.work(&mut store, &mut counters);
        assert_eq!(counters.total_commands_processed, 1);
        assert!(connection.waiting().len() < WAITING_BYTES + REQUEST_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_nothing(pieces in prop::collection::vec(1_usize..200, 1..10), requests in 1..40) {
            let request = |n| format!("INCRBY n {n}\r\n*2\r\n$4\r\nECHO\r\n$1\r\n{}\r\n", n % 10);
            let received = (0..requests).map(request).collect::<Vec<_>>().concat();
            let whole = answered(received.as_bytes(), &[1 << 20]);
            prop_assert!(!whole.0.is_empty());
            prop_assert_eq!(answered(received.as_bytes(), &pieces), whole);
        }
    }

    #[test]
    fn a_value_as_long_as_values_are_goes_in_and_out() {
        let value = "v".repeat(crate::BULK_BYTES_MAX);
        let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\nGET k\r\n", value.len());
        let (answers, _, _) = answered(set.as_bytes(), &[1460]);
        assert_eq!(answers, "+OK\r\n$65536\r\n".to_string() + &value + "\r\n");
    }
}
