//! Which arbiter, in the form that it has on the command line: `file:DIRECTORY` or `etcd:ENDPOINT`.

use super::{Arbiter, FileArbiter};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// What there is to choose from.
const EXPECTED: &str = "expected file:DIRECTORY, on storage that both nodes share, or etcd:HOST:PORT";

/// An arbiter outside of the harness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArbiterAddress {
    /// A directory on shared storage.
    File(PathBuf),
    /// An etcd server: its host and port.
    #[cfg(feature = "etcd")]
    Etcd(String),
}

/// No arbiter's address.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct AddressError(String);

impl ArbiterAddress {
    /// The arbiter itself. Whether it answers is seen when it is asked.
    pub fn arbiter(&self) -> Box<dyn Arbiter> {
        match self {
            Self::File(directory) => Box::new(FileArbiter::new(directory.clone())),
            #[cfg(feature = "etcd")]
            Self::Etcd(server) => Box::new(super::EtcdArbiter::new(server)),
        }
    }

    /// Which arbiter it is, in words that both hosts have in common: a directory may be mounted elsewhere on each.
    pub fn in_words(&self) -> String {
        match self {
            Self::File(_) => "file".to_owned(),
            #[cfg(feature = "etcd")]
            Self::Etcd(_) => self.to_string(),
        }
    }

    /// That what can be known before anybody asks is as it should be: a directory is there.
    ///
    /// # Errors
    /// It is not.
    pub fn expect_there(&self) -> Result<(), AddressError> {
        let is_there = match self {
            Self::File(directory) => directory.is_dir(),
            #[cfg(feature = "etcd")]
            Self::Etcd(_) => true,
        };
        let missing =
            || AddressError(format!("{self}: there is no such directory, expected one that exists"));
        is_there.then_some(()).ok_or_else(missing)
    }
}

impl FromStr for ArbiterAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("file" | "etcd", "")) | None => Err(AddressError(EXPECTED.to_owned())),
            Some(("file", directory)) => Ok(Self::File(directory.into())),
            Some(("etcd", endpoint)) => etcd(endpoint),
            Some((other, _)) => Err(AddressError(format!("there is no arbiter \"{other}\", {EXPECTED}"))),
        }
    }
}

#[cfg(feature = "etcd")]
fn etcd(endpoint: &str) -> Result<ArbiterAddress, AddressError> {
    if endpoint.starts_with("https:") {
        let problem = "etcd over TLS is not spoken here, expected etcd:HOST:PORT or etcd:http://HOST:PORT";
        return Err(AddressError(problem.to_owned()));
    }
    let server = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let server = server.strip_suffix('/').unwrap_or(server);
    let parts = server.rsplit_once(':').filter(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    match parts {
        Some(_) => Ok(ArbiterAddress::Etcd(server.to_owned())),
        None => Err(AddressError(format!(
            "\"{}\" is no endpoint of etcd, expected HOST:PORT or http://HOST:PORT",
            endpoint.escape_debug()
        ))),
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
#[cfg(feature = "etcd")]
fn is_host(host: &str) -> bool {
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bracketed.map_or_else(|| is_plain(host), |host| host.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(not(feature = "etcd"))]
fn etcd(_: &str) -> Result<ArbiterAddress, AddressError> {
    Err(AddressError(
        "this colo was built without etcd; cargo build -p colo-cli --features etcd makes one with it"
            .to_owned(),
    ))
}

impl fmt::Display for ArbiterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(directory) => write!(f, "file:{}", directory.display()),
            #[cfg(feature = "etcd")]
            Self::Etcd(server) => write!(f, "etcd:{server}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_as_it_is_written() {
        for path in ["/shared/colo", "relative", "with:colon", "/"] {
            let address: ArbiterAddress = format!("file:{path}").parse().unwrap();
            assert_eq!(address, ArbiterAddress::File(path.into()));
            assert_eq!(address.to_string(), format!("file:{path}"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_says_what_one_is() {
        for text in ["", "file", "file:", "etcd:", "zookeeper:here", "/shared/colo"] {
            let error = text.parse::<ArbiterAddress>().unwrap_err().to_string();
            assert!(error.ends_with(EXPECTED), "{text}: {error}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_known_before_anybody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let there = ArbiterAddress::File(directory.path().to_owned());
        let missing = ArbiterAddress::File(directory.path().join("missing"));
        assert_eq!(there.expect_there(), Ok(()));
        assert!(
            missing.expect_there().unwrap_err().to_string().contains("missing: there is no such directory")
        );
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn an_endpoint_is_a_host_and_a_port_over_plain_http() {
        for (text, server) in [
            ("etcd:localhost:2379", "localhost:2379"),
            ("etcd:http://10.0.0.7:2379", "10.0.0.7:2379"),
            ("etcd:http://[::1]:2379/", "[::1]:2379"),
        ] {
            assert_eq!(text.parse(), Ok(ArbiterAddress::Etcd(server.to_owned())));
        }
        for text in
            ["etcd:localhost", "etcd:a:b", "etcd::2379", "etcd:http://a:1/v3", "etcd:u@h:1", "etcd:[1]:2"]
        {
            let error = text.parse::<ArbiterAddress>().unwrap_err().to_string();
            assert!(error.contains("no endpoint of etcd, expected HOST:PORT"), "{text}: {error}");
        }
        let error = "etcd:https://a:1".parse::<ArbiterAddress>().unwrap_err().to_string();
        assert!(error.contains("TLS is not spoken here"), "{error}");
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn without_etcd_it_is_said_how_to_come_by_it() {
        let error = "etcd:localhost:2379".parse::<ArbiterAddress>().unwrap_err().to_string();
        assert!(error.contains("--features etcd"), "{error}");
    }
}
