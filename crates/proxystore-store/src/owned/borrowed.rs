//! Borrows near the owner, whose rules the compiler proves.

use std::fmt;

use proxystore_core::{Key, Result};

use crate::{Codec, OwnedProxy, Postcard};

/// A shared borrow of an owner's object: Python ProxyStore's `RefProxy`. It can be copied, and cannot outlive the
/// owner. For other tasks and processes see [`OwnedProxy::lend`].
pub struct RefProxy<'a, T, C = Postcard>(&'a OwnedProxy<T, C>);

impl<'a, T, C> RefProxy<'a, T, C> {
    pub(crate) fn new(owner: &'a OwnedProxy<T, C>) -> Self {
        Self(owner)
    }

    /// The key of the object.
    pub fn key(self) -> &'a Key {
        self.0.key()
    }

    /// The value, if it is here. Never resolves.
    pub fn get(self) -> Option<&'a T> {
        self.0.get()
    }
}

impl<'a, T, C> RefProxy<'a, T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// The value, fetched now unless it is here already. Errors and dropping: as [`OwnedProxy::resolve_async`].
    pub async fn resolve_async(self) -> Result<&'a T> {
        self.0.resolve_async().await
    }
}

impl<T, C> Clone for RefProxy<'_, T, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, C> Copy for RefProxy<'_, T, C> {}

impl<T: fmt::Debug, C> fmt::Debug for RefProxy<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RefProxy").field(&self.0.proxy).finish()
    }
}

/// The mutable borrow of an owner's object: Python ProxyStore's `RefMutProxy`. While there is one, there is no other
/// borrow. For other tasks and processes see [`OwnedProxy::lend_mut`].
pub struct RefMutProxy<'a, T, C = Postcard>(&'a mut OwnedProxy<T, C>);

impl<'a, T, C> RefMutProxy<'a, T, C> {
    pub(crate) fn new(owner: &'a mut OwnedProxy<T, C>) -> Self {
        Self(owner)
    }

    /// The key of the object; each [`update`](Self::update) changes it.
    pub fn key(&self) -> &Key {
        self.0.key()
    }

    /// The value, if it is here. Never resolves.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }
}

impl<T, C> RefMutProxy<'_, T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// The value, fetched now unless it is here already. Errors and dropping: as [`OwnedProxy::resolve_async`].
    pub async fn resolve_async(&self) -> Result<&T> {
        self.0.resolve_async().await
    }

    /// Replaces the value. Errors and dropping: as [`OwnedProxy::update`].
    pub async fn update(&mut self, value: T) -> Result<()> {
        self.0.update(value).await
    }
}

impl<T: fmt::Debug, C> fmt::Debug for RefMutProxy<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RefMutProxy").field(&self.0.proxy).finish()
    }
}
