//! What the commands do, and how they are answered: as Redis answers, so far as there is anything to say.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::connection::After;
use crate::reply;
use crate::store::{Store, StoreError, number};

/// What the service has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that there are.
    pub connected_clients: u64,
    /// Connections that there have ever been.
    pub total_connections_received: u64,
    /// Requests that have been answered, refused ones among them.
    pub total_commands_processed: u64,
}

/// A command's arguments, with its name as the first.
type Arguments<'a> = &'a [&'a [u8]];

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) counters: &'a Counters,
    /// The number of the connection.
    pub(crate) connection: u64,
}

/// Does what is asked for, and writes the answer; whether the connection goes on. There is at least one argument.
pub fn execute(
    store: &mut Store,
    counters: &Counters,
    connection: u64,
    arguments: &[&[u8]],
    out: &mut Vec<u8>,
) -> After {
    let Some(name) = arguments.first() else { return After::Stays };
    let name = name.to_ascii_lowercase();
    let Some(command) = COMMANDS.iter().find(|command| command.name.as_bytes() == name) else {
        unknown(arguments, out);
        return After::Stays;
    };
    if arguments.len() < command.least || arguments.len() > command.most {
        wrong_number(command.name, out);
        return After::Stays;
    }
    (command.does)(&mut Asker { store, counters, connection }, arguments, out);
    if command.name == "quit" { After::Ends } else { After::Stays }
}

/// A command.
struct Command {
    name: &'static str,
    /// Arguments that it has at least, its name among them.
    least: usize,
    /// And at most.
    most: usize,
    does: fn(&mut Asker<'_>, Arguments<'_>, &mut Vec<u8>),
}

const ANY: usize = usize::MAX;

/// All commands.
const COMMANDS: &[Command] = &[
    Command { name: "get", least: 2, most: 2, does: get },
    Command { name: "set", least: 3, most: ANY, does: set },
    Command { name: "incr", least: 2, most: 2, does: |asker, of, out| add(asker, of[1], 1, out) },
    Command { name: "decr", least: 2, most: 2, does: |asker, of, out| add(asker, of[1], -1, out) },
    Command { name: "incrby", least: 3, most: 3, does: incrby },
    Command { name: "decrby", least: 3, most: 3, does: decrby },
    Command { name: "del", least: 2, most: ANY, does: del },
    Command { name: "exists", least: 2, most: ANY, does: exists },
    Command { name: "ping", least: 1, most: 2, does: ping },
    Command { name: "echo", least: 2, most: 2, does: |_, of, out| reply::bulk(out, of[1]) },
    Command { name: "dbsize", least: 1, most: 1, does: |asker, _, out| reply::count(out, asker.store.len()) },
    Command { name: "flushall", least: 1, most: 2, does: flushall },
    Command { name: "flushdb", least: 1, most: 2, does: flushall },
    Command { name: "info", least: 1, most: ANY, does: info },
    Command { name: "select", least: 2, most: 2, does: select },
    Command { name: "client", least: 2, most: ANY, does: client },
    Command { name: "command", least: 1, most: ANY, does: command },
    Command { name: "config", least: 2, most: ANY, does: config },
    Command { name: "hello", least: 1, most: ANY, does: hello },
    Command { name: "quit", least: 1, most: ANY, does: |_, _, out| reply::simple(out, "OK") },
];

/// Bytes of a request that are said again where it is refused.
const SAID_BYTES_MAX: usize = 128;

/// What was received, as it can be said in a line.
fn said(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(SAID_BYTES_MAX)];
    bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect()
}

fn unknown(arguments: Arguments<'_>, out: &mut Vec<u8>) {
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", said(arguments[0]));
    for argument in &arguments[1..] {
        if text.len() >= SAID_BYTES_MAX {
            break;
        }
        let _ = write!(text, "'{}' ", said(argument));
    }
    reply::error(out, format_args!("{text}"));
}

fn wrong_number(name: &str, out: &mut Vec<u8>) {
    reply::error(out, format_args!("ERR wrong number of arguments for '{name}' command"));
}

/// A subcommand that there is not.
fn unknown_subcommand(of: Arguments<'_>, out: &mut Vec<u8>) {
    reply::error(out, format_args!("ERR unknown subcommand '{}'.", said(of[1])));
}

fn refused(error: StoreError, out: &mut Vec<u8>) {
    reply::error(out, format_args!("{error}"));
}

fn value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) => reply::bulk(out, value),
        None => reply::nil(out),
    }
}

fn get(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    value(asker.store.get(of[1]), out);
}

/// `SET key value [NX | XX] [GET]`: nothing here expires.
fn set(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    let (key, new) = (of[1], of[2]);
    let is = |word: &str| of[3..].iter().any(|option| option.eq_ignore_ascii_case(word.as_bytes()));
    let (absent, present, old) = (is("NX"), is("XX"), is("GET"));
    if of.len() - 3 != usize::from(absent) + usize::from(present) + usize::from(old) || absent && present {
        return reply::error(out, format_args!("ERR syntax error"));
    }
    let before = asker.store.get(key);
    let wanted = !(absent && before.is_some() || present && before.is_none());
    let from = out.len();
    if old {
        value(before, out);
    } else if wanted {
        reply::simple(out, "OK");
    } else {
        reply::nil(out);
    }
    if wanted && let Err(error) = asker.store.set(key, new) {
        out.truncate(from);
        refused(error, out);
    }
}

fn add(asker: &mut Asker<'_>, key: &[u8], summand: i64, out: &mut Vec<u8>) {
    match asker.store.add(key, summand) {
        Ok(sum) => reply::integer(out, sum),
        Err(error) => refused(error, out),
    }
}

fn incrby(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match number(of[2]) {
        Some(summand) => add(asker, of[1], summand, out),
        None => refused(StoreError::NoNumber, out),
    }
}

fn decrby(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match number(of[2]).map(i64::checked_neg) {
        Some(Some(summand)) => add(asker, of[1], summand, out),
        Some(None) => reply::error(out, format_args!("ERR decrement would overflow")),
        None => refused(StoreError::NoNumber, out),
    }
}

fn del(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    reply::count(out, of[1..].iter().filter(|key| asker.store.remove(key)).count());
}

fn exists(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    reply::count(out, of[1..].iter().filter(|key| asker.store.get(key).is_some()).count());
}

fn ping(_: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match of.get(1) {
        Some(message) => reply::bulk(out, message),
        None => reply::simple(out, "PONG"),
    }
}

fn flushall(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    if of[1..].iter().any(|how| !how.eq_ignore_ascii_case(b"ASYNC") && !how.eq_ignore_ascii_case(b"SYNC")) {
        return reply::error(out, format_args!("ERR syntax error"));
    }
    asker.store.clear();
    reply::simple(out, "OK");
}

/// A part of what there is to be known.
struct Section {
    name: &'static str,
    text: fn(&Asker<'_>) -> String,
}

/// All parts. There is no time in any: two of this service may be asked side by side, and are to say the same.
const SECTIONS: &[Section] = &[
    Section { name: "Server", text: |_| "redis_version:7.0.0\r\nredis_mode:standalone\r\n".into() },
    Section {
        name: "Clients",
        text: |asker| format!("connected_clients:{}\r\n", asker.counters.connected_clients),
    },
    Section {
        name: "Memory",
        text: |asker| {
            format!("used_memory:{}\r\nmaxmemory:{}\r\n", asker.store.bytes(), asker.store.bytes_max())
        },
    },
    Section { name: "Stats", text: stats },
    Section { name: "Replication", text: |_| "role:master\r\nconnected_slaves:0\r\n".into() },
    Section { name: "Keyspace", text: keyspace },
];

fn stats(asker: &Asker<'_>) -> String {
    let Counters { total_connections_received, total_commands_processed, .. } = asker.counters;
    format!(
        "total_connections_received:{total_connections_received}\r\n\
         total_commands_processed:{total_commands_processed}\r\n"
    )
}

fn keyspace(asker: &Asker<'_>) -> String {
    match asker.store.len() {
        0 => String::new(),
        keys => format!("db0:keys={keys},expires=0,avg_ttl=0\r\n"),
    }
}

/// `INFO [section …]`
fn info(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    let all = |word: &[u8]| {
        ["all", "default", "everything"].iter().any(|all| word.eq_ignore_ascii_case(all.as_bytes()))
    };
    let wanted = |name: &str| {
        of.len() == 1 || of[1..].iter().any(|word| all(word) || word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| wanted(section.name)) {
        let gap = if text.is_empty() { "" } else { "\r\n" };
        let _ = write!(text, "{gap}# {}\r\n{}", section.name, (section.text)(asker));
    }
    reply::bulk(out, text.as_bytes());
}

/// There is one database.
fn select(_: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match number(of[1]) {
        Some(0) => reply::simple(out, "OK"),
        Some(_) => reply::error(out, format_args!("ERR DB index is out of range")),
        None => refused(StoreError::NoNumber, out),
    }
}

/// What clients say about themselves is heard, and that is all.
fn client(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match of[1].to_ascii_lowercase().as_slice() {
        b"id" => reply::integer(out, i64::try_from(asker.connection).unwrap_or(i64::MAX)),
        b"getname" => reply::nil(out),
        b"setname" | b"setinfo" => reply::simple(out, "OK"),
        _ => unknown_subcommand(of, out),
    }
}

/// No command is described.
fn command(_: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match of.get(1).map(|word| word.to_ascii_lowercase()).as_deref() {
        Some(b"count") => reply::count(out, COMMANDS.len()),
        _ => reply::array(out, 0),
    }
}

/// `CONFIG GET name`: of the settings that clients ask for, those that say what is so.
fn config(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match (of[1].to_ascii_lowercase().as_slice(), &of[2..]) {
        (b"get", []) => wrong_number("config|get", out),
        (b"get", names) => {
            let maxmemory = format!("{}", asker.store.bytes_max());
            let settings = [("save", ""), ("appendonly", "no"), ("maxmemory", &maxmemory)];
            let is_named = |name: &str| {
                names.iter().any(|named| *named == b"*" || named.eq_ignore_ascii_case(name.as_bytes()))
            };
            let told = || settings.iter().filter(|(name, _)| is_named(name));
            reply::array(out, 2 * told().count());
            for (name, value) in told() {
                reply::bulk(out, name.as_bytes());
                reply::bulk(out, value.as_bytes());
            }
        }
        _ => unknown_subcommand(of, out),
    }
}

/// `HELLO [2 …]`: no other version of the protocol is spoken.
fn hello(asker: &mut Asker<'_>, of: Arguments<'_>, out: &mut Vec<u8>) {
    match of.get(1).map(|version| number(version)) {
        None | Some(Some(2)) => {}
        Some(Some(_)) => return reply::error(out, format_args!("NOPROTO unsupported protocol version")),
        Some(None) => {
            let text = "ERR Protocol version is not an integer or out of range";
            return reply::error(out, format_args!("{text}"));
        }
    }
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    };
    reply::array(out, 14);
    text(out, "server", "redis");
    text(out, "version", "7.0.0");
    reply::bulk(out, b"proto");
    reply::integer(out, 2);
    reply::bulk(out, b"id");
    reply::integer(out, i64::try_from(asker.connection).unwrap_or(i64::MAX));
    text(out, "mode", "standalone");
    text(out, "role", "master");
    reply::bulk(out, b"modules");
    reply::array(out, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// What a store answers to these lines, one after the other.
    fn answers(lines: &[&str]) -> Vec<String> {
        let mut store = Store::new(1 << 20);
        let counters =
            Counters { connected_clients: 2, total_connections_received: 5, total_commands_processed: 9 };
        let answer = |line: &&str| {
            let arguments: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut out = Vec::new();
            execute(&mut store, &counters, 3, &arguments, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        lines.iter().map(answer).collect()
    }

    /// That the lines, one after the other, are answered so.
    fn assert_answers(expected: &[(&str, &str)]) {
        let lines: Vec<&str> = expected.iter().map(|(line, _)| *line).collect();
        for ((line, expected), got) in expected.iter().zip(answers(&lines)) {
            assert_eq!(*expected, got, "{line}");
        }
    }

    #[test]
    fn values_are_kept_and_forgotten() {
        assert_answers(&[
            ("GET a", "$-1\r\n"),
            ("SET a 1", "+OK\r\n"),
            ("get a", "$1\r\n1\r\n"),
            ("EXISTS a a b", ":2\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("DEL a b", ":1\r\n"),
            ("EXISTS a", ":0\r\n"),
            ("SET a 1", "+OK\r\n"),
            ("FLUSHALL", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("FLUSHALL LATER", "-ERR syntax error\r\n"),
        ]);
    }

    #[test]
    fn a_value_is_set_only_where_it_is_wanted() {
        assert_answers(&[
            ("SET a 1 XX", "$-1\r\n"),
            ("SET a 1 nx", "+OK\r\n"),
            ("SET a 2 NX", "$-1\r\n"),
            ("SET a 2 XX GET", "$1\r\n1\r\n"),
            ("SET b 1 GET", "$-1\r\n"),
            ("GET a", "$1\r\n2\r\n"),
            ("SET a 3 NX XX", "-ERR syntax error\r\n"),
            ("SET a 3 NX NX", "-ERR syntax error\r\n"),
            ("SET a 3 EX 10", "-ERR syntax error\r\n"),
        ]);
    }

    #[test]
    fn numbers_are_counted_and_what_is_none_is_not() {
        assert_answers(&[
            ("INCR n", ":1\r\n"),
            ("INCRBY n 41", ":42\r\n"),
            ("DECR n", ":41\r\n"),
            ("DECRBY n 1", ":40\r\n"),
            ("GET n", "$2\r\n40\r\n"),
            ("INCRBY n x", "-ERR value is not an integer or out of range\r\n"),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"),
            ("INCRBY n 9223372036854775807", "-ERR increment or decrement would overflow\r\n"),
            ("SET s text", "+OK\r\n"),
            ("INCR s", "-ERR value is not an integer or out of range\r\n"),
        ]);
    }

    #[test]
    fn clients_hear_what_they_ask_for_at_the_beginning() {
        assert_answers(&[
            ("PING", "+PONG\r\n"),
            ("PING hello", "$5\r\nhello\r\n"),
            ("ECHO hello", "$5\r\nhello\r\n"),
            ("COMMAND", "*0\r\n"),
            ("COMMAND DOCS", "*0\r\n"),
            ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
            ("CONFIG GET other", "*0\r\n"),
            ("CLIENT SETINFO LIB-NAME x", "+OK\r\n"),
            ("CLIENT ID", ":3\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("SELECT 1", "-ERR DB index is out of range\r\n"),
            ("HELLO 3", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
            ("QUIT", "+OK\r\n"),
        ]);
        assert!(answers(&["HELLO 2"])[0].starts_with("*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n"));
    }

    #[test]
    fn what_cannot_be_done_is_said_as_redis_says_it() {
        assert_answers(&[
            ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"),
            ("no\r\nsuch", "-ERR unknown command 'no  such', with args beginning with: \r\n"),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("GET a b", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
            ("CONFIG SET save x", "-ERR unknown subcommand 'SET'.\r\n"),
            ("CLIENT KILL x", "-ERR unknown subcommand 'KILL'.\r\n"),
        ]);
    }

    #[test]
    fn what_is_known_of_the_service_has_its_counters_and_no_time() {
        let info = &answers(&["INFO"])[0];
        for line in ["connected_clients:2", "total_connections_received:5", "total_commands_processed:9"] {
            assert!(info.contains(&(line.to_string() + "\r\n")), "{info}");
        }
        let stats = &answers(&["INFO stats"])[0];
        assert!(stats.contains("# Stats\r\n") && !stats.contains("# Clients"), "{stats}");
        assert!(!info.contains("time") && !info.contains("seconds"), "{info}");
    }

    #[test]
    fn a_full_store_says_how_much_it_keeps() {
        let mut store = Store::new(100);
        let mut out = Vec::new();
        for value in [&b"1"[..], b"12345"] {
            execute(&mut store, &Counters::default(), 1, &[b"SET", b"k", value, b"GET"], &mut out);
        }
        let said = "$-1\r\n-OOM command not allowed when used memory > 'maxmemory', which is 100 bytes\r\n";
        assert_eq!(String::from_utf8_lossy(&out), said);
    }
}
