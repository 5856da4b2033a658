//! How a thread that polls is told that there is something for it.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What wakes a thread that polls it.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// There is something.
    pub(super) fn wake(&self) {
        // It fails when it has been told so often that once more makes no difference.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// What there was is looked at.
    pub(super) fn hear(&self) {
        // It fails when there was nothing.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for any of these, at most for so long; longer without a bound.
pub(super) fn wait(fds: &mut [PollFd<'_>], at_most: Option<Duration>) -> io::Result<()> {
    let timeout = at_most.and_then(|wait| Timespec::try_from(wait).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What to wait for: always for something to read, and for room if something waits for it.
pub(super) fn interest(has_waiting: bool) -> PollFlags {
    if has_waiting { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
}
