//! What a program would do without us.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use proxystore::Bytes;
use proxystore_benches::{Run, Suite, once, timed};

use crate::ours::keep;

/// Somewhere to put bytes.
pub(crate) trait Bare: Send + Sync + 'static {
    /// What stands in the report.
    const NAME: &'static str;

    fn put(&'static self, name: String, value: &'static Bytes) -> impl Future<Output = ()> + Send;

    /// The bytes, as many as were put, in whatever form the client has them.
    fn get(&'static self, name: &'static str) -> impl Future<Output = impl Send> + Send;

    fn remove(&'static self, names: Vec<String>) -> impl Future<Output = ()> + Send;
}

/// A name that nothing has yet.
fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("bare-{:027x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn put<B: Bare>(bare: &'static B, value: &'static Bytes) -> Run {
    timed(
        move || async move {
            let name = fresh();
            bare.put(name.clone(), value).await;
            name
        },
        move |names| bare.remove(names),
    )
}

/// An object that is there.
pub(crate) fn held<B: Bare>(suite: &Suite, bare: &'static B, value: &'static Bytes) -> &'static str {
    let name = keep(fresh());
    suite.block_on(bare.put(name.clone(), value));
    name
}

pub(crate) fn get<B: Bare>(bare: &'static B, name: &'static str) -> Run {
    once(move || bare.get(name))
}
