//! A build without TLS: nobody has an identity, and no address is reached by it.

use std::convert::Infallible;
use std::io;

use proxystore_core::Result;
use tokio::net::TcpStream;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::ManagerId;

/// There is none.
#[derive(Clone)]
pub(crate) struct Identity(Infallible);

/// There is none.
#[derive(Clone)]
pub(crate) struct Acceptor(Infallible);

impl Acceptor {
    pub(crate) fn new(identity: &Identity) -> Result<Self> {
        match identity.0 {}
    }

    pub(crate) async fn accept(&self, _: TcpStream) -> io::Result<(TcpStream, Vec<u8>)> {
        match self.0 {}
    }
}

/// `DialRefused`, always.
pub(crate) async fn connect(_: TcpStream, manager: ManagerId) -> Result<(TcpStream, Vec<u8>), RemoteError> {
    let why = "this build has no TLS; build it with the feature `tls`";
    Err(RemoteError::new(RemoteErrorKind::DialRefused, why).of_manager(manager))
}
