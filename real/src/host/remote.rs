//! Clients of a service that may be at either side of a pair on two hosts: they ask whoever serves, see what both sides
//! release, and judge it as the clients of a pair on one host do.

use super::lines::read_line_of;
use super::service::{FromService, MAX_SERVICE_LINE_BYTES};
use crate::pair::clients::Clients;
use crate::pair::demand::Load;
use crate::pair::{Measured, RunViolation, until_next};
use crate::peer::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};
use std::io::{self, BufReader, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often a service has a checkpoint that is not asked about it.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often somebody who is not there yet is looked for.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// Who asks, and what for.
#[derive(Clone, Debug)]
pub struct RemoteOptions<'a> {
    /// Where the service may be.
    pub services: &'a [Address],
    /// Clients with a request open each, if there is no other load.
    pub clients: u32,
    /// Requests that are made whether or not those before have been answered.
    pub load: Option<Load>,
    /// For how long they ask; then what is open is waited for.
    pub lasts: Duration,
    /// How long they go without any reply before they give up.
    pub patience: Duration,
    /// Set by whoever wants them to end early.
    pub stop: &'a AtomicBool,
}

/// What the clients came to.
#[derive(Debug)]
pub struct RemoteOutcome {
    /// What they saw that they may not see, if anything.
    pub violation: Option<RunViolation>,
    /// Replies seen, each once.
    pub replies: u64,
    /// Whether anybody ever served: nothing was seen of a service otherwise.
    pub was_served: bool,
    /// How often the service began to be at the other side.
    pub moves: u64,
    /// What it cost them.
    pub measured: Measured,
}

/// What comes from a service.
enum Heard {
    Connected(usize, OwnedFd),
    Said(usize, FromService),
    /// Its end, and what was wrong with it, if anything was.
    Gone(usize, Option<String>),
}

struct Remote<'a> {
    options: &'a RemoteOptions<'a>,
    heard: Receiver<Heard>,
    writers: Vec<Option<OwnedFd>>,
    /// Whose end has been heard.
    gone: Vec<bool>,
    serving: Option<usize>,
    /// Who has been the last to say that it serves.
    served_last: Option<usize>,
    clients: Clients,
    moves: u64,
}

/// Lets the clients ask for as long as they are to, and judges what they were told.
pub fn run_clients(options: &RemoteOptions<'_>) -> RemoteOutcome {
    let (sender, heard) = channel();
    for (number, address) in options.services.iter().enumerate() {
        let (address, sender, patience) = (address.clone(), sender.clone(), options.patience);
        std::thread::spawn(move || {
            let problem = listen(number, &address, patience, &sender).err();
            // It fails when nobody asks any more.
            let _ = sender.send(Heard::Gone(number, problem.map(|error| format!("{address}: {error}"))));
        });
    }
    let mut remote = Remote {
        options,
        heard,
        writers: options.services.iter().map(|_| None).collect(),
        gone: options.services.iter().map(|_| false).collect(),
        serving: None,
        served_last: None,
        clients: Clients::of_load(options.clients, options.load, INTERVAL),
        moves: 0,
    };
    let violation = remote.serve().and_then(|()| remote.clients.judge()).err();
    RemoteOutcome {
        violation,
        replies: remote.clients.seen,
        was_served: remote.served_last.is_some(),
        moves: remote.moves.saturating_sub(1),
        measured: remote.clients.into_measured(),
    }
}

impl Remote<'_> {
    fn serve(&mut self) -> Result<(), RunViolation> {
        let begun = Instant::now();
        let mut last_reply = (0, begun);
        loop {
            if begun.elapsed() >= self.options.lasts || self.options.stop.load(Ordering::Relaxed) {
                self.clients.drain();
                if self.clients.all_answered() {
                    return Ok(());
                }
            }
            self.ask()?;
            self.clients.missing(Instant::now())?;
            match self.heard.recv_timeout(until_next(&self.clients)) {
                Ok(heard) => self.hear(heard)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if self.clients.answered != last_reply.0 {
                last_reply = (self.clients.answered, Instant::now());
            }
            if self.gone.iter().all(|gone| *gone) {
                return Err(RunViolation::Unserved);
            }
            if last_reply.1.elapsed() > self.options.patience {
                return Err(RunViolation::Silence { seconds: self.options.patience.as_secs() });
            }
        }
    }

    /// The requests that are due go to whoever serves. Nothing is lost: who gets no answer asks again, perhaps elsewhere.
    fn ask(&mut self) -> Result<(), RunViolation> {
        let Some(serving) = self.serving else { return Ok(()) };
        for request in self.clients.due(Instant::now())? {
            let writer = self.writers.get(serving).and_then(Option::as_ref);
            let line = serde_json::to_string(&request).unwrap_or_default() + "\n";
            if let Some(writer) = writer.filter(|writer| has_room(writer)) {
                // Half a line can be left only where the end has been seen as well.
                let _ = send(writer, line.as_bytes(), SendFlags::NOSIGNAL);
            }
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<(), RunViolation> {
        match heard {
            Heard::Connected(number, writer) => {
                if let Some(place) = self.writers.get_mut(number) {
                    *place = Some(writer);
                }
            }
            Heard::Said(number, FromService::Serves) => {
                self.serving = Some(number);
                if self.served_last.replace(number) != Some(number) {
                    self.moves += 1;
                    self.clients.moved();
                }
            }
            Heard::Said(number, FromService::Rests) => self.rests(number),
            Heard::Said(_, FromService::Output(first, units)) => drop(self.clients.output(first, &units)?),
            Heard::Said(_, FromService::EarlyOutput(place, unit)) => {
                self.clients.early_output(place, unit)?;
            }
            Heard::Gone(number, problem) => {
                if let Some(gone) = self.gone.get_mut(number) {
                    *gone = true;
                }
                self.rests(number);
                if let Some(problem) = problem {
                    eprintln!("colo: {problem}");
                }
            }
        }
        Ok(())
    }

    fn rests(&mut self, number: usize) {
        self.serving.take_if(|serving| *serving == number);
    }
}

/// Finds a service, and passes on what it says, to its end.
fn listen(number: usize, address: &Address, patience: Duration, heard: &Sender<Heard>) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let (reader, writer) = loop {
        match dial(address) {
            Ok(ends) => break ends,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(LOOKS_EVERY),
        }
    };
    let gone = |_| io::Error::other("nobody listens any more");
    heard.send(Heard::Connected(number, writer)).map_err(gone)?;
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line_of(&mut reader, MAX_SERVICE_LINE_BYTES)? {
        let said = serde_json::from_str(&line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("this is no service of a side: {error}"))
        })?;
        heard.send(Heard::Said(number, said)).map_err(gone)?;
    }
    Ok(())
}

/// Whether a socket takes a line at once.
fn has_room(socket: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The two ends of a new connection.
fn dial(address: &Address) -> io::Result<(Box<dyn Read + Send>, OwnedFd)> {
    Ok(match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            (Box::new(stream.try_clone()?), stream.into())
        }
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))?;
            stream.set_nodelay(true)?;
            (Box::new(stream.try_clone()?), stream.into())
        }
    })
}
