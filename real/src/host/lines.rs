//! Sockets at which others speak in lines. What a line means is not known here.
//!
//! Each connection has a thread that reads and one that writes, so that nobody waits for it: who has said much that has not
//! been minded is not read any further, and who does not take in what it is told is shut out.

use crate::peer::{Address, PeerError, Socket, SocketPath};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest line that is read, bytes.
pub(super) const MAX_LINE_BYTES: usize = 1 << 16;

/// Connections that a socket has at once; whoever comes beyond is turned away.
const MOST_CONNECTIONS: usize = 64;

/// Lines of one connection that have not been minded; then no more is read of it.
const MOST_UNMINDED: usize = 64;

/// Lines that a connection has not taken in; then it is shut out.
const MOST_UNTOLD: usize = 1 << 10;

/// How long what has been said last may take to be taken in.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// A socket at which others can connect.
#[derive(Debug)]
pub struct Door(Socket);

/// One of the connections of a socket.
pub(super) type Connection = u64;

/// What happens at a socket.
pub(super) enum LineEvent {
    /// Somebody has connected, and is told things by this.
    Opened(Connection, Writer),
    /// Somebody has said something; it is not read any further while too much of it is held.
    Line(Connection, String, Credit),
    /// Nothing more comes from there.
    Closed(Connection),
}

/// An end of a connection.
#[derive(Clone)]
struct End(Arc<OwnedFd>);

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| recv(&self.0, &mut *buffer, RecvFlags::empty()))?.0)
    }
}

impl End {
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = rustix::io::retry_on_intr(|| send(&self.0, bytes, SendFlags::NOSIGNAL))?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn shut(&self) {
        // It fails when the other end is gone already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

/// A way to tell the other end of a connection something. When it is dropped what has been told is still written, and then the
/// connection is closed.
pub(super) struct Writer {
    lines: SyncSender<String>,
    end: End,
    /// Of all that are written to.
    at_work: Arc<AtomicUsize>,
}

/// The writers of all connections of a socket.
#[derive(Default)]
pub(super) struct Writers(BTreeMap<Connection, Writer>);

impl Writers {
    pub(super) fn opened(&mut self, connection: Connection, writer: Writer) {
        self.0.insert(connection, writer);
    }

    /// It is told nothing more, and closed when it has taken in what it has been told.
    pub(super) fn closed(&mut self, connection: Connection) {
        self.0.remove(&connection);
    }

    /// Whether what comes from there is to be minded.
    pub(super) fn knows(&self, connection: Connection) -> bool {
        self.0.contains_key(&connection)
    }

    /// Tells one of them something. One that takes in nothing is shut out.
    pub(super) fn tell(&mut self, connection: Connection, line: &str) {
        let writer = self.0.get(&connection);
        if writer.is_some_and(|writer| !writer.tell(line)) {
            self.0.remove(&connection);
        }
    }

    /// Tells all of them something.
    pub(super) fn tell_all(&mut self, line: &str) {
        self.0.retain(|_, writer| writer.tell(line));
    }

    /// Closes all of them, when they have taken in what they have been told, if that does not take too long.
    pub(super) fn finish(&mut self) {
        let until = Instant::now() + ENDS_WITHIN;
        let at_work: Vec<_> =
            std::mem::take(&mut self.0).into_values().map(|writer| Arc::clone(&writer.at_work)).collect();
        let writes = |at_work: &Arc<AtomicUsize>| at_work.load(Ordering::Acquire) > 0;
        while at_work.iter().any(writes) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Writer {
    fn new(end: End) -> Self {
        let (lines, written) = sync_channel(MOST_UNTOLD);
        let at_work = Arc::new(AtomicUsize::new(1));
        let (own_end, own_work) = (end.clone(), Arc::clone(&at_work));
        std::thread::spawn(move || {
            write(&written, &own_end);
            own_end.shut();
            own_work.fetch_sub(1, Ordering::Release);
        });
        Self { lines, end, at_work }
    }

    /// Whether it has room for this.
    fn tell(&self, line: &str) -> bool {
        let has_room = self.lines.try_send(format!("{line}\n")).is_ok();
        if !has_room {
            self.end.shut();
        }
        has_room
    }
}

fn write(lines: &Receiver<String>, end: &End) {
    for line in lines {
        if end.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// How many lines of a connection may still come before one of them has been minded.
struct Credits(Mutex<usize>, Condvar);

/// A line that has not been minded: it is when this is dropped.
pub(super) struct Credit(Arc<Credits>);

impl Credit {
    /// One of them, when there is one.
    fn take(credits: &Arc<Credits>) -> Self {
        let left = credits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = credits.1.wait_while(left, |left| *left == 0);
        *left.unwrap_or_else(PoisonError::into_inner) -= 1;
        Self(Arc::clone(credits))
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.1.notify_one();
    }
}

/// Takes connections from here on, in threads that end when nobody listens to them any more. The door's path, if it has
/// one, goes with what is returned.
pub(super) fn serve<E: Send + 'static>(
    Door(socket): Door,
    sender: Sender<E>,
    wrap: impl Fn(LineEvent) -> E + Copy + Send + 'static,
) -> Option<SocketPath> {
    let (accepting, path) = socket.split();
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for number in 0.. {
            let Ok(socket) = accepting.accept() else {
                // Too many descriptors, perhaps: whoever wants something comes again.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let end = End(Arc::new(socket));
            if sender.send(wrap(LineEvent::Opened(number, Writer::new(end.clone())))).is_err() {
                return;
            }
            let (sender, open) = (sender.clone(), Arc::clone(&open));
            std::thread::spawn(move || {
                pass_on(end, number, &sender, wrap);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    path
}

impl Door {
    /// A door at this address, whoever can reach it; of a Unix socket only this user can.
    pub fn open(address: &Address) -> Result<Self, PeerError> {
        let socket = Socket::bind(address, true)?;
        socket.let_it_block()?;
        Ok(Self(socket))
    }
}

fn pass_on<E>(end: End, number: Connection, sender: &Sender<E>, wrap: impl Fn(LineEvent) -> E) {
    let credits = Arc::new(Credits(Mutex::new(MOST_UNMINDED), Condvar::new()));
    let mut reader = BufReader::new(end);
    while let Ok(Some(line)) = read_line(&mut reader) {
        let line = LineEvent::Line(number, line, Credit::take(&credits));
        if sender.send(wrap(line)).is_err() {
            return;
        }
    }
    // It fails when nobody listens any more.
    let _ = sender.send(wrap(LineEvent::Closed(number)));
}

/// The next line, without its end; none at the end of what comes. One that is too long, or no text, is an error.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    read_line_of(reader, MAX_LINE_BYTES)
}

/// The same, of at most so many bytes.
pub(super) fn read_line_of(reader: &mut impl BufRead, most: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.by_ref().take(most as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        let problem = if line.len() >= most { "is longer than is read" } else { "ends in its middle" };
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line of {} bytes {problem}", line.len()),
        ));
    }
    line.pop_if(|byte| *byte == b'\r');
    String::from_utf8(line).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    /// A door, what happens at it, and somebody who has come in.
    fn come_in() -> (Receiver<LineEvent>, UnixStream, Option<SocketPath>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("door");
        let (sender, events) = channel();
        let door = serve(Door::open(&Address::Unix(path.clone())).unwrap(), sender, |event| event);
        (events, UnixStream::connect(path).unwrap(), door, directory)
    }

    fn opened(events: &Receiver<LineEvent>) -> (Connection, Writers) {
        let mut writers = Writers::default();
        let LineEvent::Opened(number, writer) = events.recv().unwrap() else { panic!("nobody came") };
        writers.opened(number, writer);
        (number, writers)
    }

    #[test]
    fn who_connects_is_heard_and_told_line_by_line_until_it_goes() {
        let (events, mut client, _door, _directory) = come_in();
        client.write_all(b"one\r\ntwo\nhal").unwrap();
        let (number, mut writers) = opened(&events);
        for expected in ["one", "two"] {
            let LineEvent::Line(from, line, _) = events.recv().unwrap() else { panic!("no line") };
            assert_eq!((from, line.as_str()), (number, expected));
        }
        writers.tell_all("told");
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"told\n");
        drop(client);
        assert!(matches!(events.recv().unwrap(), LineEvent::Closed(from) if from == number));
    }

    #[test]
    fn who_reads_nothing_holds_nobody_up_and_is_shut_out() {
        let (events, client, _door, _directory) = come_in();
        let (number, mut writers) = opened(&events);
        let line = "x".repeat(MAX_LINE_BYTES);
        let begun = Instant::now();
        (0..2 * MOST_UNTOLD).for_each(|_| writers.tell_all(&line));
        assert!(begun.elapsed() < Duration::from_secs(10), "it was waited for");
        assert!(!writers.knows(number));
        assert!(matches!(events.recv().unwrap(), LineEvent::Closed(_)), "its end has been heard");
        drop(client);
    }

    #[test]
    fn who_says_much_that_nobody_minds_is_not_read_any_further() {
        let (events, mut client, _door, _directory) = come_in();
        let (_, _writers) = opened(&events);
        client.write_all("line\n".repeat(2 * MOST_UNMINDED).as_bytes()).unwrap();
        let held: Vec<_> = (0..MOST_UNMINDED).map(|_| events.recv().unwrap()).collect();
        assert!(events.recv_timeout(Duration::from_millis(200)).is_err());
        drop(held);
        assert!(matches!(events.recv().unwrap(), LineEvent::Line(..)));
    }

    #[test]
    fn what_was_told_last_is_taken_in_before_the_end() {
        let (events, mut client, door, directory) = come_in();
        let (_, mut writers) = opened(&events);
        writers.tell_all("the last word");
        writers.finish();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "the last word\n");
        drop(door);
        assert!(!directory.path().join("door").exists());
    }

    #[test]
    fn who_comes_beyond_the_most_is_turned_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("door");
        let (sender, events) = channel();
        let _door = serve(Door::open(&Address::Unix(path.clone())).unwrap(), sender, |event| event);
        let connect = || UnixStream::connect(&path).unwrap();
        let inside: Vec<_> = (0..MOST_CONNECTIONS).map(|_| connect()).collect();
        let writers: Vec<_> = events.iter().take(MOST_CONNECTIONS).collect();
        assert_eq!(connect().read(&mut [0]).unwrap(), 0, "nobody stays beyond");
        drop((inside, writers));
    }

    #[test]
    fn a_line_that_never_ends_is_no_line() {
        let endless = vec![b'x'; MAX_LINE_BYTES + 10];
        assert!(read_line(&mut endless.as_slice()).unwrap_err().to_string().contains("longer than is read"));
        assert!(read_line(&mut &b"half"[..]).unwrap_err().to_string().contains("ends in its middle"));
        assert!(read_line(&mut &b"\xff\n"[..]).is_err());
        assert_eq!(read_line(&mut &b""[..]).unwrap(), None);
    }
}
