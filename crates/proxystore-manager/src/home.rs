//! A proxy where its manager is: the referent itself.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::{Method, MethodId};
use crate::object::{Answer, Object, ObjectProxy, Outcome};
use crate::proxy::within;
use crate::server::{Guard, Local, Space, begin, caught};
use crate::token::Token;
use crate::value::Encoded;

/// A hold on an object of this process. Public for generated code alone.
#[derive(Clone)]
pub struct Home {
    space: Arc<Space>,
    local: Local,
}

impl Home {
    pub(crate) fn new(space: Arc<Space>, local: Local) -> Self {
        Self { space, local }
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    pub(crate) fn is<T: Object>(&self) -> bool {
        self.local.cell().is::<T>()
    }

    /// `false` if its manager has ended.
    pub(crate) fn pin(&self, ttl: Duration) -> bool {
        self.space.table.pin(self.local.object(), Instant::now() + ttl.min(self.space.limits.max_pin))
    }

    /// By name or number: through the codec, as any other call.
    pub(crate) async fn call(&self, token: &Token, method: MethodId, args: Encoded) -> Outcome {
        let cancel = CancellationToken::new();
        let context = Context::new(self.space.clone());
        let object = self.local.object();
        let call = self.space.call(object, token, method, args, context.clone(), cancel.clone())?;
        Ok(match run(call, context, cancel).await? {
            Answer::Stream(items) => {
                let items = AssertUnwindSafe(items).catch_unwind();
                Answer::Stream(items.map(|item| item.unwrap_or_else(|panic| Err(caught(&*panic)))).boxed())
            }
            answer => answer,
        })
    }

    /// Runs generated code with the object itself, with the turns, the cancellation and the panics of any other call.
    /// The call takes its turn when the future is polled first.
    pub fn direct<T, R, B, F>(
        &self,
        method: &'static Method,
        body: B,
    ) -> BoxFuture<'static, Result<R, RemoteError>>
    where
        T: Object,
        R: Send + 'static,
        B: FnOnce(Direct<T>, Context) -> F + Send + 'static,
        F: Future<Output = Result<R, RemoteError>> + Send + 'static,
    {
        let Self { space, local } = self.clone();
        Box::pin(async move {
            let cancel = CancellationToken::new();
            let context = Context::new(space);
            let given = context.clone();
            let call = begin(local, method, cancel.clone(), move |guard| {
                body(Direct(guard, std::marker::PhantomData), given)
            })?;
            within(method, run(call, context, cancel)).await
        })
    }

    /// Makes an object of this manager: for constructors.
    pub(crate) async fn create(space: &Arc<Space>, typeid: &str, ctor: MethodId, args: Encoded) -> Outcome {
        let cancel = CancellationToken::new();
        let _guard = cancel.clone().drop_guard();
        let context = Context::new(space.clone());
        space.create(typeid, ctor, args, context, cancel).await
    }

    /// The named one, or else a new one.
    pub(crate) async fn get_or_create(
        space: &Arc<Space>,
        name: &str,
        typeid: &str,
        ctor: MethodId,
        args: Encoded,
    ) -> Outcome {
        let cancel = CancellationToken::new();
        let _guard = cancel.clone().drop_guard();
        let context = Context::new(space.clone());
        space.get_or_create(name.into(), typeid, ctor, args, context, cancel).await
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local.fmt(f)
    }
}

/// The object of a call at home. Public for generated code alone.
pub struct Direct<T>(Guard, std::marker::PhantomData<fn() -> T>);

impl<T: Object> Direct<T> {
    /// For `&self`.
    pub fn shared(&self) -> Result<&T, RemoteError> {
        self.0.get().ok_or_else(|| RemoteErrorKind::ObjectGone.into())
    }

    /// For `&mut self`.
    pub fn exclusive(&mut self) -> Result<&mut T, RemoteError> {
        self.0.get_mut().ok_or_else(|| RemoteErrorKind::ObjectGone.into())
    }
}

impl<T: Object> fmt::Debug for Direct<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direct({})", T::Proxy::TYPEID)
    }
}

/// Runs a call in a task of its own, so that dropping this cancels it and does not cut it off.
async fn run<R: Send + 'static>(
    call: impl Future<Output = Result<R, RemoteError>> + Send + 'static,
    context: Context,
    cancel: CancellationToken,
) -> Result<R, RemoteError> {
    let (sender, receiver) = oneshot::channel();
    let unwanted = context.clone();
    tokio::spawn(async move {
        if sender.send(call.await).is_err() {
            unwanted.discard();
        }
    });
    let mut waiting = Waiting { receiver, context, cancel };
    (&mut waiting.receiver).await.unwrap_or_else(|_| Err(RemoteErrorKind::Panicked.into()))
}

/// Somebody waits for a result; if it is dropped, nobody does.
struct Waiting<R> {
    receiver: oneshot::Receiver<Result<R, RemoteError>>,
    context: Context,
    cancel: CancellationToken,
}

impl<R> Drop for Waiting<R> {
    fn drop(&mut self) {
        self.receiver.close();
        self.cancel.cancel();
        if self.receiver.try_recv().is_ok() {
            self.context.discard();
        }
    }
}
