//! A client's session: what it holds, what it asked, and when it was last heard of. It outlives connections.

mod results;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Space;
use super::calls::{Calls, Discarded, Known};
use super::cursor::Cursor;
use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Ask, CallNumber, Item, Reply, Request};
use crate::handshake::SessionId;
use crate::heard::Heard;
use crate::id::{MethodId, ObjectId};
use crate::object::{Answer, Outcome};
use crate::proxy::GET_VALUE;
use crate::store;
use crate::value::Encoded;

/// The most items of a batch, however many are asked for.
const MAX_BATCH: usize = 4096;

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) space: Arc<Space>,
    /// When the client was last heard of.
    pub(crate) heard: Arc<Heard>,
    /// What the client can do besides.
    features: u32,
    state: Mutex<State>,
}

struct State {
    /// Which connection speaks for the session: each has its number, and what comes from an older one is not heard.
    connection: u64,
    /// Ends the connection that speaks for it.
    disconnect: CancellationToken,
    ended: bool,
    /// How often each object was granted, less what was given back.
    holds: HashMap<ObjectId, u64>,
    calls: Calls,
    /// Streams that it reads, by the number of the call that returned them.
    streams: HashMap<u64, Arc<Cursor>>,
    /// The last item that was applied.
    seen: u64,
}

/// What a request leads to.
pub(crate) enum Step {
    /// This reply.
    Now(Reply),
    /// A reply later. The call goes on if nobody waits for this.
    Later(BoxFuture<'static, Arc<Reply>>),
}

/// What is left to do outside of the session's lock.
#[derive(Default)]
struct Aftermath {
    released: Vec<ObjectId>,
    discarded: Vec<Discarded>,
    /// Dropped with this.
    streams: Vec<Arc<Cursor>>,
    /// The same, with what their methods left to be undone.
    done: Vec<Arc<super::calls::Running>>,
}

/// What a request brought.
enum Done {
    Answer(Answer),
    Batch(Vec<Encoded>, bool),
    /// A reference to the value.
    Offloaded(Vec<u8>),
}

type Begun = BoxFuture<'static, Result<Done, RemoteError>>;

impl Session {
    pub(crate) fn new(id: SessionId, space: Arc<Space>, features: u32) -> Self {
        let state = State {
            connection: 0,
            disconnect: CancellationToken::new(),
            ended: false,
            holds: HashMap::new(),
            calls: Calls::default(),
            streams: HashMap::new(),
            seen: 0,
        };
        Self { id, space, heard: Arc::new(Heard::new()), features, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection speaks for the session from now on; the one before is ended. `None` if the session is over.
    /// Returns the number of the connection, what ends it, and the last item that was applied.
    pub(crate) fn connect(&self) -> Option<(u64, CancellationToken, u64)> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        state.disconnect.cancel();
        state.disconnect = CancellationToken::new();
        state.connection += 1;
        self.heard.mark();
        Some((state.connection, state.disconnect.clone(), state.seen))
    }

    /// Whether nothing was heard of the client for so long.
    pub(crate) fn is_silent(&self, lease: Duration) -> bool {
        self.heard.ago() > lease
    }

    /// Gives back everything and ends the connection. Only the first call does something.
    pub(crate) fn end(&self) {
        let mut after = Aftermath::default();
        let mut state = self.state();
        state.ended = true;
        state.disconnect.cancel();
        after.released.extend(state.holds.drain().map(|(object, _)| object));
        after.discarded = state.calls.end();
        after.streams.extend(state.streams.drain().map(|(_, stream)| stream));
        drop(state);
        // Holds that came with discarded results were among the released ones.
        after.discarded.iter_mut().for_each(|discarded| discarded.granted.clear());
        self.settle(after);
    }

    fn settle(&self, after: Aftermath) {
        for discarded in after.discarded {
            discarded.context.discard();
            discarded.granted.into_iter().for_each(|object| self.release(object, 1));
        }
        after.released.into_iter().for_each(|object| self.space.table.release(object));
    }

    fn release(&self, object: ObjectId, count: u64) {
        let mut state = self.state();
        if give_back(&mut state.holds, object, count) {
            drop(state);
            self.space.table.release(object);
        }
    }

    /// Takes a request in. What has to happen in the order of arrival has happened when this returns.
    pub(crate) fn take(self: &Arc<Self>, connection: u64, request: Request) -> Step {
        let mut state = self.state();
        if state.ended || state.connection != connection {
            return Step::Now(Reply::Remote(RemoteErrorKind::SessionExpired.into()));
        }
        let arguments = request.payload().map_or(0, |payload| payload.bytes.len());
        let (number, ask) = match request {
            Request::Beat { first, items } => {
                drop(state);
                return Step::Now(Reply::Seen(self.apply(first, items)));
            }
            Request::Call { number, ask } => (number, ask),
        };
        let context = Context::new(self.space.clone());
        let known = state.calls.enter(number, context, arguments, &self.space.limits);
        drop(state);
        let running = match known {
            Known::Full => {
                let why = "too many calls, arguments or results of this session are open";
                return Step::Now(Reply::Remote(
                    RemoteError::new(RemoteErrorKind::Overloaded, why).of_call(number),
                ));
            }
            Known::Before(running) => {
                let lost = || Arc::new(Reply::Remote(RemoteErrorKind::Cancelled.into()));
                return Step::Later(async move { running.reply().await.unwrap_or_else(lost) }.boxed());
            }
            Known::New(running) => running,
        };
        let may_offload = matches!(ask, Ask::Method { .. }) && self.space.offload.is_some();
        let begun = self.begin(ask, running.context.clone(), running.cancel.clone());
        let session = self.clone();
        Step::Later(
            async move {
                let mut outcome = match begun {
                    Ok(begun) => begun.await,
                    Err(error) => Err(error),
                };
                if may_offload {
                    outcome = session.offloaded(outcome, &running.context).await;
                }
                session.finish(number, &running, outcome)
            }
            .boxed(),
        )
    }

    fn finish(
        &self,
        number: CallNumber,
        running: &super::calls::Running,
        outcome: Result<Done, RemoteError>,
    ) -> Arc<Reply> {
        let reply = outcome.and_then(|done| match done {
            Done::Answer(answer) => self.reply(number, answer),
            Done::Batch(items, last) => self.batch(&items, last),
            Done::Offloaded(reference) => Ok(Reply::Offloaded(reference)),
        });
        let reply = Arc::new(reply.unwrap_or_else(|error| {
            let hides = error.kind() == RemoteErrorKind::Panicked && !self.space.reveals;
            let error = if hides { RemoteErrorKind::Panicked.into() } else { error };
            Reply::Remote(error.of_manager(self.space.id).of_call(number))
        }));
        let mut state = self.state();
        let discarded = state.calls.finish(number, running, reply.clone());
        let streams = if discarded.is_some() { state.streams.remove(&number) } else { None };
        drop(state);
        let after = Aftermath {
            discarded: discarded.into_iter().collect(),
            streams: streams.into_iter().collect(),
            ..Aftermath::default()
        };
        self.settle(after);
        reply
    }

    /// Applies those items that were not applied before, in order.
    fn apply(&self, first: u64, items: Vec<Item>) -> u64 {
        let mut after = Aftermath::default();
        let mut pins = Vec::new();
        let mut over = false;
        let mut state = self.state();
        let fresh = (state.seen + 1).saturating_sub(first) as usize;
        for item in items.into_iter().skip(fresh) {
            state.seen += 1;
            match item {
                Item::Done(number) => after.done.extend(state.calls.done(number)),
                Item::Cancel(number) => {
                    after.discarded.extend(state.calls.cancel(number));
                    after.streams.extend(state.streams.remove(&number));
                }
                Item::Release { object, count } => {
                    if give_back(&mut state.holds, object, count) {
                        after.released.push(object);
                    }
                }
                Item::Pin { object, token, millis } => pins.push((object, token, millis)),
                Item::End => over = true,
                Item::Close { stream } => after.streams.extend(state.streams.remove(&stream)),
            }
        }
        let seen = state.seen;
        drop(state);
        for (object, token, millis) in pins {
            // An object that is gone cannot be pinned, and whoever gets the reference will hear of it.
            let _ = self.space.pin(object, &token, Duration::from_millis(millis));
        }
        self.settle(after);
        if over {
            self.space.end_session(&self.id);
        }
        seen
    }

    /// Begins what was asked for.
    fn begin(
        self: &Arc<Self>,
        ask: Ask,
        context: Context,
        cancel: CancellationToken,
    ) -> Result<Begun, RemoteError> {
        let space = self.space.clone();
        let answer = |outcome: Outcome| outcome.map(Done::Answer);
        let at_once = |outcome: Result<Encoded, RemoteError>| {
            Ok(std::future::ready(outcome.map(Answer::Value).map(Done::Answer)).boxed())
        };
        match ask {
            Ask::Method { object, token, method, args } => Ok(space
                .call(object, &token, method, self.receive(args)?, context, cancel)?
                .map(answer)
                .boxed()),
            Ask::Create { typeid, ctor, args } => {
                let args = self.receive(args)?;
                Ok(async move { answer(space.create(&typeid, ctor, args, context, cancel).await) }.boxed())
            }
            Ask::GetOrCreate { name, typeid, ctor, args } => {
                let args = self.receive(args)?;
                Ok(async move { answer(space.get_or_create(name, &typeid, ctor, args, context, cancel).await) }
                    .boxed())
            }
            Ask::Attach { object, token } => {
                at_once(space.open(object, &token).and_then(|p| Encoded::new(&p)))
            }
            Ask::Lookup { name } => at_once(space.lookup(&name).and_then(|proxy| Encoded::new(&proxy))),
            Ask::Publish { name, object, token } => at_once(
                space
                    .open(object, &token)
                    .and_then(|p| space.publish(name, p))
                    .and_then(|()| Encoded::new(&())),
            ),
            Ask::Unpublish { name } => at_once(Encoded::new(&space.unpublish(&name))),
            Ask::Pin { object, token, millis } => at_once(
                space.pin(object, &token, Duration::from_millis(millis)).and_then(|()| Encoded::new(&())),
            ),
            Ask::Stats => at_once(Encoded::new(&space.stats())),
            Ask::Snapshot { object, token, place } => {
                let (copy, none) = (MethodId::of(GET_VALUE), Encoded::new(&())?);
                let copy = space.call(object, &token, copy, none, context.clone(), cancel)?;
                Ok(async move { answer(store::snapshot(copy, place, context).await.map(Answer::Value)) }
                    .boxed())
            }
            Ask::Page { after } => at_once(Encoded::new(&space.page(after))),
            Ask::Inspect { object } => at_once(space.inspect(object).and_then(|found| Encoded::new(&found))),
            Ask::Shutdown => {
                space.begin_shutdown();
                at_once(Encoded::new(&()))
            }
            Ask::Pull { stream, max_items, max_bytes } => {
                let cursor = self.state().streams.get(&stream).cloned();
                let gone = || RemoteError::new(RemoteErrorKind::NoSuchMethod, "there is no such stream");
                let cursor = cursor.ok_or_else(gone)?;
                let items = (max_items as usize).min(MAX_BATCH);
                let bytes = (max_bytes as usize).min(space.limits.max_frame / 2);
                Ok(async move {
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => Err(RemoteErrorKind::Cancelled.into()),
                        batch = cursor.batch(items, bytes) => batch.map(|(items, last)| Done::Batch(items, last)),
                    }
                }
                .boxed())
            }
        }
    }
}

/// Whether that was the last of them. Giving back more than there is gives back what there is.
fn give_back(holds: &mut HashMap<ObjectId, u64>, object: ObjectId, count: u64) -> bool {
    let Some(held) = holds.get_mut(&object) else { return false };
    *held = held.saturating_sub(count);
    *held == 0 && holds.remove(&object).is_some()
}
