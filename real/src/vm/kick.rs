//! Getting a vCPU's thread out of the guest, from another thread.
//!
//! A kick sets a flag, then signals the thread if it is inside [`Machine::run`](super::Machine::run). The handler runs
//! on that thread and sets `immediate_exit` in the `kvm_run` page that the thread has announced, so that a signal
//! between the look at the flag and `KVM_RUN` is not lost. In every order of events either the flag is seen before
//! entry, or `KVM_RUN` returns at once. A kick is sticky: one that comes between two runs ends the next run.
//!
//! The signal is `SIGRTMIN`, without `SA_RESTART`. One that arrives just after the run can interrupt a blocking call of
//! the same thread: such calls there must expect `EINTR`.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use libc::{c_int, c_void, siginfo_t};
use vmm_sys_util::errno;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::{Error, Result};

thread_local! {
    /// The `immediate_exit` byte of the vCPU that this thread is running, or null. No destructor, no lazy
    /// initialisation: a signal handler may use it.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// What a vCPU and its kickers share.
#[derive(Debug, Default)]
struct Shared {
    wanted: AtomicBool,
    /// The thread inside `run`, 0 when none is.
    thread: AtomicI32,
}

/// Ends the run of one machine; can be cloned and sent to other threads, and may outlive the machine.
#[derive(Clone, Debug)]
pub struct Kicker(Arc<Shared>);

impl Kicker {
    /// Makes the machine's current run, or else its next, end with `Exit::Kicked`. Kicks before that run's end are one.
    pub fn kick(&self) {
        self.0.wanted.store(true, Ordering::SeqCst);
        let thread = self.0.thread.load(Ordering::SeqCst);
        if thread != 0 {
            signal_thread(thread);
        }
    }
}

/// The vCPU's side of the kick.
#[derive(Debug)]
pub(super) struct KickTarget(Arc<Shared>);

impl KickTarget {
    /// Sets up the process-wide handler on first use.
    pub(super) fn new() -> Result<Self> {
        static HANDLER: OnceLock<std::result::Result<(), errno::Error>> = OnceLock::new();
        let signal = SIGRTMIN();
        let set_up = HANDLER.get_or_init(|| register_signal_handler(signal, handle_kick));
        set_up.map_err(|error| Error::KickSignal { signal, source: error.into() })?;
        Ok(Self(Arc::default()))
    }

    pub(super) fn kicker(&self) -> Kicker {
        Kicker(Arc::clone(&self.0))
    }

    /// Whether a kick has come since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.wanted.swap(false, Ordering::SeqCst)
    }

    /// Announces that this thread is about to run the vCPU with this `immediate_exit` byte, until the guard is dropped.
    pub(super) fn arm(&self, immediate_exit: *mut u8) -> Armed {
        IMMEDIATE_EXIT.set(immediate_exit);
        // SAFETY: the call takes nothing and cannot fail.
        self.0.thread.store(unsafe { libc::gettid() }, Ordering::SeqCst);
        Armed(Arc::clone(&self.0))
    }
}

/// While it lives, kicks are signalled to this thread.
pub(super) struct Armed(Arc<Shared>);

impl Drop for Armed {
    fn drop(&mut self) {
        self.0.thread.store(0, Ordering::SeqCst);
        IMMEDIATE_EXIT.set(ptr::null_mut());
    }
}

/// Sends the kick signal to a thread of this process; one that has ended meanwhile needs none.
fn signal_thread(thread: i32) {
    // SAFETY: the call takes numbers only; in this process the signal has a handler, which is harmless on any thread.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGRTMIN()) };
}

/// Makes the `KVM_RUN` that this thread is in, or is about to be in, return.
extern "C" fn handle_kick(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let immediate_exit = IMMEDIATE_EXIT.get();
    if !immediate_exit.is_null() {
        // SAFETY: `arm` announced the byte on this very thread; it lies in the vCPU's `kvm_run` mapping, which
        // outlives the guard that takes the announcement back.
        unsafe { immediate_exit.write_volatile(1) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A signal that a thread sends to itself is delivered before the call returns, so this needs no waiting.
    #[test]
    fn a_kick_reaches_the_byte_while_armed_and_the_flag_always() {
        let target = KickTarget::new().unwrap();
        let mut byte = 0_u8;
        let immediate_exit = &raw mut byte;
        let armed = target.arm(immediate_exit);
        target.kicker().kick();
        // SAFETY: the byte lives on this stack, and its only other user is the handler, on this thread.
        assert_eq!(unsafe { immediate_exit.replace(0) }, 1);
        assert!(target.take());
        assert!(!target.take());
        drop(armed);
        target.kicker().kick();
        // A signal that comes late, when the run is over.
        // SAFETY: the call takes nothing and cannot fail.
        signal_thread(unsafe { libc::gettid() });
        assert_eq!(byte, 0);
        assert!(target.take());
    }
}
