//! Which objects there are, and why each still is.
//!
//! An object lives while a session holds it, something in this process does (a container, a name, a running call),
//! or a pin has not run out. With the last of these it leaves the table, once, and is dropped outside of the
//! table's lock.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::cell::Cell;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::ObjectId;

/// The objects of a manager.
pub(crate) struct Table {
    state: Mutex<State>,
    /// Set with the state locked, once.
    closed: AtomicBool,
    max_objects: usize,
}

#[derive(Default)]
struct State {
    last: u64,
    objects: HashMap<ObjectId, Entry>,
    pins: BTreeSet<(Instant, ObjectId)>,
}

struct Entry {
    cell: Arc<Cell>,
    /// Sessions that hold it, each once.
    sessions: usize,
    /// [`Local`]s.
    locals: usize,
    pinned: Option<Instant>,
}

/// An object, and why it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its id.
    pub object: ObjectId,
    /// Its type.
    pub typeid: Cow<'static, str>,
    /// The names that it was published under.
    pub names: Vec<String>,
    /// How many sessions hold it.
    pub sessions: usize,
    /// How many holds of the manager's process there are: containers, names, running calls, proxies at home.
    pub locals: usize,
    /// Whether a reference to it may be on its way.
    pub pinned: bool,
}

impl Entry {
    fn info(&self, object: ObjectId) -> ObjectInfo {
        ObjectInfo {
            object,
            typeid: self.cell.typeid.into(),
            names: Vec::new(),
            sessions: self.sessions,
            locals: self.locals,
            pinned: self.pinned.is_some(),
        }
    }
}

impl Table {
    pub(crate) fn new(max_objects: usize) -> Self {
        Self { state: Mutex::default(), closed: AtomicBool::new(false), max_objects }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an object under a fresh id.
    pub(crate) fn insert(self: &Arc<Self>, cell: Cell) -> Result<Local, RemoteError> {
        let cell = Arc::new(cell);
        let mut state = self.state();
        if self.is_closed() {
            return Err(RemoteErrorKind::ShuttingDown.into());
        }
        if state.objects.len() >= self.max_objects {
            let why = format!("it has {} objects, as many as it may", self.max_objects);
            return Err(RemoteError::new(RemoteErrorKind::Overloaded, why));
        }
        state.last += 1;
        let object = ObjectId(state.last);
        state.objects.insert(object, Entry { cell: cell.clone(), sessions: 0, locals: 1, pinned: None });
        drop(state);
        Ok(Local { table: self.clone(), object, cell })
    }

    /// Whether there will be no objects any more.
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A hold of this process.
    pub(crate) fn local(self: &Arc<Self>, object: ObjectId) -> Option<Local> {
        let mut state = self.state();
        let entry = state.objects.get_mut(&object)?;
        entry.locals += 1;
        Some(Local { table: self.clone(), object, cell: entry.cell.clone() })
    }

    /// A session holds the object from now on. `false` if there is none.
    pub(crate) fn hold(&self, object: ObjectId) -> bool {
        self.state().objects.get_mut(&object).map(|entry| entry.sessions += 1).is_some()
    }

    /// A session does not hold the object any more.
    pub(crate) fn release(&self, object: ObjectId) {
        self.change(object, |entry| entry.sessions = entry.sessions.saturating_sub(1));
    }

    /// The object stays until then at least.
    pub(crate) fn pin(&self, object: ObjectId, until: Instant) -> bool {
        let mut state = self.state();
        let State { objects, pins, .. } = &mut *state;
        let Some(entry) = objects.get_mut(&object) else { return false };
        if entry.pinned.is_none_or(|pinned| pinned < until) {
            entry.pinned.replace(until).map(|pinned| pins.remove(&(pinned, object)));
            pins.insert((until, object));
        }
        true
    }

    /// Takes off the pins that have run out.
    pub(crate) fn sweep(&self, now: Instant) {
        loop {
            let mut state = self.state();
            let Some(&(until, object)) = state.pins.first().filter(|(until, _)| *until <= now) else {
                return;
            };
            state.pins.remove(&(until, object));
            drop(state);
            self.change(object, |entry| entry.pinned = None);
        }
    }

    /// Changes why the object is, and removes it if nothing is left.
    fn change(&self, object: ObjectId, change: impl FnOnce(&mut Entry)) {
        let mut state = self.state();
        let Some(entry) = state.objects.get_mut(&object) else { return };
        change(entry);
        if entry.sessions == 0 && entry.locals == 0 && entry.pinned.is_none() {
            let removed = state.objects.remove(&object);
            drop(state);
            drop(removed);
        }
    }

    /// Removes all objects; there will be no others.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        self.closed.store(true, Ordering::Release);
        state.pins.clear();
        let objects = std::mem::take(&mut state.objects);
        drop(state);
        drop(objects);
    }

    /// The objects after this one, at most so many, in the order in which they came.
    pub(crate) fn list(&self, after: Option<ObjectId>, most: usize) -> Vec<ObjectInfo> {
        let mut found: Vec<_> =
            self.state().objects.keys().copied().filter(|object| Some(*object) > after).collect();
        if found.len() > most {
            found.select_nth_unstable(most);
            found.truncate(most);
        }
        found.sort_unstable();
        let state = self.state();
        found.into_iter().filter_map(|object| Some(state.objects.get(&object)?.info(object))).collect()
    }

    pub(crate) fn info(&self, object: ObjectId) -> Option<ObjectInfo> {
        Some(self.state().objects.get(&object)?.info(object))
    }

    pub(crate) fn len(&self) -> usize {
        self.state().objects.len()
    }
}

/// A hold of this process on an object: a referent at home.
pub(crate) struct Local {
    table: Arc<Table>,
    object: ObjectId,
    cell: Arc<Cell>,
}

impl Local {
    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Whether its manager has ended, and would not have it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.table.is_closed()
    }
}

impl Clone for Local {
    fn clone(&self) -> Self {
        let mut state = self.table.state();
        // After the end of the manager there is no entry to count in.
        if let Some(entry) = state.objects.get_mut(&self.object) {
            entry.locals += 1;
        }
        drop(state);
        Self { table: self.table.clone(), object: self.object, cell: self.cell.clone() }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.table.change(self.object, |entry| entry.locals = entry.locals.saturating_sub(1));
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", self.object)
    }
}
