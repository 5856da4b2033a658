//! Clients of a service that speaks the Redis protocol, over connections of the kernel: what each asks and is answered is
//! recorded, and judged when it is over. They know nothing of the machines behind the service.
//!
//! ```text
//!   connection   a connection, and the protocol
//!   tickets      what is asked next
//!   record       what was asked and answered
//!   outcome      what becomes of it: what was lost, what was doubled, whether there is an order
//! ```
//!
//! Half of the requests increment a few counters that all share: no value is given twice, and in the end a counter is what was
//! acknowledged. The other half goes to keys that are each asked for a few times only, at the same time by whoever comes, so
//! that the tester of `colo-oracle` looks at all of it.

mod connection;
mod outcome;
mod record;
mod tickets;

pub use connection::{RedisConnection, Value};
pub use outcome::{RedisOutcome, RedisViolation};

use record::{Client, Records};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tickets::Tickets;

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub struct RedisLoad {
    /// Connections, each with one request open.
    pub connections: u32,
    /// Counters that they share.
    pub counters: u64,
    /// What is asked is drawn from this, and keys are named for it.
    pub seed: u64,
    /// How long an answer is waited for; then the connection counts as broken.
    pub patience: Duration,
}

impl Default for RedisLoad {
    fn default() -> Self {
        Self { connections: 8, counters: 3, seed: 0, patience: Duration::from_mins(1) }
    }
}

/// Clients that ask, until they are told to finish.
pub struct RedisClients {
    load: RedisLoad,
    address: SocketAddr,
    records: Arc<Records>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Client>>,
}

impl RedisClients {
    /// Connects all, and lets them ask.
    pub fn start(address: SocketAddr, load: RedisLoad) -> io::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(RedisConnection::connect(address, load.patience)?);
        }
        let tickets = Arc::new(Tickets::new(load.seed, load.counters, load.connections));
        if let Some(connection) = connections.first_mut() {
            for counter in 0..load.counters {
                connection.ask(&["DEL", &tickets.counter_name(counter)])?;
            }
        }
        let (records, is_over) = (Arc::new(Records::default()), Arc::new(AtomicBool::new(false)));
        let mut clients = Self { load, address, records, is_over, threads: Vec::new() };
        for (number, connection) in (0..).zip(connections) {
            let (tickets, records) = (Arc::clone(&tickets), Arc::clone(&clients.records));
            let is_over = Arc::clone(&clients.is_over);
            let work = move || {
                let mut client = Client::new(number, connection);
                while !is_over.load(Ordering::Relaxed) && client.exchange(&tickets, &records) {}
                client
            };
            clients.threads.push(Builder::new().name(format!("redis {number}")).spawn(work)?);
        }
        Ok(clients)
    }

    /// Asks nothing more, waits for what is open, and judges. An error is a client that has panicked.
    pub fn finish(mut self) -> io::Result<RedisOutcome> {
        let threads = std::mem::take(&mut self.threads);
        self.is_over.store(true, Ordering::Relaxed);
        let clients: Result<Vec<Client>, _> = threads.into_iter().map(JoinHandle::join).collect();
        let mut clients = clients.map_err(|_| io::Error::other("a client has panicked"))?;
        let tickets = Tickets::new(self.load.seed, self.load.counters, self.load.connections);
        let finals = self.finals(&mut clients, &tickets);
        Ok(RedisOutcome::judge(clients, &self.records, finals))
    }

    /// What the counters are in the end: asked over a connection that there is still, or over a new one.
    fn finals(&self, clients: &mut [Client], tickets: &Tickets) -> io::Result<Vec<u64>> {
        let mut new = None;
        let connection = match clients.iter_mut().find_map(|client| client.connection.as_mut().ok()) {
            Some(connection) => connection,
            None => new.insert(RedisConnection::connect(self.address, self.load.patience)?),
        };
        let mut values = Vec::new();
        for counter in 0..self.load.counters {
            let answer = connection.ask(&["GET", &tickets.counter_name(counter)])?;
            let value =
                answer.number().ok_or_else(|| io::Error::other(format!("a counter is {answer:?}")))?;
            values.push(value);
        }
        Ok(values)
    }
}

impl Drop for RedisClients {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
