//! What the two harnesses say to each other before their nodes speak: three messages, each in a frame.
//!
//! A frame is the magic `COLO`, the format's number (one byte), the length of what follows (four bytes, big-endian), and
//! so much JSON. Lengths are bounds to check, never sizes to allocate; nothing behind a frame is read with it, for on a
//! plain connection the node's own bytes follow.

use super::terms::{Connection, Told};
use colo_protocol::NodeName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How every frame begins.
const MAGIC: [u8; 4] = *b"COLO";

/// The only format that there is so far. A peer of another is told apart by this number, whatever else it says.
pub(super) const FORMAT: u8 = 1;

/// Magic, format, length.
const HEAD_BYTES: usize = 9;

/// The longest text of a frame, bytes; a hello has about 1,500.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// The most terms that are listened to; there are about thirty.
const TERMS_MAX: usize = 256;

/// How much of what is wrong with a text is told, characters.
const TOLD_CHARS_MAX: usize = 200;

/// The first words of whoever has connected, once on each connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    /// Which of the pair's connections this is.
    pub(super) connection: Connection,
    /// Which service it is: the same in all attempts, for the arbiter.
    pub(super) run: Identity,
    /// What the connections of one attempt have in common, and nobody else can know.
    pub(super) pairing: Identity,
    /// Which side speaks.
    pub(super) side: NodeName,
    /// Its terms.
    pub(super) terms: Told,
}

/// What the listener answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// The connection is the peer's.
    Accepted,
    /// It is not of one mind with who has connected: here is what it is, and what it has.
    Other(NodeName, Told),
    /// The connection is not due.
    NotDue,
}

/// The last word, on the link, when all connections have been accepted. Whoever has not heard it has not met anybody:
/// what connected may have died long ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Last {
    /// The nodes may speak.
    Begin,
}

/// 128 random bits, written as 32 digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Identity(String);

impl Identity {
    /// A new one.
    pub(super) fn random() -> std::io::Result<Self> {
        let mut bits = [0; 16];
        let mut filled = 0;
        while let Some(rest) = bits.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += rustix::io::retry_on_intr(|| {
                rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())
            })?;
        }
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }
}

impl TryFrom<String> for Identity {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 32 && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err("an identity that is not 32 hexadecimal digits")
        }
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.0
    }
}

/// What is no word of a peer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum WordError {
    /// Somebody speaks TLS to whoever has no keys.
    #[error("it speaks TLS, and there are no keys here")]
    Tls,
    /// Not the magic.
    #[error("its first bytes are {}, expected \"COLO\"", .0.escape_ascii())]
    Magic(Vec<u8>),
    /// A peer, but of another format.
    #[error("its hello has format {0}, expected {FORMAT}")]
    Format(u8),
    /// Too long, or empty.
    #[error("it announces a text of {0} bytes, expected from 1 to {TEXT_BYTES_MAX}")]
    Length(u32),
    /// Not the text that is due.
    #[error("its text cannot be read: {0}")]
    Text(String),
    /// More terms than any side has.
    #[error("it has {0} terms, expected at most {TERMS_MAX}")]
    Terms(usize),
}

/// A word in its frame.
pub(super) fn framed(word: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let text = serde_json::to_vec(word)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= TEXT_BYTES_MAX);
    let length = length.ok_or_else(|| std::io::Error::other(format!("a word of {} bytes", text.len())))?;
    Ok([&MAGIC[..], &[FORMAT], &length.to_be_bytes(), &text].concat())
}

/// Bytes of a frame as they come: it says how many more it wants, never more than it is sure of.
#[derive(Debug, Default)]
pub(super) struct Incoming(Vec<u8>);

impl Incoming {
    /// Takes bytes that have come: no more than it wanted.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What has come so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes are missing: none if the frame is whole. An error, as soon as it is clear that this is no frame.
    pub(super) fn wanted(&self) -> Result<usize, WordError> {
        self.check_begin()?;
        let Some(head) = self.0.first_chunk::<HEAD_BYTES>() else { return Ok(HEAD_BYTES - self.0.len()) };
        let [.., a, b, c, d] = *head;
        let length = u32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            Ok(text @ 1..=TEXT_BYTES_MAX) => Ok((HEAD_BYTES + text).saturating_sub(self.0.len())),
            _ => Err(WordError::Length(length)),
        }
    }

    /// That what has come so far is how a frame begins.
    fn check_begin(&self) -> Result<(), WordError> {
        let begin = &self.0[..self.0.len().min(MAGIC.len())];
        if !MAGIC.starts_with(begin) {
            // A record of TLS: a handshake, or an alert, of any version.
            let is_tls = matches!(self.0[..], [0x15 | 0x16] | [0x15 | 0x16, 3, ..]);
            return Err(if is_tls { WordError::Tls } else { WordError::Magic(begin.to_vec()) });
        }
        match self.0.get(MAGIC.len()) {
            Some(&format) if format != FORMAT => Err(WordError::Format(format)),
            _ => Ok(()),
        }
    }

    /// The word of a frame that is whole.
    pub(super) fn word<T: DeserializeOwned>(&self) -> Result<T, WordError> {
        let text = self.0.get(HEAD_BYTES..).unwrap_or_default();
        // What serde says may quote what came: bounded, and nothing that steers a terminal.
        let told =
            |error: serde_json::Error| error.to_string().chars().take(TOLD_CHARS_MAX).collect::<String>();
        serde_json::from_slice(text).map_err(|error| WordError::Text(told(error).escape_debug().to_string()))
    }

    /// The hello of a frame that is whole.
    pub(super) fn hello(&self) -> Result<Hello, WordError> {
        let hello: Hello = self.word()?;
        match hello.terms.count() {
            0..=TERMS_MAX => Ok(hello),
            count => Err(WordError::Terms(count)),
        }
    }
}
