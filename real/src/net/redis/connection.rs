//! A connection to a service that speaks the Redis protocol (RESP 2), with one request open at a time. What comes is checked
//! before it is believed.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest line that is taken.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// The longest value that is taken.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A word, as `OK` is one.
    Word(String),
    /// What is wrong.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value; none, if there is none.
    Bulk(Option<Vec<u8>>),
}

impl Value {
    /// The number that it is, or that is written there; 0, if there is nothing.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Bulk(None) => Some(0),
            Self::Bulk(Some(bytes)) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            Self::Word(_) | Self::Error(_) => None,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct RedisConnection(BufReader<TcpStream>);

impl RedisConnection {
    /// Connects; an answer is waited for so long.
    pub fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Value> {
        let mut request = Vec::new();
        write!(request, "*{}\r\n", words.len())?;
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
        self.0.get_mut().write_all(&request)?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| wrong(&line));
        match line.split_at_checked(1) {
            Some(("+", word)) => Ok(Value::Word(word.to_owned())),
            Some(("-", error)) => Ok(Value::Error(error.to_owned())),
            Some((":", text)) => Ok(Value::Integer(number(text)?)),
            Some(("$", "-1")) => Ok(Value::Bulk(None)),
            Some(("$", text)) => self.bulk(usize::try_from(number(text)?).map_err(|_| wrong(&line))?),
            _ => Err(wrong(&line)),
        }
    }

    fn bulk(&mut self, bytes: usize) -> io::Result<Value> {
        if bytes > MAX_VALUE_BYTES {
            return Err(wrong(&format!("a value of {bytes} bytes")));
        }
        let mut value = vec![0; bytes + 2];
        self.0.read_exact(&mut value)?;
        if value.split_off(bytes) != *b"\r\n" {
            return Err(wrong("a value without its end"));
        }
        Ok(Value::Bulk(Some(value)))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.0).take(MAX_LINE_BYTES).read_line(&mut line)?;
        if line.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| wrong(&line))
    }
}

fn wrong(what: &str) -> io::Error {
    let what: String = what.chars().take(100).collect();
    io::Error::new(ErrorKind::InvalidData, format!("{what:?} is no answer of this protocol"))
}
