//! What those who look after a manager see of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ObjectInfo, Space};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::{Access, ObjectId};
use crate::proxy::ProxyBase;

/// The most objects of one page.
const PAGE: usize = 1024;

/// A method as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Its name.
    pub name: String,
    /// How it is called.
    pub access: Access,
    /// Whether a call that was lost is made again.
    pub idempotent: bool,
}

/// An object, and what can be done with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inspected {
    /// Who holds it.
    pub info: ObjectInfo,
    /// What can be called.
    pub methods: Vec<MethodInfo>,
    /// The object, with all rights.
    pub object: ProxyBase,
}

impl Space {
    /// The objects after this one, as many as fit on a page.
    pub(crate) fn page(&self, after: Option<ObjectId>) -> Vec<ObjectInfo> {
        self.named(self.table.list(after, PAGE))
    }

    /// The same with their names.
    fn named(&self, mut objects: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        let places: HashMap<_, _> = objects.iter().enumerate().map(|(at, info)| (info.object, at)).collect();
        for (name, proxy) in &*self.names() {
            if let Some(at) = places.get(&proxy.object()) {
                objects[*at].names.push(name.clone());
            }
        }
        objects.iter_mut().for_each(|info| info.names.sort());
        objects
    }

    /// The object of this number. `ObjectGone` if there is none.
    pub(crate) fn inspect(self: &Arc<Self>, object: ObjectId) -> Result<Inspected, RemoteError> {
        let gone = || RemoteError::from(RemoteErrorKind::ObjectGone).of_manager(self.id);
        let token = self.mint.token(object);
        // Before the hold of this very call is there.
        let info = self.named(self.table.info(object).into_iter().collect()).pop().ok_or_else(gone)?;
        let object = self.open(object, &token)?;
        let cell = object.local_of(self).ok_or_else(gone)?.cell().clone();
        // Those that begin like this are ours.
        let shown = cell.methods().filter(|method| !method.name.starts_with("__"));
        let methods = shown.map(|method| MethodInfo {
            name: method.name.into(),
            access: method.access,
            idempotent: method.idempotent,
        });
        Ok(Inspected { info, methods: methods.collect(), object })
    }
}
