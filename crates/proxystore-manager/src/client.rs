//! The client's side: one session per manager, over whatever connection there is at the time.

mod dial;
mod link;
mod pulls;
mod session;

pub(crate) use dial::{Client, Dialer, Stream, dialer};
pub(crate) use pulls::Pulls;
pub(crate) use session::Session;
