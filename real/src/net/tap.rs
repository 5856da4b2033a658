//! A TAP device as a port of the switch: at its other end is a network interface of the kernel, with whatever addresses and
//! namespace somebody gives it. To make one takes root, or a device that was made for this user before.

use super::port::Received;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

const DEVICE: &str = "/dev/net/tun";

/// The longest name that an interface can have.
const MAX_NAME_BYTES: usize = libc::IFNAMSIZ - 1;

ioctl_iow_nr!(TUNSETIFF, 0x54, 202, libc::c_int);

/// A TAP device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The name is none that an interface can have.
    #[error(
        "{name:?} is no name of an interface: it must have from 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.'"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// There is no such device, or no right to it.
    #[error("{DEVICE} cannot be opened: {0}; load the tun module (modprobe tun), or run as root")]
    Open(#[source] io::Error),
    /// The kernel refuses.
    #[error(
        "the TAP device {name} cannot be had: {source}; run as root, or make it for this user before \
         (ip tuntap add {name} mode tap user NAME); and let nobody else have it"
    )]
    Attach {
        /// What was asked for.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A TAP device; it is gone with this value, unless it was made persistent before.
#[derive(Debug)]
pub struct Tap(OwnedFd);

impl Tap {
    /// Makes the device of this name, or takes it, if it was made for this user.
    pub fn new(name: &str) -> Result<Self, TapError> {
        let request = request(name).ok_or_else(|| TapError::Name { name: name.to_owned() })?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = open(DEVICE, flags, Mode::empty()).map_err(|error| TapError::Open(error.into()))?;
        // SAFETY: the kernel reads, and writes, the one structure that this request is for, and it is one.
        let result = unsafe { ioctl_with_ref(&device, TUNSETIFF(), &request) };
        if result < 0 {
            return Err(TapError::Attach { name: name.to_owned(), source: io::Error::last_os_error() });
        }
        Ok(Self(device))
    }

    /// Puts a frame on the device; whether it took it.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        // An interface that is down takes nothing, nor does one whose queue is full: the frame is lost.
        matches!(rustix::io::write(&self.0, frame), Ok(bytes) if bytes == frame.len())
    }

    /// Takes a frame from the device. One that fills the buffer may be longer.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Ok(0) => return Received::Gone,
                Ok(bytes) => return Received::Frame(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Received::Nothing,
                Err(_) => return Received::Gone,
            }
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What the kernel is asked: frames, with nothing in front of them.
fn request(name: &str) -> Option<libc::ifreq> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // A percent sign would be a number that the kernel chooses.
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_name) {
        return None;
    }
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: i16::try_from(flags).ok()? };
    Some(libc::ifreq { ifr_name, ifr_ifru })
}

#[cfg(test)]
mod tests;
