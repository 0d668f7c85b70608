//! The worker's end.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proxystore_core::{Error, ErrorKind, Factory, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Call, Function, Passed, Ready, decode, ready};
use crate::{Codec, Postcard};

/// The functions that a worker runs, by name.
#[derive(Default)]
pub struct Functions(BTreeMap<&'static str, Run>);

/// Runs a decoded call, and gives the encoded answer.
type Run = Box<dyn Fn(Call) -> BoxFuture<'static, Result<Bytes>> + Send + Sync>;

impl Functions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function, in place of an earlier one of the same name. What it gets may be shared with other calls.
    #[must_use]
    pub fn with<I, O, F, R>(mut self, function: Function<I, O>, run: F) -> Self
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<I>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O>> + Send + 'static,
    {
        let run = Arc::new(run);
        let answer = move |call: Call| {
            let run = run.clone();
            async move {
                let argument = match call.argument {
                    Passed::Value { fingerprint, body } => decode(fingerprint, body).map(Arc::new)?,
                    Passed::Proxy(argument) => Factory::<I>::resolve_async(&*argument).await?,
                };
                let result = run(argument).await?;
                let answer = match ready(&result, &call.results, &call.place).await? {
                    Ready::Value { fingerprint, body } => Answer::Value { fingerprint, body },
                    Ready::Owned(owner) => Answer::Owned(owner.hand_over().await.map_err(|not| not.error)?),
                };
                Postcard::encode(&answer)
            }
            .boxed()
        };
        self.0.insert(function.name, Box::new(answer));
        self
    }

    /// Runs a call, and gives the answer for the submitter, which tells of failures, too: of the function, of a panic in
    /// it, and of what stands around it. Dropping the future stops the function, and leaves nothing.
    pub async fn run(&self, call: Bytes) -> Bytes {
        let answer = AssertUnwindSafe(self.answer(call)).catch_unwind().await;
        let panicked = |_| Err(Error::new(ErrorKind::Failed, "the function panicked"));
        let failed = |error: Error| Postcard::encode(&Answer::<()>::Failed(error.to_string()));
        // An answer that cannot be encoded is one that cannot be decoded.
        answer.unwrap_or_else(panicked).or_else(failed).unwrap_or_default()
    }

    async fn answer(&self, call: Bytes) -> Result<Bytes> {
        let call: Call = Postcard::decode(call)?;
        let run = self.0.get(&*call.function).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().copied().collect();
            Error::new(ErrorKind::Missing, "the worker has no function of this name")
                .hint(format!("add it with `Functions::with`; there are: {}", known.join(", ")))
        })?;
        run(call).await
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
