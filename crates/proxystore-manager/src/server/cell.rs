//! An object and its lock: who waits first goes first, `&self` calls run together, `&mut self` calls alone.

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;

use super::{Local, panics};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::{Access, Method};
use crate::interfaces::Interfaces;
use crate::object::{Call, Object, ObjectProxy, Outcome};

/// An object whose type nobody needs to know.
pub(crate) trait Erased: Send + Sync + 'static {
    fn shared(&self, call: Call) -> BoxFuture<'_, Outcome>;
    fn exclusive(&mut self, call: Call) -> BoxFuture<'_, Outcome>;
    fn any(&self) -> &dyn Any;
    fn any_mut(&mut self) -> &mut dyn Any;
}

struct Served<T>(T, Interfaces<T>);

impl<T: Object> Erased for Served<T> {
    fn shared(&self, call: Call) -> BoxFuture<'_, Outcome> {
        self.1.shared(&self.0, call)
    }

    fn exclusive(&mut self, call: Call) -> BoxFuture<'_, Outcome> {
        self.1.exclusive(&mut self.0, call)
    }

    fn any(&self) -> &dyn Any {
        &self.0
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}

pub(crate) struct Cell {
    pub(crate) typeid: &'static str,
    kind: std::any::TypeId,
    methods: &'static [Method],
    /// Of its further interfaces, with their typeids.
    others: Box<[(&'static str, &'static [Method])]>,
    /// `None` only while the cell is dropped.
    object: Option<Shared>,
    poisoned: AtomicBool,
}

type Shared = Arc<RwLock<Box<dyn Erased>>>;
/// Shared with the shared calls of the same object that are made below.
type Reading = Arc<OwnedRwLockReadGuard<Box<dyn Erased>>>;

/// The object, for as long as a call runs.
pub(crate) enum Guard {
    Shared(Reading),
    Exclusive(OwnedRwLockWriteGuard<Box<dyn Erased>>),
}

impl Guard {
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Shared(object) => object.any().downcast_ref(),
            Self::Exclusive(object) => object.any().downcast_ref(),
        }
    }

    pub(crate) fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        match self {
            Self::Shared(_) => None,
            Self::Exclusive(object) => object.any_mut().downcast_mut(),
        }
    }
}

/// More methods than run above each other where objects are shown.
const DEEP: usize = 64;

tokio::task_local! {
    /// The objects whose methods run above this one, outermost first, with the guards of those that run together with
    /// others.
    static CHAIN: Vec<(Arc<Cell>, Option<Weak<OwnedRwLockReadGuard<Box<dyn Erased>>>>)>;
}

impl Cell {
    pub(crate) fn new<T: Object>(object: T) -> Self {
        let interfaces = T::interfaces();
        Self {
            typeid: T::Proxy::TYPEID,
            kind: std::any::TypeId::of::<T>(),
            methods: T::Proxy::METHODS,
            others: interfaces.tables(),
            object: Some(Arc::new(RwLock::new(Box::new(Served(object, interfaces))))),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Whether the object is a `T`.
    pub(crate) fn is<T: 'static>(&self) -> bool {
        self.kind == std::any::TypeId::of::<T>()
    }

    /// What can be called, its own first. A method may be there twice if it is one that any object may have.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &'static Method> {
        let others = self.others.iter().flat_map(|(_, methods)| *methods);
        self.methods.iter().chain(others).filter(|method| method.access != Access::Create)
    }

    pub(crate) fn method(&self, id: crate::id::MethodId) -> Option<&'static Method> {
        self.methods().find(|method| method.id == id)
    }

    /// The typeids of its interfaces, its own first.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &'static str> {
        [self.typeid].into_iter().chain(self.others.iter().map(|(typeid, _)| *typeid))
    }

    /// Whether one of its methods runs above this one, or very many do.
    pub(crate) fn is_running(self: &Arc<Self>) -> bool {
        let running = CHAIN
            .try_with(|chain| chain.len() >= DEEP || chain.iter().any(|(above, _)| Arc::ptr_eq(above, self)));
        running.unwrap_or(false)
    }

    /// Waits for its turn: the turn is taken when this is polled first.
    async fn claim(lock: Shared, exclusive: bool) -> Guard {
        if exclusive {
            Guard::Exclusive(lock.write_owned().await)
        } else {
            Guard::Shared(Arc::new(lock.read_owned().await))
        }
    }
}

thread_local! {
    /// What is to be dropped after the object that is being dropped. `None`: nothing is.
    static GRAVE: RefCell<Option<Vec<Shared>>> = const { RefCell::new(None) };
}

/// Drops the object, and then, one after the other, those that only it kept: a long chain of them is no deep stack.
impl Drop for Cell {
    fn drop(&mut self) {
        let mut next = self.object.take();
        GRAVE.with_borrow_mut(|grave| match grave {
            Some(later) => later.extend(next.take()),
            None => *grave = Some(Vec::new()),
        });
        if next.is_none() {
            return;
        }
        while let Some(object) = next {
            // The type's own `drop` may panic; that is told by the panic hook, and stops nothing else.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(move || drop(object)));
            next = GRAVE.with_borrow_mut(|grave| grave.as_mut().and_then(Vec::pop));
        }
        GRAVE.set(None);
    }
}

/// Takes the call's turn at the object now; the future that it returns waits for it and then runs `body`.
///
/// When `cancel` is cancelled, a call that still waits for its turn does not begin, and one that may be ended ends at
/// its next `await`. A panic of a `&mut self` method poisons the object. `Reentrant` if it would wait for itself: a
/// `&self` method below another one of the same object does not, since it runs within the turn of that.
pub(crate) fn begin<R, B, F>(
    local: Local,
    method: &'static Method,
    cancel: CancellationToken,
    body: B,
) -> Result<impl Future<Output = Result<R, RemoteError>> + Send + 'static, RemoteError>
where
    R: Send + 'static,
    B: FnOnce(Guard) -> F + Send + 'static,
    F: Future<Output = Result<R, RemoteError>> + Send + 'static,
{
    if local.is_over() {
        return Err(RemoteErrorKind::ShuttingDown.into());
    }
    let exclusive = method.access == Access::Exclusive;
    let cell = local.cell().clone();
    let mut chain = CHAIN.try_with(Vec::clone).unwrap_or_default();
    let mut above = chain.iter().filter(|(above, _)| Arc::ptr_eq(above, &cell));
    if above.clone().any(|(_, reading)| exclusive || reading.is_none()) {
        return Err(RemoteErrorKind::Reentrant.into());
    }
    // In the queue it could come behind somebody who waits for the one above.
    let within = above.find_map(|(_, reading)| reading.as_ref()?.upgrade()).map(Guard::Shared);
    let Some(object) = cell.object.clone() else { return Err(RemoteErrorKind::ObjectGone.into()) };
    // A task without budget left would not even be put in the queue.
    let mut claim = unconstrained(Cell::claim(object, exclusive)).boxed();
    let at_once = within.or_else(|| (&mut claim).now_or_never());
    Ok(async move {
        let _alive = local;
        let guard = match at_once {
            Some(guard) => guard,
            None => tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(RemoteErrorKind::Cancelled.into()),
                guard = claim => guard,
            },
        };
        if cell.poisoned.load(Ordering::Acquire) {
            return Err(RemoteErrorKind::Poisoned.into());
        }
        if cancel.is_cancelled() {
            return Err(RemoteErrorKind::Cancelled.into());
        }
        let reading = match &guard {
            Guard::Shared(reading) => Some(Arc::downgrade(reading)),
            Guard::Exclusive(_) => None,
        };
        chain.push((cell.clone(), reading));
        // A panic while the future is made is one of the method, too.
        let run = CHAIN.scope(chain, AssertUnwindSafe(async move { body(guard).await }).catch_unwind());
        let ended = if method.cancel {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(RemoteErrorKind::Cancelled.into()),
                ended = run => ended,
            }
        } else {
            run.await
        };
        ended.unwrap_or_else(|panic| {
            if method.poisons {
                cell.poisoned.store(true, Ordering::Release);
            }
            tracing::error!(typeid = cell.typeid, method = method.name, "a method panicked");
            Err(panics::caught(&*panic))
        })
    })
}

/// Runs a call by the object's own dispatch.
pub(crate) async fn dispatch(mut guard: Guard, call: Call) -> Outcome {
    match &mut guard {
        Guard::Shared(object) => object.shared(call).await,
        Guard::Exclusive(object) => object.exclusive(call).await,
    }
}
