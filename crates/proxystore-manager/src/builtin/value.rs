//! Single values.

use std::borrow::Borrow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, Serializer};

use super::plain::{Open, same};
use super::text::Text;
use crate::error::{CallError, RemoteError};
use crate::manager::Manager;
use crate::object;
use crate::value::Encoded;

/// The value itself, at its manager.
#[derive(Debug)]
pub(super) struct ValueObject(Encoded);

impl Serialize for ValueObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Open(&self.0).serialize(serializer)
    }
}

impl fmt::Display for ValueObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", Text(&self.0))
    }
}

#[object(crate = "crate", typeid = "proxystore.Value", value, display)]
impl ValueObject {
    #[ctor]
    fn new(value: Encoded) -> Self {
        Self(value)
    }

    #[idempotent]
    fn get(&self) -> Encoded {
        self.0.clone()
    }

    fn set(&mut self, value: Encoded) {
        self.0 = value;
    }

    fn swap(&mut self, value: Encoded) -> Encoded {
        std::mem::replace(&mut self.0, value)
    }

    fn compare_exchange(&mut self, current: Encoded, new: Encoded) -> Result<(), Encoded> {
        if !same(&self.0, &current) {
            return Err(self.0.clone());
        }
        self.0 = new;
        Ok(())
    }
}

typed! {
    /// One shared value of type `T`.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::Value;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let best = Value::<f64>::create(&manager, &1.5).await?;
    /// best.update(|best| best.max(2.5)).await?;
    /// assert_eq!(best.get().await?, 2.5);
    /// # Ok(()) }
    /// ```
    Value<T>(ValueObjectProxy)
}

impl<T: Serialize + DeserializeOwned> Value<T> {
    /// A value that others can read and replace.
    pub async fn create(manager: &Manager, value: &T) -> Result<Self, RemoteError> {
        Ok(Self::of(ValueObjectProxy::create(manager, Encoded::new(value)?).await?))
    }

    /// The value of this name; if there is none, this one gets it.
    pub async fn get_or_create(manager: &Manager, name: &str, value: &T) -> Result<Self, RemoteError> {
        Ok(Self::of(ValueObjectProxy::get_or_create(manager, name, Encoded::new(value)?).await?))
    }

    /// A copy of the value.
    pub async fn get(&self) -> Result<T, RemoteError> {
        self.proxy.get().await?.decode()
    }

    /// Replaces the value.
    pub async fn set<Q>(&self, value: &Q) -> Result<(), RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.set(Encoded::new(value)?).await
    }

    /// Replaces the value, and returns the one before.
    pub async fn swap<Q>(&self, value: &Q) -> Result<T, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.swap(Encoded::new(value)?).await?.decode()
    }

    /// Replaces the value if it is `current`. The inner error is the one that is there instead.
    pub async fn compare_exchange(&self, current: &T, new: &T) -> Result<Result<(), T>, RemoteError> {
        match self.exchange(Encoded::new(current)?, Encoded::new(new)?).await? {
            Ok(()) => Ok(Ok(())),
            Err(other) => Ok(Err(other.decode()?)),
        }
    }

    async fn exchange(&self, current: Encoded, new: Encoded) -> Result<Result<(), Encoded>, RemoteError> {
        match self.proxy.compare_exchange(current, new).await {
            Ok(()) => Ok(Ok(())),
            Err(CallError::App(other)) => Ok(Err(other)),
            Err(CallError::Remote(error)) => Err(error),
        }
    }

    /// Replaces the value by what `update` makes of it, and returns that. If somebody else is faster, `update` is called
    /// again, with what they made. It runs here; dropping the future leaves the value as it was or updated.
    pub async fn update(&self, mut update: impl FnMut(T) -> T) -> Result<T, RemoteError> {
        let mut current = self.proxy.get().await?;
        loop {
            let updated = update(current.decode()?);
            match self.exchange(current, Encoded::new(&updated)?).await? {
                Ok(()) => return Ok(updated),
                Err(other) => current = other,
            }
        }
    }
}
