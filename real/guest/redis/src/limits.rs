//! How much of what there may be, in a memory of a given size: what the service holds never needs more than there is.

use crate::request::REQUEST_BYTES_MAX;

/// Bytes that a connection holds back of what it has received, in the stack.
pub(crate) const RECEIVE_BYTES: usize = 16 << 10;
/// Bytes that a connection holds of what it has sent and of which nobody has said that it came, in the stack.
pub(crate) const TRANSMIT_BYTES: usize = 32 << 10;
/// Bytes of answers that wait for room in the stack, before a connection goes on with the next request.
pub(crate) const WAITING_BYTES: usize = 16 << 10;

/// The most that a connection can hold: its buffers in the stack, a request, and answers with the last that began to wait, in
/// room that grows by doubling.
const CONNECTION_BYTES: usize =
    RECEIVE_BYTES + TRANSMIT_BYTES + REQUEST_BYTES_MAX + 2 * (WAITING_BYTES + REQUEST_BYTES_MAX);

/// How many connections there may be at most, however much memory there is.
const CONNECTIONS_MAX: usize = 128;

/// What may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of keys and values, with what it costs to keep each.
    pub store_bytes: usize,
}

impl Limits {
    /// What fits into a heap of so many bytes: up to a half for connections, and of the rest a half for keys and values. What
    /// is left is for what an allocator wastes.
    pub fn of_heap(bytes: usize) -> Self {
        let connections = (bytes / 2 / CONNECTION_BYTES).clamp(1, CONNECTIONS_MAX);
        let rest = bytes.saturating_sub(connections * CONNECTION_BYTES);
        Self { connections, store_bytes: rest / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_fit_into_the_heap_that_they_are_for() {
        for mib in 1..=256 {
            let heap = mib << 20;
            let limits = Limits::of_heap(heap);
            assert!(limits.connections >= 1);
            assert!(
                limits.connections * CONNECTION_BYTES + 2 * limits.store_bytes <= heap,
                "{mib} MiB: {limits:?}"
            );
        }
    }

    #[test]
    fn a_usual_machine_has_all_the_connections_that_there_may_be() {
        assert_eq!(Limits::of_heap(96 << 20).connections, CONNECTIONS_MAX);
    }
}
