//! The stores in the memory of this process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use object_store::memory::InMemory;
use proxystore_core::{Error, ErrorKind, Id, Origin, Result};

/// All of them, by name. They live as long as the process.
static SPACES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// Tells this process from all others.
pub(crate) fn process_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| match Id::random() {
        Ok(id) => id.to_string(),
        // Without randomness, the process number tells processes apart as far as it goes.
        Err(_) => std::process::id().to_string(),
    });
    &ID
}

/// The store of this name; a reference makes none.
pub(crate) fn named(name: &str, process: Option<&str>, origin: Origin) -> Result<Arc<InMemory>> {
    if process.is_some_and(|process| process != process_id()) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a `memory://` object lives in the process that put it, and this is another one",
        )
        .hint("use file://, redis:// or a bucket to reach other processes"));
    }
    let mut spaces = SPACES.lock().unwrap_or_else(PoisonError::into_inner);
    if origin == Origin::Reference && !spaces.contains_key(name) {
        return Err(Error::new(ErrorKind::Unregistered, "no such store in memory is open in this process"));
    }
    Ok(spaces.entry(name.into()).or_default().clone())
}
