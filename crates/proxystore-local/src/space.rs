//! The maps of this process, and what is in one of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Id, Key, Mode, Payload, Result};
use tokio::time::Instant;

use crate::watch::Watchers;

/// One map of objects.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) name: String,
    objects: Mutex<Objects>,
    pub(crate) watchers: Watchers,
}

#[derive(Default)]
struct Objects {
    by_key: HashMap<Key, Object>,
    by_expiry: BTreeSet<(Instant, Key)>,
}

struct Object {
    value: Payload,
    expires: Option<Instant>,
}

impl Space {
    /// The objects, after those whose time is over are gone.
    fn objects(&self) -> MutexGuard<'_, Objects> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if !objects.by_expiry.is_empty() {
            let now = Instant::now();
            while objects.by_expiry.first().is_some_and(|(expires, _)| *expires <= now) {
                if let Some((_, key)) = objects.by_expiry.pop_first() {
                    objects.by_key.remove(&key);
                }
            }
        }
        objects
    }

    pub(crate) fn put(&self, key: &Key, value: Payload, mode: Mode, ttl: Option<Duration>) -> Result<()> {
        let mut objects = self.objects();
        if mode == Mode::Create && objects.by_key.contains_key(key) {
            return Err(Error::new(ErrorKind::Exists, "the key is taken"));
        }
        let replaced = objects.insert(key, Object { value, expires: ttl.and_then(expiry) });
        drop(objects);
        // To free a large object takes a while, which nobody else is to wait for.
        drop(replaced);
        self.watchers.wake(key);
        Ok(())
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Payload> {
        self.objects().by_key.get(key).map(|object| object.value.clone())
    }

    pub(crate) fn exists(&self, key: &Key) -> bool {
        self.objects().by_key.contains_key(key)
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<Payload> {
        self.objects().remove(key).map(|object| object.value)
    }

    pub(crate) fn touch(&self, key: &Key, ttl: Duration) -> bool {
        let mut objects = self.objects();
        let Some(object) = objects.remove(key) else { return false };
        objects.insert(key, Object { expires: expiry(ttl), ..object });
        true
    }

    pub(crate) fn clear(&self) {
        *self.objects() = Objects::default();
    }
}

/// When `ttl` is over; `None` for a time beyond the clock's range.
fn expiry(ttl: Duration) -> Option<Instant> {
    Instant::now().checked_add(ttl)
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects", self.by_key.len())
    }
}

impl Objects {
    /// Gives the object that was there.
    fn insert(&mut self, key: &Key, object: Object) -> Option<Object> {
        let expires = object.expires;
        let replaced = self.by_key.insert(key.clone(), object);
        if let Some(expires) = replaced.as_ref().and_then(|replaced| replaced.expires) {
            self.by_expiry.remove(&(expires, key.clone()));
        }
        if let Some(expires) = expires {
            self.by_expiry.insert((expires, key.clone()));
        }
        replaced
    }

    fn remove(&mut self, key: &Key) -> Option<Object> {
        let object = self.by_key.remove(key)?;
        if let Some(expires) = object.expires {
            self.by_expiry.remove(&(expires, key.clone()));
        }
        Some(object)
    }
}

/// A random id of this process: local references of other processes are told apart by it.
pub(crate) fn process_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| match Id::random() {
        Ok(id) => id.to_string(),
        // Without randomness, the process number tells processes apart as far as it goes.
        Err(_) => std::process::id().to_string(),
    });
    &ID
}

/// A named space stays to the end of the process; one without a name of its own, as long as somebody holds it.
#[derive(Debug)]
enum Held {
    Named(Arc<Space>),
    Anonymous(Weak<Space>),
}

static SPACES: LazyLock<Mutex<HashMap<String, Held>>> = LazyLock::new(Mutex::default);

fn spaces() -> MutexGuard<'static, HashMap<String, Held>> {
    SPACES.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn named(name: &str) -> Arc<Space> {
    let new = || Arc::new(Space { name: name.into(), ..Space::default() });
    match spaces().entry(name.into()) {
        Entry::Occupied(mut entry) => match entry.get() {
            Held::Named(space) => space.clone(),
            Held::Anonymous(space) => {
                let space = space.upgrade().unwrap_or_else(new);
                entry.insert(Held::Named(space.clone()));
                space
            }
        },
        Entry::Vacant(entry) => {
            let space = new();
            entry.insert(Held::Named(space.clone()));
            space
        }
    }
}

pub(crate) fn existing(name: &str) -> Option<Arc<Space>> {
    match spaces().get(name)? {
        Held::Named(space) => Some(space.clone()),
        Held::Anonymous(space) => space.upgrade(),
    }
}

pub(crate) fn anonymous() -> Result<Arc<Space>> {
    let space = Arc::new(Space { name: Id::random()?.to_string(), ..Space::default() });
    let mut spaces = spaces();
    spaces.retain(|_, held| !matches!(held, Held::Anonymous(space) if space.strong_count() == 0));
    spaces.insert(space.name.clone(), Held::Anonymous(Arc::downgrade(&space)));
    Ok(space)
}
