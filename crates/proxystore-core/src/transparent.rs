//! A proxy that behaves as its target in synchronous code (feature `blocking`).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::{DynFactory, Error, ErrorKind, Factory, Proxy, Result};

/// The target itself, as far as synchronous code can tell: dereferencing, comparing, printing, indexing, iterating or
/// calculating with it resolves the proxy on first use, and blocks the thread meanwhile.
///
/// # Panics
/// On first use, with one line that says why and what to do: if the target cannot be resolved, or on a tokio runtime
/// of one thread, where blocking would stop the very task that resolves. [`Transparent::resolve`] gives the error
/// instead. `Debug` never resolves.
///
/// ```
/// use proxystore_core::{Proxy, Value};
///
/// let text = Proxy::new(Value::new(String::from("proxy"))).transparent();
/// assert_eq!(text.len(), 5);
/// assert_eq!(format!("{text}!"), "proxy!");
///
/// let number = Proxy::new(Value::new(40)).transparent();
/// assert_eq!(&number + 2, 42);
/// ```
pub struct Transparent<T, F = DynFactory<T>>(Proxy<T, F>);

impl<T: Send + Sync + 'static, F: Factory<T>> Proxy<T, F> {
    /// The proxy as its target, for synchronous code: see [`Transparent`]. Does not resolve yet.
    pub fn transparent(self) -> Transparent<T, F> {
        Transparent(self)
    }
}

impl<T: Send + Sync + 'static, F: Factory<T>> Transparent<T, F> {
    /// The target; blocks until it is there.
    ///
    /// Errors: whatever the factory reports, or `Unsupported` on a runtime of one thread.
    pub fn resolve(&self) -> Result<&T> {
        if let Some(target) = self.0.get() {
            return Ok(target);
        }
        match Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => Err(Error::new(
                ErrorKind::Unsupported,
                "a transparent proxy cannot block a runtime of one thread, it would wait for itself",
            )
            .hint("await `resolve_async()` first, or use the multi-thread runtime")),
            Ok(handle) => tokio::task::block_in_place(|| handle.block_on(self.0.resolve_async())),
            Err(_) => own_runtime()?.block_on(self.0.resolve_async()),
        }
    }

    /// The proxy.
    pub fn into_proxy(self) -> Proxy<T, F> {
        self.0
    }

    #[expect(clippy::panic, reason = "operators cannot return an error; `resolve` does")]
    fn target(&self) -> &T {
        self.resolve().unwrap_or_else(|error| panic!("transparent proxy: {error}"))
    }
}

/// The runtime that serves threads outside any runtime: one worker for the whole process, made on first use.
fn own_runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let build = || {
        Builder::new_multi_thread().worker_threads(1).thread_name("proxystore-blocking").enable_all().build()
    };
    RUNTIME.get_or_init(build).as_ref().map_err(|e| {
        Error::new(ErrorKind::Unexpected, format!("cannot start a runtime for blocking calls: {e}"))
    })
}

impl<T: Send + Sync + 'static, F: Factory<T>> ops::Deref for Transparent<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        self.target()
    }
}

impl<T: Send + Sync + 'static, F: Factory<T>> AsRef<T> for Transparent<T, F> {
    fn as_ref(&self) -> &T {
        self.target()
    }
}

impl<T: Send + Sync + 'static, F: Factory<T>> Borrow<T> for Transparent<T, F> {
    fn borrow(&self) -> &T {
        self.target()
    }
}

impl<T: fmt::Display + Send + Sync + 'static, F: Factory<T>> fmt::Display for Transparent<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target().fmt(f)
    }
}

impl<T: fmt::Debug, F: fmt::Debug> fmt::Debug for Transparent<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, F> Clone for Transparent<T, F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: PartialEq + Send + Sync + 'static, F: Factory<T>> PartialEq for Transparent<T, F> {
    fn eq(&self, other: &Self) -> bool {
        self.target() == other.target()
    }
}

impl<T: PartialEq + Send + Sync + 'static, F: Factory<T>> PartialEq<T> for Transparent<T, F> {
    fn eq(&self, other: &T) -> bool {
        self.target() == other
    }
}

impl<T: Eq + Send + Sync + 'static, F: Factory<T>> Eq for Transparent<T, F> {}

impl<T: PartialOrd + Send + Sync + 'static, F: Factory<T>> PartialOrd for Transparent<T, F> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.target().partial_cmp(other.target())
    }
}

impl<T: PartialOrd + Send + Sync + 'static, F: Factory<T>> PartialOrd<T> for Transparent<T, F> {
    fn partial_cmp(&self, other: &T) -> Option<Ordering> {
        self.target().partial_cmp(other)
    }
}

impl<T: Ord + Send + Sync + 'static, F: Factory<T>> Ord for Transparent<T, F> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.target().cmp(other.target())
    }
}

impl<T: Hash + Send + Sync + 'static, F: Factory<T>> Hash for Transparent<T, F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target().hash(state);
    }
}

impl<T: ops::Index<I> + Send + Sync + 'static, F: Factory<T>, I> ops::Index<I> for Transparent<T, F> {
    type Output = T::Output;

    fn index(&self, index: I) -> &T::Output {
        &self.target()[index]
    }
}

impl<'a, T: Send + Sync + 'static, F: Factory<T>> IntoIterator for &'a Transparent<T, F>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.target().into_iter()
    }
}

/// Operators on `&Transparent<T>` are those of `&T`: the result is a plain value.
macro_rules! forward {
    (binary: $($Trait:ident $method:ident),*) => {$(
        impl<'a, T: Send + Sync + 'static, F: Factory<T>, R> ops::$Trait<R> for &'a Transparent<T, F>
        where
            &'a T: ops::$Trait<R>,
        {
            type Output = <&'a T as ops::$Trait<R>>::Output;

            fn $method(self, other: R) -> Self::Output {
                self.target().$method(other)
            }
        }
    )*};
    (unary: $($Trait:ident $method:ident),*) => {$(
        impl<'a, T: Send + Sync + 'static, F: Factory<T>> ops::$Trait for &'a Transparent<T, F>
        where
            &'a T: ops::$Trait,
        {
            type Output = <&'a T as ops::$Trait>::Output;

            fn $method(self) -> Self::Output {
                self.target().$method()
            }
        }
    )*};
}

forward!(binary: Add add, Sub sub, Mul mul, Div div, Rem rem, BitAnd bitand, BitOr bitor, BitXor bitxor, Shl shl, Shr shr);
forward!(unary: Neg neg, Not not);
