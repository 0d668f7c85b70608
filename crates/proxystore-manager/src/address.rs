//! Where a manager listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use proxystore_core::{Error, ErrorKind, Result};

use crate::id::ManagerId;

/// The longest address, in bytes.
const MAX: usize = 512;

/// Where a manager listens: `unix:/path`, `tls://<manager>@host:port`, or `tcp+insecure://localhost:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket, made with mode 0600 in a directory of mode 0700.
    Unix(PathBuf),
    /// TLS 1.3 over TCP.
    #[non_exhaustive]
    Tls {
        /// Who answers there. Whoever dials has to know; whoever listens says it.
        manager: Option<ManagerId>,
        /// The host and the port.
        place: String,
    },
    /// TCP, on this machine alone: whoever can listen in reads everything but the authkey.
    Insecure(String),
}

impl Address {
    /// The manager that it names.
    pub(crate) fn manager(&self) -> Option<ManagerId> {
        match self {
            Self::Tls { manager, .. } => *manager,
            Self::Unix(_) | Self::Insecure(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tls { manager: Some(manager), place } => write!(f, "tls://{manager}@{place}"),
            Self::Tls { manager: None, place } => write!(f, "tls://{place}"),
            Self::Insecure(place) => write!(f, "tcp+insecure://{place}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(ErrorKind::Config, why)
                .with("address", text)
                .hint("write unix:/path or tls://host:port, with <manager>@ before the host to connect to it")
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
        let place = |place: &str| {
            let (host, port) = place.rsplit_once(':').unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            let legal = !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok();
            legal.then(|| place.to_owned()).ok_or_else(|| bad("an address without host or port"))
        };
        if let Some(rest) = text.strip_prefix("tcp+insecure://") {
            return place(rest).map(Self::Insecure);
        }
        let rest = text.strip_prefix("tls://").ok_or_else(|| bad("an unknown kind of address"))?;
        let Some((manager, rest)) = rest.split_once('@') else {
            return Ok(Self::Tls { manager: None, place: place(rest)? });
        };
        Ok(Self::Tls { manager: Some(manager.parse()?), place: place(rest)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let manager = ManagerId::of(b"m");
        for text in [
            "unix:/run/me",
            "tls://localhost:0",
            &format!("tls://{manager}@[::1]:65535"),
            "tcp+insecure://127.0.0.1:80",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("unix:/{}", "a".repeat(512));
        for text in [
            "",
            "unix:",
            "tls://",
            "tls://host",
            "tls://:1",
            "tls://host:65536",
            "tls://host name:1",
            "tls://me@host:1",
            "tcp://localhost:1",
            "tcp+insecure://user@localhost:1",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
