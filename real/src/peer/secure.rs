//! A socket with TLS on it, before and in a tunnel: bytes in and out, never waiting.

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg};
use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::OwnedFd;

/// What may wait to be sent, encrypted, bytes.
const OUTGOING_BYTES_MAX: usize = 256 << 10;

/// A socket with TLS on it.
#[derive(Debug)]
pub(super) struct Secure {
    pub(super) socket: OwnedFd,
    pub(super) tls: Connection,
}

impl Secure {
    pub(super) fn new(socket: OwnedFd, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(OUTGOING_BYTES_MAX));
        Self { socket, tls }
    }

    /// Sends what is to be sent, as far as there is room for it. Whether all of it has been.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Raw(&self.socket)) {
                Ok(_) => (),
                Err(error) if is_early(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes in what was read from the socket, as much of it as there is room for.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let taken = self.tls.read_tls(&mut bytes)?;
        self.understand()?;
        Ok(taken)
    }

    /// Takes in what is there to be read from the socket, or its end.
    fn take_from_socket(&mut self) -> io::Result<()> {
        self.tls.read_tls(&mut Raw(&self.socket))?;
        self.understand()
    }

    /// Decrypts what has been taken in. What is wrong with it, the peer is told.
    fn understand(&mut self) -> io::Result<()> {
        if let Err(error) = self.tls.process_new_packets() {
            // An alert; whoever does not take it does not hear it.
            let _ = self.flush();
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(())
    }

    /// Reads what is there; 0 at an end that the peer has told, an error of kind `UnexpectedEof` at any other.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Who cannot be told anything any more may have said why.
            let told = self.flush();
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                read => return read,
            }
            match self.take_from_socket() {
                Err(error) if is_early(&error) => return told.and(Err(error)),
                taken => taken?,
            }
        }
    }

    /// Writes, and sends as much of it as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tls.writer().write(bytes)?;
        self.flush()?;
        Ok(written)
    }

    /// Says that nothing more is written.
    pub(super) fn end(&mut self) {
        self.tls.send_close_notify();
        // It fails when the other end has gone: then there is nobody to tell.
        let _ = self.flush();
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }
}

/// A socket's bytes as they are.
pub(super) struct Raw<'a>(pub(super) &'a OwnedFd);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buffer, RecvFlags::empty())?.0)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(sendmsg(self.0, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether there is only nothing yet, or no room yet.
pub(super) fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
