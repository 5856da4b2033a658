//! What no checkpoint can be faster than: copying its pages, and sending them.

use crate::sample::Sample;
use std::error::Error;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

const PAGE: usize = 4096;
/// The most parts of one write.
const MAX_PARTS: usize = 1024;
/// How much is read at once, bytes.
const READ_BYTES: usize = 1 << 20;
/// How often each limit is measured in a turn.
const TIMES: usize = 7;

/// Memory of a guest's size, a buffer, and a socket whose other end takes everything.
pub(crate) struct Limits {
    memory: Vec<u8>,
    buffer: Vec<u8>,
    socket: UnixStream,
    /// Copying, microseconds.
    pub(crate) copy: Sample,
    /// Sending until all has arrived, microseconds.
    pub(crate) transfer: Sample,
}

impl Limits {
    pub(crate) fn new(pages: u64) -> io::Result<Self> {
        let bytes = usize::try_from(pages).map_err(io::Error::other)? * PAGE;
        let (socket, other) = UnixStream::pair()?;
        // Not zero: such pages are the kernel's, and all the same.
        let (memory, buffer) = (vec![1; bytes], vec![2; bytes]);
        // It ends when the socket is closed.
        std::thread::spawn(move || take(other, bytes));
        Ok(Self { memory, buffer, socket, copy: Sample::default(), transfer: Sample::default() })
    }

    /// Measures both with so many pages, spread over the memory as evenly as that goes.
    pub(crate) fn measure(&mut self, pages: usize) -> Result<(), Box<dyn Error>> {
        let step = (self.memory.len() / PAGE / pages.max(1)).max(1);
        let scattered: Vec<&[u8]> = self.memory.chunks_exact(PAGE).step_by(step).take(pages).collect();
        for _ in 0..TIMES {
            let begun = Instant::now();
            for (to, from) in self.buffer.chunks_exact_mut(PAGE).zip(&scattered) {
                to.copy_from_slice(from);
            }
            std::hint::black_box(&mut self.buffer);
            self.copy.add(u64::try_from(begun.elapsed().as_micros())?);
            let begun = Instant::now();
            send(&mut self.socket, &scattered)?;
            self.transfer.add(u64::try_from(begun.elapsed().as_micros())?);
        }
        Ok(())
    }
}

/// Says how much comes, sends it from where it is, and waits for the word that it has come.
fn send(socket: &mut UnixStream, pages: &[&[u8]]) -> io::Result<()> {
    socket.write_all(&(pages.len() as u64).to_le_bytes())?;
    for chunk in pages.chunks(MAX_PARTS) {
        let mut parts: Vec<_> = chunk.iter().map(|page| IoSlice::new(page)).collect();
        let mut left = parts.as_mut_slice();
        while !left.is_empty() {
            let count = socket.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, count);
        }
    }
    socket.read_exact(&mut [0])
}

/// Takes what comes, until nobody sends any more.
fn take(mut socket: UnixStream, bytes: usize) -> io::Result<()> {
    // They stay where they are read to, as those of a checkpoint do until it is whole.
    let mut buffer = vec![1; bytes];
    loop {
        let mut pages = [0; 8];
        socket.read_exact(&mut pages)?;
        let mut left = usize::try_from(u64::from_le_bytes(pages)).map_err(io::Error::other)? * PAGE;
        let mut free = buffer.as_mut_slice();
        while left > 0 {
            let most = left.min(free.len()).min(READ_BYTES);
            match socket.read(&mut free[..most])? {
                0 => return Ok(()),
                count => {
                    left -= count;
                    free = &mut free[count..];
                }
            }
        }
        socket.write_all(&[1])?;
    }
}
