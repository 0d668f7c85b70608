//! What a method may know of the call that runs it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::RemoteError;
use crate::object::Object;
use crate::server::Space;

/// Undoes what a call did, if its result reached nobody.
type Undo = Box<dyn FnOnce() + Send>;

/// The call that runs a method: a parameter `context: &Context` of a method receives it, and is no argument.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    space: Arc<Space>,
    undo: Mutex<Vec<Undo>>,
}

impl Context {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self(Arc::new(Inner { space, undo: Mutex::default() }))
    }

    /// Makes `object` one that proxies reach. It lives as long as somebody has a proxy, or an object does.
    /// `Overloaded` if the manager has as many objects as it may.
    pub fn host<T: Object>(&self, object: T) -> Result<T::Proxy, RemoteError> {
        self.0.space.host(object)
    }

    /// Runs `undo` if the result of this call reaches nobody: the caller was cancelled, or its session ended. So a
    /// queue takes back what it gave away. It runs at most once, on no particular thread, and must not block.
    pub fn on_discard(&self, undo: impl FnOnce() + Send + 'static) {
        self.0.undo.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(undo));
    }

    pub(crate) fn discard(&self) {
        let undo = std::mem::take(&mut *self.0.undo.lock().unwrap_or_else(PoisonError::into_inner));
        // One that panics is told by the panic hook, and stops nothing else.
        undo.into_iter().rev().for_each(|undo| _ = catch_unwind(AssertUnwindSafe(undo)));
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}
