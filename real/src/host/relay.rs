//! A network between two hosts that is slow, stands still, or is cut, when it is told: a relay of TCP connections. What it
//! carries it does not look at, so that it is the same for what is encrypted.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are taken at once.
const PIECE_BYTES: usize = 1 << 16;

/// Pieces that are on their way in one direction; whoever sends more waits.
const PIECES: usize = 64;

/// What a relay can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelayCommand {
    /// What comes leaves so much later, in each direction, from now on.
    Delay(Duration),
    /// Nothing leaves any more, and nothing is lost.
    Stall,
    /// What was held back leaves.
    Go,
    /// All connections that there are are closed, in both directions, and what is on its way is lost.
    Cut,
}

impl FromStr for RelayCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let command = (words.next(), words.next(), words.next());
        match command {
            (Some("delay"), Some(ms), None) => ms
                .parse()
                .map(|ms: u32| Self::Delay(Duration::from_millis(ms.into())))
                .map_err(|error| format!("delay {ms}: {error}, expected milliseconds")),
            (Some("stall"), None, None) => Ok(Self::Stall),
            (Some("go"), None, None) => Ok(Self::Go),
            (Some("cut"), None, None) => Ok(Self::Cut),
            _ => Err(format!("{text:?}: expected delay MILLISECONDS, stall, go, or cut")),
        }
    }
}

/// How the network is.
#[derive(Default)]
struct Weather {
    delay: Duration,
    stalled: bool,
    /// Both ends of all connections, by their numbers.
    open: BTreeMap<u64, [TcpStream; 2]>,
}

/// A relay that runs until the process ends.
pub struct Relay {
    shared: Arc<(Mutex<Weather>, Condvar)>,
    address: SocketAddr,
}

impl Relay {
    /// Relays whoever connects to `listener` to `to`.
    pub fn start(listener: TcpListener, to: SocketAddr) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new((Mutex::new(Weather::default()), Condvar::new()));
        let relayed = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let Ok(stream) = stream else {
                    // Too many descriptors, perhaps: whoever wants something comes again.
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                // Whoever cannot be connected sees its connection closed.
                let _ = relay(number, &stream, to, &relayed);
            }
        });
        Ok(Self { shared, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The network is otherwise from now on.
    pub fn tell(&self, command: RelayCommand) {
        let mut weather = lock(&self.shared.0);
        match command {
            RelayCommand::Delay(delay) => weather.delay = delay,
            RelayCommand::Stall => weather.stalled = true,
            RelayCommand::Go => weather.stalled = false,
            RelayCommand::Cut => {
                std::mem::take(&mut weather.open).values().flatten().for_each(close);
            }
        }
        self.shared.1.notify_all();
    }
}

/// What one thread that has panicked has left is as good as any weather.
fn lock(weather: &Mutex<Weather>) -> MutexGuard<'_, Weather> {
    weather.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(stream: &TcpStream) {
    // It fails when it is closed already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn relay(
    number: u64,
    here: &TcpStream,
    to: SocketAddr,
    shared: &Arc<(Mutex<Weather>, Condvar)>,
) -> io::Result<()> {
    let there = TcpStream::connect(to)?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    lock(&shared.0).open.insert(number, [here.try_clone()?, there.try_clone()?]);
    let directions = Arc::new(AtomicUsize::new(2));
    for (from, to) in [(here, &there), (&there, here)] {
        let (sender, receiver) = sync_channel(PIECES);
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let source = from.try_clone()?;
        std::thread::spawn(move || take_in(from, &sender));
        let (shared, directions) = (Arc::clone(shared), Arc::clone(&directions));
        std::thread::spawn(move || {
            if let_out(&receiver, to, &shared).is_err() {
                // Nobody takes it in any more: who sends it is to know.
                close(&source);
            }
            if directions.fetch_sub(1, Ordering::AcqRel) == 1 {
                lock(&shared.0).open.remove(&number);
            }
        });
    }
    Ok(())
}

/// A piece of what is relayed, and when it came; nothing is its end.
type Piece = (Instant, Vec<u8>);

fn take_in(mut from: TcpStream, sender: &SyncSender<Piece>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        if sender.send((Instant::now(), piece)).is_err() || read == 0 {
            return;
        }
    }
}

fn let_out(
    receiver: &Receiver<Piece>,
    mut to: TcpStream,
    shared: &(Mutex<Weather>, Condvar),
) -> io::Result<()> {
    for (came, piece) in receiver {
        wait_for_weather(came, shared);
        if piece.is_empty() {
            // The other direction may go on. It fails when that has ended, too.
            let _ = to.shutdown(Shutdown::Write);
            return Ok(());
        }
        to.write_all(&piece)?;
    }
    Ok(())
}

/// Waits until what came then may leave.
fn wait_for_weather(came: Instant, (weather, changed): &(Mutex<Weather>, Condvar)) {
    let mut weather = lock(weather);
    loop {
        let left = (came + weather.delay).saturating_duration_since(Instant::now());
        if !weather.stalled && left.is_zero() {
            return;
        }
        weather = if weather.stalled {
            changed.wait(weather).unwrap_or_else(PoisonError::into_inner)
        } else {
            let waited = changed.wait_timeout(weather, left);
            waited.map_or_else(|error| error.into_inner().0, |(weather, _)| weather)
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A relay to somebody who sends back what comes.
    fn relayed() -> (Relay, TcpStream) {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = echo.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut sent_back = stream.try_clone().unwrap();
            let _ = io::copy(&mut stream, &mut sent_back);
            let _ = sent_back.shutdown(Shutdown::Write);
        });
        let relay = Relay::start(TcpListener::bind("127.0.0.1:0").unwrap(), to).unwrap();
        let client = TcpStream::connect(relay.address()).unwrap();
        (relay, client)
    }

    fn there_and_back(client: &mut TcpStream) -> Duration {
        let begun = Instant::now();
        client.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
        begun.elapsed()
    }

    #[test]
    fn what_is_delayed_comes_later_each_way_and_whole() {
        let (relay, mut client) = relayed();
        there_and_back(&mut client);
        relay.tell(RelayCommand::Delay(Duration::from_millis(40)));
        assert!(there_and_back(&mut client) >= Duration::from_millis(80));
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_stands_still_is_not_lost_and_what_is_cut_is_closed() {
        let (relay, mut client) = relayed();
        there_and_back(&mut client);
        relay.tell(RelayCommand::Stall);
        client.write_all(b"held").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(client.read(&mut [0; 4]).is_err());
        relay.tell(RelayCommand::Go);
        client.set_read_timeout(None).unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"held");
        relay.tell(RelayCommand::Cut);
        assert!(client.read(&mut [0]).is_ok_and(|read| read == 0) || client.write_all(b"x").is_err());
    }

    #[test]
    fn a_command_that_nobody_knows_is_answered_with_those_that_there_are() {
        assert_eq!("delay 20".parse(), Ok(RelayCommand::Delay(Duration::from_millis(20))));
        for text in ["", "delay", "delay x", "cut off", "drop"] {
            assert!(text.parse::<RelayCommand>().unwrap_err().contains("expected"), "{text}");
        }
    }
}
