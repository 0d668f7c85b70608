//! Arrays.

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeBounds;

use serde::de::DeserializeOwned;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::list::{OutOfRange, bounds};
use super::plain::Open;
use super::text::{Text, surrounded};
use super::{decode_all, encode_all};
use crate::error::{CallError, RemoteError, RemoteErrorKind};
use crate::manager::Manager;
use crate::object;
use crate::object::ObjectProxy;
use crate::value::Encoded;

/// What an array consists of: truth values, letters and numbers.
pub trait Element: Serialize + DeserializeOwned + sealed::Element {}

mod sealed {
    pub trait Element {
        /// Its name on the wire.
        const CODE: &'static str;
    }
}

macro_rules! elements {
    ($($element:ident)*) => {
        $(
            impl Element for $element {}
            impl sealed::Element for $element {
                const CODE: &'static str = stringify!($element);
            }
        )*

        /// Whether it is one of the type of this name.
        fn fits(code: &str, item: &Encoded) -> bool {
            match code {
                $(stringify!($element) => item.decode::<$element>().is_ok(),)*
                _ => false,
            }
        }
    };
}

elements! { bool char f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 }

/// What an array does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ArrayError {
    /// There is nothing at that index.
    OutOfRange(OutOfRange),
    /// The array is one of another type; it is as it was.
    WrongType,
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(error) => error.fmt(f),
            Self::WrongType => f.write_str("the array consists of values of another type"),
        }
    }
}

impl std::error::Error for ArrayError {}

/// The array itself, at its manager.
#[derive(Debug)]
pub(super) struct ArrayObject {
    code: String,
    items: Vec<Encoded>,
}

impl ArrayObject {
    fn at(&mut self, index: usize) -> Result<&mut Encoded, ArrayError> {
        let len = self.items.len();
        self.items.get_mut(index).ok_or(ArrayError::OutOfRange(OutOfRange { index, len }))
    }

    /// A client may believe the array to be of another type.
    fn check(&self, items: &[Encoded]) -> Result<(), ArrayError> {
        let fit = items.iter().all(|item| fits(&self.code, item));
        if fit { Ok(()) } else { Err(ArrayError::WrongType) }
    }
}

impl Serialize for ArrayObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.items.iter().map(Open))
    }
}

impl fmt::Display for ArrayObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({}, ", self.code)?;
        surrounded(f, '[', ']', self.items.iter().map(Text))?;
        f.write_str(")")
    }
}

#[object(crate = "crate", typeid = "proxystore.Array", value, display)]
impl ArrayObject {
    #[ctor]
    fn new(code: String, items: Vec<Encoded>) -> Result<Self, ArrayError> {
        let array = Self { code, items };
        array.check(&array.items)?;
        Ok(array)
    }

    #[idempotent]
    fn len(&self) -> usize {
        self.items.len()
    }

    #[idempotent]
    fn slice(&self, from: usize, to: usize) -> Vec<Encoded> {
        self.items.iter().take(to).skip(from).cloned().collect()
    }

    /// All or none.
    fn set(&mut self, from: usize, new: Vec<Encoded>) -> Result<(), ArrayError> {
        self.check(&new)?;
        if let Some(last) = new.len().checked_sub(1) {
            self.at(from.saturating_add(last))?;
        }
        self.items.iter_mut().skip(from).zip(new).for_each(|(item, new)| *item = new);
        Ok(())
    }

    fn compare_exchange(
        &mut self,
        index: usize,
        current: Encoded,
        new: Encoded,
    ) -> Result<Result<(), Encoded>, ArrayError> {
        self.check(std::slice::from_ref(&new))?;
        let item = self.at(index)?;
        if *item != current {
            return Ok(Err(item.clone()));
        }
        *item = new;
        Ok(Ok(()))
    }
}

typed! {
    /// A shared array: as many items of type `T` as it was made with.
    ///
    /// ```
    /// # use proxystore_manager::{CallError, Manager};
    /// # use proxystore_manager::builtin::{Array, ArrayError};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let array = Array::<f64>::from_items(&manager, [1.0, 2.0, 3.0]).await?;
    /// array.set(2, 4.5).await?;
    /// assert_eq!(array.get_value().await?, [1.0, 2.0, 4.5]);
    /// assert!(matches!(array.set(3, 0.0).await, Err(CallError::App(ArrayError::OutOfRange(_)))));
    /// # Ok(()) }
    /// ```
    ///
    /// The type is checked by the manager, too: a client that believes it to be another can put nothing in. Indices count
    /// from the front; negative ones, as Python has them, do not exist.
    Array<T>(ArrayObjectProxy)
}

impl<T: Element> Array<T> {
    /// An array of these items.
    pub async fn from_items(
        manager: &Manager,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Self, RemoteError> {
        let made = ArrayObjectProxy::create(manager, T::CODE.into(), encode_all(items)?).await;
        made.map(Self::of).map_err(only_remote)
    }

    /// The array of this name; if there is none, one of these items gets it.
    pub async fn get_or_create(
        manager: &Manager,
        name: &str,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Self, RemoteError> {
        let made = ArrayObjectProxy::get_or_create(manager, name, T::CODE.into(), encode_all(items)?).await;
        made.map(Self::of).map_err(only_remote)
    }

    /// How many items there are.
    pub async fn len(&self) -> Result<usize, RemoteError> {
        self.proxy.len().await
    }

    /// Whether it was made of none.
    pub async fn is_empty(&self) -> Result<bool, RemoteError> {
        Ok(self.len().await? == 0)
    }

    /// The item at `index`.
    pub async fn get(&self, index: usize) -> Result<T, CallError<ArrayError>> {
        match self.slice(index..index.saturating_add(1)).await?.pop() {
            Some(item) => Ok(item),
            None => Err(CallError::App(ArrayError::OutOfRange(OutOfRange { index, len: self.len().await? }))),
        }
    }

    /// The items in `range`, as far as they exist.
    pub async fn slice(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>, RemoteError> {
        let (from, to) = bounds(range);
        decode_all(self.proxy.slice(from, to).await?)
    }

    /// All items.
    pub async fn get_value(&self) -> Result<Vec<T>, RemoteError> {
        self.proxy.base().get_value().await
    }

    /// Replaces the item at `index`.
    pub async fn set(&self, index: usize, item: T) -> Result<(), CallError<ArrayError>> {
        self.set_many(index, [item]).await
    }

    /// Replaces as many items as there are in `items`, from index `from` on, all or none.
    pub async fn set_many(
        &self,
        from: usize,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<(), CallError<ArrayError>> {
        self.proxy.set(from, encode_all(items)?).await
    }

    /// Replaces the item at `index` if it is `current`. The inner error is the one that is there instead.
    pub async fn compare_exchange(
        &self,
        index: usize,
        current: T,
        new: T,
    ) -> Result<Result<(), T>, CallError<ArrayError>> {
        match self.proxy.compare_exchange(index, Encoded::new(&current)?, Encoded::new(&new)?).await? {
            Ok(()) => Ok(Ok(())),
            Err(other) => Ok(Err(other.decode()?)),
        }
    }

    /// Replaces the item at `index` by what `update` makes of it, and returns that. If somebody else is faster,
    /// `update` is called again, with what they made. It runs here; dropping the future leaves the item as it was or
    /// updated.
    pub async fn update_at(
        &self,
        index: usize,
        mut update: impl FnMut(T) -> T,
    ) -> Result<T, CallError<ArrayError>> {
        let mut current = Encoded::new(&self.get(index).await?)?;
        loop {
            let updated = Encoded::new(&update(current.decode()?))?;
            match self.proxy.compare_exchange(index, current, updated.clone()).await? {
                Ok(()) => return Ok(updated.decode()?),
                Err(other) => current = other,
            }
        }
    }
}

/// What is of type `T` fits into an array of `T`.
fn only_remote(error: CallError<ArrayError>) -> RemoteError {
    match error {
        CallError::Remote(error) => error,
        CallError::App(_) => RemoteErrorKind::Unexpected.into(),
    }
}
