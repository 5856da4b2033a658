//! Sockets at which others speak in lines: each connection is read by a thread of its own, and written to by whoever has
//! its writer. What a line means is not known here.

use crate::peer::{Address, PeerError, Socket};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, mpsc::SendError};
use std::time::Duration;

/// The longest line that is read, bytes.
pub(super) const MAX_LINE_BYTES: usize = 1 << 16;

/// Connections that a socket has at once; whoever comes beyond is turned away.
const MOST_CONNECTIONS: usize = 64;

/// How long a connection may take in nothing of what is written to it; then it is closed.
const DEAF_FOR: Duration = Duration::from_secs(2);

/// A socket at which others can connect.
#[derive(Debug)]
pub struct Door(Socket);

/// One of the connections of a socket.
pub(super) type Connection = u64;

/// What happens at a socket.
pub(super) enum LineEvent {
    /// Somebody has connected, and is told things by this.
    Opened(Connection, Writer),
    /// Somebody has said something.
    Line(Connection, String),
    /// Nothing more comes from there.
    Closed(Connection),
}

/// What comes from the other end of a connection.
type Reader = Box<dyn Read + Send>;

/// A way to tell the other end of a connection something.
pub(super) struct Writer(Box<dyn Write + Send>);

/// The writers of all connections of a socket.
#[derive(Default)]
pub(super) struct Writers(BTreeMap<Connection, Writer>);

impl Writers {
    pub(super) fn opened(&mut self, connection: Connection, writer: Writer) {
        self.0.insert(connection, writer);
    }

    pub(super) fn closed(&mut self, connection: Connection) {
        self.0.remove(&connection);
    }

    /// Tells one of them something. One that does not take it in is told nothing more.
    pub(super) fn tell(&mut self, connection: Connection, line: &str) {
        let writer = self.0.get_mut(&connection);
        if writer.is_some_and(|writer| writer.line(line).is_err()) {
            self.0.remove(&connection);
        }
    }

    /// Tells all of them something.
    pub(super) fn tell_all(&mut self, line: &str) {
        self.0.retain(|_, writer| writer.line(line).is_ok());
    }
}

impl Writer {
    fn line(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.0.write_all(&bytes)
    }
}

/// Takes connections from here on, in threads that end when nobody listens to them any more.
pub(super) fn serve<E: Send + 'static>(
    door: Door,
    sender: Sender<E>,
    wrap: impl Fn(LineEvent) -> E + Copy + Send + 'static,
) {
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for number in 0.. {
            let ends = door.next();
            let Ok((reader, writer)) = ends else {
                // Too many descriptors, perhaps: whoever wants something comes again.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            if sender.send(wrap(LineEvent::Opened(number, writer))).is_err() {
                return;
            }
            let (sender, open) = (sender.clone(), Arc::clone(&open));
            std::thread::spawn(move || {
                // It fails when nobody listens any more.
                let _ = pass_on(reader, number, &sender, wrap);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
}

impl Door {
    /// A door at this address, whoever can reach it; of a Unix socket only this user can.
    pub fn open(address: &Address) -> Result<Self, PeerError> {
        let socket = Socket::bind(address, true)?;
        match &socket {
            Socket::Tcp(listener) => listener.set_nonblocking(false)?,
            Socket::Unix(listener, _) => listener.set_nonblocking(false)?,
        }
        Ok(Self(socket))
    }

    fn next(&self) -> io::Result<(Reader, Writer)> {
        match &self.0 {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_write_timeout(Some(DEAF_FOR))?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream.try_clone()?), Writer(Box::new(stream))))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_write_timeout(Some(DEAF_FOR))?;
                Ok((Box::new(stream.try_clone()?), Writer(Box::new(stream))))
            }
        }
    }
}

fn pass_on<E>(
    reader: Reader,
    number: Connection,
    sender: &Sender<E>,
    wrap: impl Fn(LineEvent) -> E,
) -> Result<(), SendError<E>> {
    let mut reader = BufReader::new(reader);
    while let Ok(Some(line)) = read_line(&mut reader) {
        sender.send(wrap(LineEvent::Line(number, line)))?;
    }
    sender.send(wrap(LineEvent::Closed(number)))
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
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    #[test]
    fn who_connects_is_heard_and_told_line_by_line_until_it_goes() {
        let door = Door::open(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Socket::Tcp(listener) = &door.0 else { panic!("no TCP") };
        let address = listener.local_addr().unwrap();
        let (sender, events) = channel();
        serve(door, sender, |event| event);
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"one\r\ntwo\nhal").unwrap();
        let mut writers = Writers::default();
        let LineEvent::Opened(number, writer) = events.recv().unwrap() else { panic!("nobody came") };
        writers.opened(number, writer);
        for expected in ["one", "two"] {
            let LineEvent::Line(from, line) = events.recv().unwrap() else { panic!("no line") };
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
    fn who_reads_nothing_is_told_nothing_more_and_the_others_are() {
        let (stream, never_read) = UnixStream::pair().unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let (other, reads) = UnixStream::pair().unwrap();
        let mut writers = Writers::default();
        writers.opened(1, Writer(Box::new(stream)));
        let line = "x".repeat(MAX_LINE_BYTES);
        (0..64).for_each(|_| writers.tell_all(&line));
        writers.opened(2, Writer(Box::new(other)));
        writers.tell_all("after");
        let mut reads = BufReader::new(reads);
        assert_eq!(read_line(&mut reads).unwrap().as_deref(), Some("after"));
        assert_eq!(writers.0.len(), 1);
        drop(never_read);
    }

    #[test]
    fn who_comes_beyond_the_most_is_turned_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("door");
        let (sender, events) = channel();
        serve(Door::open(&Address::Unix(path.clone())).unwrap(), sender, |event| event);
        let connect = || UnixStream::connect(&path).unwrap();
        let inside: Vec<_> = (0..MOST_CONNECTIONS).map(|_| connect()).collect();
        let came = events.iter().take(MOST_CONNECTIONS);
        let _writers: Vec<_> =
            came.map(|event| matches!(event, LineEvent::Opened(..)).then_some(event)).collect();
        assert_eq!(connect().read(&mut [0]).unwrap(), 0, "nobody stays beyond");
        drop(inside);
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
