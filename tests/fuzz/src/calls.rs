//! Calls of functions, as a worker finds them.

use std::sync::Mutex;
use std::time::Duration;

use proxystore_core::{Bytes, Error, ErrorKind, Result};
use proxystore_local::LocalConnector;
use proxystore_store::{Executor, Function, Functions, Registry, ShouldProxy, Store, StoreExecutor};

use crate::{check, rt};

const SUM: Function<Vec<u32>, u64> = Function::new("sum");
const REVERSED: Function<String, String> = Function::new("reversed");

/// The longest answer: an argument of these functions is no longer than the call, and neither is its result.
const MOST: usize = 8 << 10;
/// Comes first in an answer that tells of a failure.
const FAILED: u8 = 2;

/// A worker answers whatever it is sent, once and in bounds, and tells of each failure in one line.
pub fn calls(data: &[u8]) {
    rt::run(true, async {
        let store = store().await;
        let _known = Registry::global().scoped(&store);
        let functions = Functions::new()
            .with(SUM, async |numbers| Ok(numbers.iter().map(|number| u64::from(*number)).sum()))
            .with(REVERSED, async |text| Ok(text.chars().rev().collect()));
        let call = functions.run(Bytes::copy_from_slice(data));
        // A call may name a future, which is waited for.
        let Ok(answer) = tokio::time::timeout(Duration::from_secs(1), call).await else { return };
        assert!((1..MOST + data.len()).contains(&answer.len()), "an answer of {} bytes", answer.len());
        if answer[0] == FAILED {
            let text: String = postcard::from_bytes(&answer[1..]).unwrap();
            check::teaches(&Error::new(ErrorKind::Failed, text));
        }
    });
}

async fn store() -> Store {
    let connector = LocalConnector::named("calls");
    Store::builder("calls").connector(connector).cache_objects(0).build().await.unwrap()
}

/// Keeps the calls, and runs none.
#[derive(Default)]
struct Kept(Mutex<Vec<Bytes>>);

#[proxystore_core::async_trait]
impl Executor for &Kept {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        self.0.lock().unwrap().push(call);
        Err(Error::new(ErrorKind::Unavailable, "it is not run"))
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let kept = Kept::default();
    rt::run(false, async {
        let store = store().await;
        let rules = [ShouldProxy::always(), ShouldProxy::never(), ShouldProxy::above(3)];
        for rule in rules.into_iter().chain([ShouldProxy::of::<u64>().or::<String>()]) {
            let executor = StoreExecutor::new(&kept, store.clone()).should_proxy(rule);
            assert!(executor.submit(SUM, &vec![1, 2, 3]).await.is_err());
            assert!(executor.submit(REVERSED, &"a text".into()).await.is_err());
        }
    });
    kept.0.into_inner().unwrap().into_iter().map(Vec::from).collect()
}
