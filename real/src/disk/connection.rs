//! The connection of the two disks: the primary's writes go over it, each answered when the secondary has it.
//!
//! It is of its own, as QEMU's NBD connection is, and shares the link's fate: a node that cuts, closes or does not hear its
//! link does the same to this ([`Control`]). The primary's guest waits for answers for as long as the node has its end of the
//! link, whatever has become of the other end. So as long as there is a pair, nothing that the guest holds for written is
//! missing on the secondary; and when the node has closed the link nobody waits any more.

use super::device::NodeDisk;
use super::frame::{self, ANSWER_BYTES, REQUEST_MAX, Request};
use crate::link::{Link, Moved};
use crate::pace::Pace;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the node has said of the connection.
#[derive(Clone, Copy, Default, Debug)]
struct State {
    /// The node has closed its end: nobody waits any more.
    closed: bool,
    /// Nothing comes over it, also not that it has ended.
    deaf: bool,
    /// Nothing goes over it.
    unheard: bool,
    /// Neither before then.
    stalled_until: Option<Instant>,
}

impl State {
    /// How much longer nothing goes and nothing comes.
    fn stalls_for(&self) -> Option<Duration> {
        let left = self.stalled_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// The node's hold on its end of the connection, which another thread uses.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Readable when the state has changed.
    changed: OwnedFd,
    /// The same sockets that the threads use: the connection, and the link, which ends with it if it is broken.
    connection: Link,
    link: Link,
}

/// What a wait has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waited {
    /// The socket is ready, or may be.
    Ready,
    /// The node has closed its end.
    Closed,
}

impl Control {
    fn new(connection: &Link, link: &Link) -> io::Result<Self> {
        let changed = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let state = Mutex::default();
        let (connection, link) = (connection.another(), link.another());
        Ok(Self { shared: Arc::new(Shared { state, changed, connection, link }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: what a panic leaves is whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        // It fails only at 2^64 - 1 unread changes.
        let _ = rustix::io::write(&self.shared.changed, &1_u64.to_ne_bytes());
    }

    /// The node's end is closed, with its end of the link.
    pub(crate) fn close(&self) {
        self.shared.connection.shut_down(Shutdown::Both);
        self.change(|state| state.closed = true);
    }

    /// The connection is cut, and what has not been read from it is lost.
    pub(crate) fn cut(&self) {
        self.shared.connection.shut_down(Shutdown::Both);
        self.change(|state| (state.deaf, state.unheard) = (true, true));
    }

    /// What is sent goes nowhere from now on, and its end comes behind what was sent.
    pub(crate) fn half_close(&self) {
        self.shared.connection.shut_down(Shutdown::Write);
        self.change(|state| state.unheard = true);
    }

    /// Nothing comes any more.
    pub(crate) fn deafen(&self) {
        self.change(|state| state.deaf = true);
    }

    /// Nothing comes and nothing goes until then.
    pub(crate) fn stall(&self, until: Instant) {
        self.change(|state| state.stalled_until = Some(until));
    }

    /// What comes makes no sense: there is no pair with such a peer. The link ends, for both to see.
    fn is_broken(&self) {
        self.shared.link.shut_down(Shutdown::Both);
        self.cut();
    }

    fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Waits until the socket is ready for this, or the node has closed its end.
    fn wait(&self, wanted: PollFlags) -> Waited {
        loop {
            let state = *self.state();
            if state.closed {
                return Waited::Closed;
            }
            let hears_of_it = if wanted == PollFlags::IN { !state.deaf } else { !state.unheard };
            let stalls_for = state.stalls_for();
            let mut polled = vec![PollFd::from_borrowed_fd(self.shared.changed.as_fd(), PollFlags::IN)];
            if hears_of_it && stalls_for.is_none() {
                polled.push(PollFd::from_borrowed_fd(self.shared.connection.as_fd(), wanted));
            }
            // A signal may end it early: then it looks again.
            let _ = poll(&mut polled, stalls_for.map(timespec).as_ref());
            if polled.get(1).is_some_and(|socket| !socket.revents().is_empty()) {
                return Waited::Ready;
            }
            let _ = rustix::io::read(&self.shared.changed, &mut [0; 8]);
        }
    }

    /// Waits until then, or until the node has closed its end.
    fn wait_until(&self, then: Instant) -> Waited {
        loop {
            let left = then.saturating_duration_since(Instant::now());
            match self.is_closed() {
                true => return Waited::Closed,
                false if left.is_zero() => return Waited::Ready,
                false => {}
            }
            let mut polled = [PollFd::from_borrowed_fd(self.shared.changed.as_fd(), PollFlags::IN)];
            // A signal may end it early: then it looks again.
            let _ = poll(&mut polled, Some(&timespec(left)));
            let _ = rustix::io::read(&self.shared.changed, &mut [0; 8]);
        }
    }

    /// Waits until the node closes its end: over this one nothing can come any more.
    fn wait_for_the_end(&self) {
        self.change(|state| (state.deaf, state.unheard) = (true, true));
        self.wait(PollFlags::IN);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Reads or writes, whichever `step` does, until it has done as much as `wanted`; false when the node has closed its end.
/// At the end of the connection that is what it waits for.
fn carry(control: &Control, ready: PollFlags, wanted: usize, mut step: impl FnMut(usize) -> Moved) -> bool {
    let mut done = 0;
    while done < wanted {
        if control.wait(ready) == Waited::Closed {
            return false;
        }
        match step(done) {
            Moved::Bytes(count) => done += count,
            Moved::WouldBlock => {}
            Moved::Gone => {
                control.wait_for_the_end();
                return false;
            }
        }
    }
    true
}

/// The primary's end.
#[derive(Debug)]
pub(crate) struct Sender {
    connection: Link,
    control: Control,
    sequence: u64,
    /// How fast it takes what is sent, if it is slow.
    pace: Option<Pace>,
}

impl Sender {
    /// The end of a connection that goes with this link; it takes so many bytes a second, if it is slow.
    pub(crate) fn new(connection: Link, link: &Link, rate: Option<u64>) -> io::Result<Self> {
        let control = Control::new(&connection, link)?;
        let pace = rate.map(|rate| Pace::new(rate, Instant::now()));
        Ok(Self { connection, control, sequence: 0, pace })
    }

    /// Waits until so many bytes may leave; false when the node has closed its end.
    fn keeps_pace(&mut self, bytes: usize) -> bool {
        let Some(pace) = &mut self.pace else { return true };
        while pace.room(Instant::now()) == 0 {
            if self.control.wait_until(pace.room_at()) == Waited::Closed {
                return false;
            }
        }
        pace.take(bytes);
        true
    }

    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Asks, and waits for the answer, or until the node has closed its end. How many bytes have gone. (A secondary that could
    /// not do it will say so at its next checkpoint, as in QEMU, where a quorum goes on with the disk that works.)
    pub(super) fn ask(&mut self, request: Request<'_>) -> usize {
        self.sequence += 1;
        let bytes = frame::encode(self.sequence, request);
        if self.control.is_closed() || !self.keeps_pace(bytes.len()) {
            return 0;
        }
        let Self { connection, control, sequence, .. } = self;
        if !carry(control, PollFlags::OUT, bytes.len(), |from| {
            connection.write(&[IoSlice::new(&bytes[from..])])
        }) {
            return 0;
        }
        let mut answer = [0; ANSWER_BYTES];
        if carry(control, PollFlags::IN, ANSWER_BYTES, |from| connection.read(&mut answer[from..]))
            && frame::parse_answer(&answer, *sequence).is_err()
        {
            control.is_broken();
            control.wait_for_the_end();
        }
        bytes.len()
    }
}

/// The secondary's end.
#[derive(Debug)]
pub(crate) struct Receiver {
    connection: Link,
    control: Control,
}

impl Receiver {
    /// The end of a connection that goes with this link.
    pub(crate) fn new(connection: Link, link: &Link) -> io::Result<Self> {
        let control = Control::new(&connection, link)?;
        Ok(Self { connection, control })
    }

    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Gives the disk what comes, on a thread of its own, until the node closes its end: what the secondary has to do besides
    /// does not hold the primary's guest up. The thread has begun when this returns: what the kernel must do for it to begin
    /// may be refused to it later.
    pub(crate) fn start(mut self, disk: Arc<NodeDisk>) {
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Who started it waits for that.
            let _ = begun.send(());
            self.work(&disk);
        });
        // It fails when the thread could not begin: then it panicked, and said so.
        let _ = begins.recv();
    }

    fn work(&mut self, disk: &NodeDisk) {
        let mut pending = Vec::with_capacity(REQUEST_MAX);
        let mut room = vec![0; REQUEST_MAX];
        while self.read(&mut room, &mut pending) {
            if let Err(answer) = self.answer_all(&mut pending, disk)
                && answer == Ended::Broken
            {
                self.control.is_broken();
                self.control.wait_for_the_end();
            }
        }
    }

    /// Reads some more; false when the node has closed its end.
    fn read(&mut self, room: &mut [u8], pending: &mut Vec<u8>) -> bool {
        let (mut come, connection) = (0, &mut self.connection);
        let goes_on = carry(&self.control, PollFlags::IN, 1, |_| {
            let moved = connection.read(room);
            if let Moved::Bytes(count) = moved {
                come = count;
            }
            moved
        });
        pending.extend_from_slice(&room[..come]);
        goes_on
    }

    /// Does and answers what is there whole.
    fn answer_all(&mut self, pending: &mut Vec<u8>, disk: &NodeDisk) -> Result<(), Ended> {
        let mut used = 0;
        while let Some((sequence, request, length)) =
            frame::decode(&pending[used..]).map_err(|_| Ended::Broken)?
        {
            if self.control.is_closed() {
                return Err(Ended::Closed);
            }
            let answer = frame::answer(sequence, disk.receive(request));
            let Self { connection, control } = self;
            if !carry(control, PollFlags::OUT, ANSWER_BYTES, |from| {
                connection.write(&[IoSlice::new(&answer[from..])])
            }) {
                return Err(Ended::Closed);
            }
            used += length;
        }
        pending.drain(..used);
        Ok(())
    }
}

/// Why there is nothing more to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// The node has closed its end.
    Closed,
    /// What came makes no sense.
    Broken,
}

#[cfg(test)]
mod tests;
