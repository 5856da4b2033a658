//! A guest for tests: a TCP/IP stack in a thread, behind a node's port, with a service for each way of ending.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::net::endpoints::Endpoint;
use crate::net::port::PortEnd;
use crate::net::stack::{Stack, StackPort};
use crate::net::switch::Switch;
use crate::net::waking::{Waker, interest, wait};
use rustix::event::{PollFd, PollFlags};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Sends back what comes, and closes when the client does.
pub(super) const ECHO: u16 = 7;
/// Says goodbye and closes at once, and hears on.
pub(super) const GOODBYE: u16 = 8;
/// Resets the connection when something comes.
pub(super) const RESET: u16 = 9;
/// Takes what comes, never.
pub(super) const DEAF: u16 = 10;

/// Connections that there can be to each service at the same time.
const SOCKETS: usize = 8;

/// A guest that runs until it is dropped.
pub(super) struct TestGuest {
    waker: Waker,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TestGuest {
    pub(super) fn start(switch: &Switch) -> Self {
        let port = StackPort::guest(PortEnd::new(switch.node_port().unwrap()), 0);
        let (waker, is_over) = (Waker::new().unwrap(), Arc::new(AtomicBool::new(false)));
        let (heard, ends) = (waker.clone(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || serve(Stack::new(Endpoint::GUEST, port, 66), &heard, &ends));
        Self { waker, is_over, thread: Some(thread) }
    }
}

impl Drop for TestGuest {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(mut stack: Stack, waker: &Waker, is_over: &AtomicBool) {
    let services = [ECHO, GOODBYE, RESET, DEAF];
    let sockets: Vec<(u16, SocketHandle)> =
        services.into_iter().flat_map(|port| [port; SOCKETS]).map(|port| (port, stack.socket())).collect();
    // They listen before anybody is heard.
    let answer_all = |stack: &mut Stack| {
        let answered = sockets.iter().map(|(port, handle)| answer(*port, stack.tcp(*handle)));
        answered.fold(false, |any, one| any | one)
    };
    answer_all(&mut stack);
    while !is_over.load(Ordering::Relaxed) {
        while stack.poll() | answer_all(&mut stack) {}
        let at_most = stack.can_wait().map(|delay| delay.min(Duration::from_secs(1)));
        let end = &stack.port.end;
        let mut fds = [PollFd::new(waker, PollFlags::IN), PollFd::new(end, interest(end.has_waiting()))];
        wait(&mut fds, at_most).unwrap();
        waker.hear();
    }
}

/// Does what the service at this port does; whether it did anything.
fn answer(port: u16, socket: &mut Socket<'_>) -> bool {
    if !socket.is_open() || socket.state() == State::TimeWait {
        socket.abort();
        socket.listen(port).unwrap();
        return true;
    }
    match port {
        ECHO => echo(socket),
        GOODBYE if socket.state() == State::Established => {
            socket.send_slice(b"goodbye").unwrap();
            socket.close();
            true
        }
        GOODBYE => socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok(),
        RESET if socket.can_recv() => {
            socket.abort();
            true
        }
        _ => false,
    }
}

fn echo(socket: &mut Socket<'_>) -> bool {
    let mut buffer = [0; 4096];
    let mut moved = 0;
    while socket.can_recv() && socket.can_send() {
        let room = (socket.send_capacity() - socket.send_queue()).min(buffer.len());
        let bytes = socket.recv_slice(&mut buffer[..room]).unwrap();
        assert_eq!(socket.send_slice(&buffer[..bytes]), Ok(bytes));
        moved += bytes;
    }
    if socket.state() == State::CloseWait && !socket.can_recv() {
        socket.close();
        moved += 1;
    }
    moved > 0
}
