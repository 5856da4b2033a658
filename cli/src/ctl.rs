//! `colo ctl`: what a manager asks of a side that runs, over its control socket. The names there are QEMU's, so that a QEMU
//! can be asked, too.

mod keys;

use crate::report::{Exit, Failure, print, print_json};
use colo_real::host::{Command, MonitorError, execute};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Manage the sides of a pair on two hosts: their keys, and what is asked of them, or of a QEMU, over a control socket.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make the keys by which the two sides of a pair know each other that run on different hosts.
    Keys(keys::Arguments),
    /// How it stands with COLO (query-colo-status).
    Status(Socket),
    /// Take the peer for dead, and go on alone (x-colo-lost-heartbeat). Whoever asks for that has to be sure.
    Failover(Socket),
    /// Take a checkpoint now (xen-colo-do-checkpoint).
    Checkpoint(Socket),
    /// Change the time between checkpoints, at once (migrate-set-parameters x-checkpoint-delay).
    SetDelay {
        /// Milliseconds.
        delay_ms: u32,
        #[command(flatten)]
        socket: Socket,
    },
    /// Have the guest power off (`system_powerdown`).
    Shutdown(Socket),
    /// End this side at once, as if it were killed (quit).
    Quit(Socket),
}

#[derive(clap::Args)]
struct Socket {
    /// The side's control socket, as `colo run --control` has made it; or a QEMU's, made by -qmp.
    #[arg(long, value_name = "PATH")]
    control: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (command, socket) = match &arguments.action {
        Action::Keys(arguments) => return keys::run(arguments),
        Action::Status(socket) => (Command::Status, socket),
        Action::Failover(socket) => (Command::Failover, socket),
        Action::Checkpoint(socket) => (Command::Checkpoint, socket),
        Action::SetDelay { delay_ms, socket } => (Command::SetDelay(*delay_ms), socket),
        Action::Shutdown(socket) => (Command::Shutdown, socket),
        Action::Quit(socket) => (Command::Quit, socket),
    };
    ask(socket, command)
}

fn ask(socket: &Socket, command: Command) -> Result<Exit, Failure> {
    match execute(&socket.control, command) {
        Ok(returned) if socket.json => {
            print_json(&json!({ "schema": 1, "command": command.qemu_name(), "return": returned }))?;
            Ok(Exit::Holds)
        }
        Ok(returned) => {
            print(&told(command, &returned))?;
            Ok(Exit::Holds)
        }
        Err(error @ MonitorError::Refused { .. }) => {
            eprintln!("colo: {error}");
            Ok(Exit::Violated)
        }
        Err(error) => Err(Failure::Environment(error.to_string())),
    }
}

/// What came back, a line for each of its fields.
fn told(command: Command, returned: &Value) -> String {
    let fields = returned.as_object().filter(|fields| !fields.is_empty());
    let Some(fields) = fields else { return format!("{:<22} done\n", command.qemu_name()) };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{name:<12} {}", plain(value));
        out
    })
}
