//! The decoder of hellos without a connection, for fuzzing.

use super::terms::Terms;
use super::words::{Incoming, framed};

/// What came of bytes that somebody says first.
#[derive(Debug)]
pub struct Heard {
    /// How many of them were taken.
    pub taken: usize,
    /// The hello, written anew; none yet; or what is wrong.
    pub hello: Result<Option<Vec<u8>>, String>,
    /// In what it differs from these terms, if it has come and does.
    pub difference: Option<String>,
}

/// Hears what somebody says first, in portions of at most so many bytes.
pub fn hear_hello(bytes: &[u8], portion: usize, terms: &Terms) -> Heard {
    let mut incoming = Incoming::default();
    let mut rest = bytes;
    let whole = loop {
        match incoming.wanted() {
            Err(error) => break Err(error.to_string()),
            Ok(0) => break Ok(true),
            Ok(_) if rest.is_empty() => break Ok(false),
            Ok(wanted) => {
                let (now, later) = rest.split_at(wanted.min(portion.max(1)).min(rest.len()));
                incoming.take(now);
                rest = later;
            }
        }
    };
    let mut difference = None;
    let hello = whole.and_then(|whole| {
        let hello = whole.then(|| incoming.hello()).transpose().map_err(|error| error.to_string())?;
        let Some(hello) = hello else { return Ok(None) };
        difference = terms.told().agree(&hello.terms).err().map(|error| error.to_string());
        framed(&hello).map(Some).map_err(|error| error.to_string())
    });
    Heard { taken: bytes.len() - rest.len(), hello, difference }
}
