//! Where a manager listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use proxystore_core::{Error, ErrorKind, Result};

/// The longest address, in bytes.
const MAX: usize = 512;

/// Where a manager listens: `unix:/path` or `tls://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket, made with mode 0600 in a directory of mode 0700.
    Unix(PathBuf),
    /// TLS 1.3 over TCP.
    Tls(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tls(place) => write!(f, "tls://{place}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(ErrorKind::Config, why)
                .with("address", text)
                .hint("write unix:/path or tls://host:port")
        };
        if text.len() > MAX {
            return Err(Error::new(ErrorKind::TooLarge, "an address of more than 512 bytes"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(bad("a socket without a path"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let place = text.strip_prefix("tls://").ok_or_else(|| bad("an unknown kind of address"))?;
        let port = place.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        match port.map(str::parse::<u16>) {
            Some(Ok(_)) => Ok(Self::Tls(place.into())),
            _ => Err(bad("an address without host or port")),
        }
    }
}
