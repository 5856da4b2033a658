//! Descriptors that go over a control channel beside its words: the harness opens and connects what a node needs, and
//! hands it over, so that a node has nothing to open or to connect to.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The most descriptors that are handed over at once; the kernel closes what comes beyond.
const MAX_AT_ONCE: usize = 4;

/// Room for so many in the kernel's form.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_AT_ONCE));

/// Writes bytes, the first of which bring descriptors with them.
pub(crate) fn write_with(stream: &mut UnixStream, bytes: &[u8], handed: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let fits = handed.len() <= MAX_AT_ONCE
        && (handed.is_empty() || beside.push(SendAncillaryMessage::ScmRights(handed)));
    if !fits {
        return Err(io::Error::other(format!("{} descriptors at once, at most {MAX_AT_ONCE}", handed.len())));
    }
    let flags = SendFlags::NOSIGNAL;
    let written =
        rustix::io::retry_on_intr(|| sendmsg(&*stream, &[IoSlice::new(bytes)], &mut beside, flags))?;
    stream.write_all(bytes.get(written..).unwrap_or_default())
}

/// The reading end of a channel: bytes, and what was handed over beside them, in its order.
#[derive(Debug)]
pub(crate) struct Receiving {
    stream: UnixStream,
    handed: VecDeque<OwnedFd>,
}

impl Receiving {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, handed: VecDeque::new() }
    }

    /// What has been handed over first of what nobody has taken.
    pub(crate) fn taken(&mut self) -> Option<OwnedFd> {
        self.handed.pop_front()
    }
}

impl Read for Receiving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let read = recvmsg(&self.stream, &mut [IoSliceMut::new(buffer)], &mut beside, flags)?.bytes;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.handed.extend(descriptors);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_handed_over_comes_in_its_order_with_the_bytes() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let (mut first, handed_first) = UnixStream::pair().unwrap();
        let (mut second, handed_second) = UnixStream::pair().unwrap();
        write_with(&mut here, b"no", &[]).unwrap();
        write_with(&mut here, b"two", &[handed_first.as_fd(), handed_second.as_fd()]).unwrap();
        drop((here, handed_first, handed_second));
        let mut receiving = Receiving::new(there);
        let mut bytes = Vec::new();
        receiving.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"notwo");
        for (mine, word) in [(&mut first, b"first "), (&mut second, b"second")] {
            mine.write_all(word).unwrap();
            let mut read = [0; 6];
            UnixStream::from(receiving.taken().unwrap()).read_exact(&mut read).unwrap();
            assert_eq!(&read, word);
        }
        assert!(receiving.taken().is_none());
    }

    #[test]
    fn more_than_fit_are_not_handed_over() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let many = [there.as_fd(); MAX_AT_ONCE + 1];
        assert_eq!(
            write_with(&mut here, b"x", &many).unwrap_err().to_string(),
            "5 descriptors at once, at most 4"
        );
    }
}
