//! Who comes to a listener: strangers and the peer, side by side, until the peer's connections are all there.
//!
//! Nobody is waited for alone. Whoever says nothing, or something else than a hello, is turned away with a note; so is,
//! when too many are there at once, who has been there for longest without having said who it is.

use super::channel::{Channel, Leaving, wait};
use super::listener::Listener;
use super::terms::{Connection, Terms, Told};
use super::tls::Configs;
use super::words::{Answer, FORMAT, Hello, Identity, Incoming, Last, WordError, framed};
use super::{Met, PeerError, channel::Lost};
use rustix::event::{PollFd, PollFlags};
use std::fmt;
use std::time::{Duration, Instant};

/// How long somebody may take for a hello, and a peer from its first to its last word.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long somebody who has been turned away may take to go.
const PATIENCE_WITH_THE_LEAVING: Duration = Duration::from_secs(1);

/// Of any sort so many at once.
const AT_ONCE_MAX: usize = 64;

/// How often to look up whether anybody still wants the peer.
const LOOK_UP_AFTER: Duration = Duration::from_millis(50);

/// Somebody who was turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stranger {
    /// Where it came from.
    pub from: String,
    /// What came from it.
    pub why: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was turned away: {}", self.from, self.why)
    }
}

/// Somebody who has not said who it is.
struct Guest {
    channel: Channel,
    from: String,
    since: Instant,
    hello: Incoming,
}

/// A peer whose link has been accepted.
struct Attempt {
    run: Identity,
    pairing: Identity,
    from: String,
    since: Instant,
    link: Channel,
    others: Vec<(Connection, Channel)>,
    last: Incoming,
}

/// All who are there.
struct Reception<'a> {
    listener: &'a Listener,
    /// None without keys.
    keys: Option<&'a Configs>,
    terms: &'a Terms,
    told: Told,
    guests: Vec<Guest>,
    attempts: Vec<Attempt>,
    leaving: Vec<(Leaving, Instant)>,
    note: &'a mut dyn FnMut(Stranger),
}

impl Listener {
    /// Waits for the peer, until `is_stopped`. Each stranger is noted. A peer that is not of one mind ends it.
    pub(crate) fn accept(
        &self,
        terms: &Terms,
        is_stopped: impl Fn() -> bool,
        mut note: impl FnMut(Stranger),
    ) -> Result<Met, PeerError> {
        let mut reception = Reception {
            listener: self,
            keys: self.configs(terms.side)?,
            terms,
            told: terms.told(),
            guests: Vec::new(),
            attempts: Vec::new(),
            leaving: Vec::new(),
            note: &mut note,
        };
        while !is_stopped() {
            wait(&mut reception.awaited(), LOOK_UP_AFTER)?;
            reception.let_in()?;
            reception.hear_guests()?;
            if let Some(met) = reception.hear_attempts()? {
                return Ok(met);
            }
            reception.leaving.retain_mut(|(who, until)| who.is_there() && Instant::now() < *until);
        }
        Err(PeerError::Stopped)
    }
}

impl Reception<'_> {
    /// All from whom something may come.
    fn awaited(&self) -> Vec<PollFd<'_>> {
        let guests = self.guests.iter().map(|guest| &guest.channel);
        let attempts = self.attempts.iter().map(|attempt| &attempt.link);
        let leaving = self.leaving.iter().map(|(leaving, _)| leaving.channel());
        let channels = guests.chain(attempts).chain(leaving);
        let channels = channels.map(|channel| PollFd::new(channel, channel.awaited()));
        channels.chain([PollFd::new(self.listener, PollFlags::IN)]).collect()
    }

    /// Lets in who has come; for want of room, those who have been there for longest have to go.
    fn let_in(&mut self) -> Result<(), PeerError> {
        while let Some((socket, from)) = self.listener.next()? {
            let channel = Channel::listening(socket, self.keys)?;
            self.guests.push(Guest { channel, from, since: Instant::now(), hello: Incoming::default() });
            if self.guests.len() > AT_ONCE_MAX {
                let oldest = self.guests.remove(0);
                self.turn_away(oldest, &"others came, and it had not said who it is", &[]);
            }
        }
        Ok(())
    }

    /// Hears everybody who has not said who it is.
    fn hear_guests(&mut self) -> Result<(), PeerError> {
        for mut guest in std::mem::take(&mut self.guests) {
            match guest.hello.advance(&mut guest.channel) {
                Ok(true) => self.greet(guest)?,
                Ok(false) if guest.since.elapsed() < PATIENCE => self.guests.push(guest),
                Ok(false) => self.give_up(guest),
                Err(Lost::NoWord(WordError::Format(theirs))) => return self.other_format(guest, theirs),
                Err(lost) => self.turn_away(guest, &lost, &self.other()?),
            }
        }
        Ok(())
    }

    /// Somebody has said as much as a hello has.
    fn greet(&mut self, guest: Guest) -> Result<(), PeerError> {
        match guest.hello.hello() {
            Ok(hello) => self.consider(guest, hello),
            Err(error) => {
                self.turn_away(guest, &error, &self.other()?);
                Ok(())
            }
        }
    }

    /// A peer has said what it wants.
    fn consider(&mut self, guest: Guest, hello: Hello) -> Result<(), PeerError> {
        if let Err(difference) = self.agree(&hello) {
            Leaving::told(guest.channel, &self.other()?).until_gone(PATIENCE_WITH_THE_LEAVING)?;
            return Err(difference);
        }
        if self.is_due(&hello) {
            return self.take_in(guest, hello);
        }
        let why = format!("its {:?} is not due", hello.connection);
        self.turn_away(guest, &why, &framed(&Answer::NotDue)?);
        Ok(())
    }

    fn agree(&self, hello: &Hello) -> Result<(), PeerError> {
        self.told.agree(&hello.terms)?;
        if hello.side == self.terms.side { Err(PeerError::SameSide(hello.side)) } else { Ok(()) }
    }

    /// Whether a pair of these terms has this connection, and this attempt does not have it yet: the link comes first.
    fn is_due(&self, hello: &Hello) -> bool {
        let attempt = self.attempts.iter().find(|attempt| attempt.pairing == hello.pairing);
        match (hello.connection, attempt) {
            (Connection::Link, attempt) => attempt.is_none(),
            (_, None) => false,
            (other, Some(attempt)) => {
                self.terms.connections().contains(&other)
                    && attempt.run == hello.run
                    && attempt.others.iter().all(|(connection, _)| *connection != other)
            }
        }
    }

    /// Takes a connection that is due into its attempt.
    fn take_in(&mut self, mut guest: Guest, hello: Hello) -> Result<(), PeerError> {
        if let Err(error) = guest.channel.say(&framed(&Answer::Accepted)?) {
            self.turn_away(guest, &error, &[]);
            return Ok(());
        }
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.pairing == hello.pairing);
        match attempt {
            Some(attempt) => attempt.others.push((hello.connection, guest.channel)),
            None => self.begin(guest, hello),
        }
        Ok(())
    }

    fn begin(&mut self, guest: Guest, hello: Hello) {
        if self.attempts.len() == AT_ONCE_MAX {
            let oldest = self.attempts.remove(0);
            self.note(oldest.from, &"other peers came before its last word");
        }
        self.attempts.push(Attempt {
            run: hello.run,
            pairing: hello.pairing,
            from: guest.from,
            since: Instant::now(),
            link: guest.channel,
            others: Vec::new(),
            last: Incoming::default(),
        });
    }

    /// Hears every peer's last word, and lets those be who do not come to it.
    fn hear_attempts(&mut self) -> Result<Option<Met>, PeerError> {
        for mut attempt in std::mem::take(&mut self.attempts) {
            match attempt.last.advance(&mut attempt.link) {
                Ok(true) => match attempt.last.word() {
                    Ok(Last::Begin) if attempt.has_all(self.terms) => return attempt.met().map(Some),
                    Ok(Last::Begin) => self.note(attempt.from, &"it begins without all of its connections"),
                    Err(error) => self.note(attempt.from, &error),
                },
                Ok(false) if attempt.since.elapsed() < PATIENCE => self.attempts.push(attempt),
                Ok(false) => self.note(attempt.from, &"its last word has not come in time"),
                Err(lost) => self.note(attempt.from, &lost),
            }
        }
        Ok(None)
    }

    /// Somebody has taken too long.
    fn give_up(&mut self, guest: Guest) {
        let bytes = guest.hello.bytes().len();
        let why = format!("{bytes} bytes of a hello have come in {} s", PATIENCE.as_secs());
        self.turn_away(guest, &why, &[]);
    }

    /// A peer of another format, which knows ours when it sees it.
    fn other_format(&self, guest: Guest, theirs: u8) -> Result<(), PeerError> {
        Leaving::told(guest.channel, &self.other()?).until_gone(PATIENCE_WITH_THE_LEAVING)?;
        Err(PeerError::differs("the format of the hello", &FORMAT.to_string(), &theirs.to_string()))
    }

    /// What this side is, for whoever is something else.
    fn other(&self) -> Result<Vec<u8>, PeerError> {
        Ok(framed(&Answer::Other(self.terms.side, self.told.clone()))?)
    }

    fn turn_away(&mut self, guest: Guest, why: &dyn fmt::Display, words: &[u8]) {
        self.note(guest.from, why);
        if self.leaving.len() < AT_ONCE_MAX {
            let until = Instant::now() + PATIENCE_WITH_THE_LEAVING;
            self.leaving.push((Leaving::told(guest.channel, words), until));
        }
    }

    fn note(&mut self, from: String, why: &dyn fmt::Display) {
        (self.note)(Stranger { from, why: why.to_string() });
    }
}

impl Attempt {
    fn has_all(&self, terms: &Terms) -> bool {
        terms.connections().len() == 1 + self.others.len()
    }

    fn met(self) -> Result<Met, PeerError> {
        let channels = std::iter::once((Connection::Link, self.link)).chain(self.others);
        Met::new(self.run, self.from, channels.collect())
    }
}
