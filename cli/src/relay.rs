//! `colo relay`: a network between two hosts that goes wrong when it is told.

use crate::report::{Exit, Failure, print};
use colo_real::host::{Relay, RelayCommand};
use std::io::BufRead;
use std::net::{SocketAddr, TcpListener};

/// The longest line of commands, bytes.
const MAX_LINE_BYTES: u64 = 1 << 10;

/// Relay TCP connections between two hosts: delay, stall or cut them, as commands on stdin say.
///
/// The commands, a line each: delay MILLISECONDS (each way), stall (nothing leaves, nothing is lost), go, and cut (close all
/// connections). It ends with its input.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where it relays to.
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let bad = |error: std::io::Error| Failure::Environment(format!("{}: {error}", arguments.listen));
    let listener = TcpListener::bind(arguments.listen).map_err(bad)?;
    let relay = Relay::start(listener, arguments.to).map_err(bad)?;
    print(&format!("relay        {} to {}\n", relay.address(), arguments.to))?;
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = String::new();
        let read = std::io::Read::take(&mut input, MAX_LINE_BYTES).read_line(&mut line);
        match read {
            Ok(0) => return Ok(Exit::Holds),
            Ok(_) if line.trim().is_empty() => {}
            Ok(_) => match line.parse::<RelayCommand>() {
                Ok(command) => {
                    relay.tell(command);
                    print(&format!("done         {}\n", line.trim()))?;
                }
                Err(problem) => eprintln!("colo: {problem}"),
            },
            Err(error) => return Err(Failure::Input(format!("the commands cannot be read: {error}"))),
        }
    }
}
