//! A build that knows no stores.

use std::convert::Infallible;
use std::time::Duration;

use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::Reply;
use crate::object::Outcome;
use crate::value::Encoded;

/// What a client says of itself: nothing.
pub(crate) const FEATURES: u32 = 0;

/// There is none.
#[derive(Clone)]
pub(crate) struct Offload(Infallible);

impl Offload {
    pub(crate) fn takes(&self, _: &Encoded, _: u32) -> bool {
        match self.0 {}
    }

    pub(crate) async fn put(&self, _: Encoded, _: &Context, _: Duration) -> Option<Vec<u8>> {
        match self.0 {}
    }
}

/// `DialRefused`, always.
pub(crate) async fn snapshot(
    _: impl Future<Output = Outcome>,
    _: Vec<u8>,
    _: Context,
) -> Result<Encoded, RemoteError> {
    Err(RemoteError::new(
        RemoteErrorKind::DialRefused,
        "the manager's build knows no stores: feature `store`",
    ))
}

/// What is not in a store is returned.
pub(crate) async fn fetch(reply: Reply) -> Result<Reply, RemoteError> {
    match reply {
        Reply::Offloaded(_) => {
            Err(RemoteError::new(RemoteErrorKind::Encode, "the result is in a store: this build knows none"))
        }
        reply => Ok(reply),
    }
}
