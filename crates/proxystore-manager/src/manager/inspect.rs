//! For those who look after a manager.

use super::{Manager, Place};
use crate::error::RemoteError;
use crate::frame::Ask;
use crate::id::ObjectId;
use crate::server::{Inspected, ObjectInfo};

impl Manager {
    /// The objects that are alive, page by page: those after the last one of the page before, in the order in which
    /// they were made. An empty page is the end.
    pub async fn page(&self, after: Option<ObjectId>) -> Result<Vec<ObjectInfo>, RemoteError> {
        match &self.0 {
            Place::Home(running) => Ok(running.0.page(after)),
            Place::Away(client) | Place::Child(client, _) => self.value(client, Ask::Page { after }).await,
        }
    }

    /// An object by its number, with all rights: whoever has the authkey may use any. `ObjectGone` if there is none.
    pub async fn inspect(&self, object: ObjectId) -> Result<Inspected, RemoteError> {
        match &self.0 {
            Place::Home(running) => running.0.inspect(object),
            Place::Away(client) | Place::Child(client, _) => {
                self.value(client, Ask::Inspect { object }).await
            }
        }
    }
}
