//! A session: calls go out over the connection of the moment, and again over the next one if it breaks.
//!
//! Each call is numbered. Whoever asked says in the end whether the result arrived (`Done`) or is not wanted any more
//! (`Cancel`), exactly one of the two, in the numbered items of the outbox. So the server knows what to keep.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::poll;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;

use super::dial::{Dialer, Stream};
use super::link::{Link, MAX_CALLS, Outbox};
use crate::auth::AuthKey;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Ask, CallNumber, Item, Reply, Request};
use crate::handshake::{self, SessionId, Welcome};
use crate::id::{Epoch, ManagerId};
use crate::wire::MAX_DEADLINE;

/// A result from here on is reported at once, so that the server need not keep it.
const LARGE: usize = 256 << 10;

/// How long the end of a session is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// A session with a manager, until it is dropped or its lease runs out without a connection.
pub(crate) struct Session(Arc<Core>);

pub(super) struct Core {
    manager: ManagerId,
    epoch: Epoch,
    id: SessionId,
    lease: Duration,
    pub(super) max_frame: usize,
    dialer: Dialer,
    key: AuthKey,
    outbox: Outbox,
    link: watch::Sender<State>,
    last_call: AtomicU64,
    slots: Semaphore,
    calls: Mutex<Sent>,
    /// Somebody's turn to send again is over.
    turn: Notify,
}

#[derive(Clone)]
enum State {
    Up(Arc<Link>),
    Down,
    Over(RemoteError),
}

/// Calls that went out and have no result yet.
#[derive(Default)]
struct Sent {
    open: BTreeSet<CallNumber>,
    /// Those of them that have to go out again, in this order, before any other does.
    again: BTreeSet<CallNumber>,
    /// Of the connection for which that is so.
    generation: u64,
}

impl Session {
    /// Connects and opens a session. Dropping this leaves nothing but a session that expires.
    pub(crate) async fn open(
        dialer: Dialer,
        key: AuthKey,
        expected: Option<ManagerId>,
    ) -> Result<Arc<Self>, RemoteError> {
        let mut stream = dialer().await?;
        let Stream { io, channel } = &mut stream;
        let (manager, epoch, welcome) = handshake::dial(io, &key, channel, expected, None).await?;
        let Welcome { session, lease_millis, max_frame, .. } = welcome;
        let core = Arc::new(Core {
            manager,
            epoch,
            id: session,
            lease: Duration::from_millis(lease_millis).max(Duration::from_millis(30)),
            max_frame: usize::try_from(max_frame).unwrap_or(usize::MAX).min(u32::MAX as usize),
            dialer,
            key,
            outbox: Outbox::default(),
            link: watch::Sender::new(State::Down),
            last_call: AtomicU64::new(0),
            slots: Semaphore::new(MAX_CALLS),
            calls: Mutex::default(),
            turn: Notify::new(),
        });
        let dispatch = core.connected(stream);
        tokio::spawn(run(core.clone(), dispatch));
        Ok(Arc::new(Self(core)))
    }

    pub(crate) fn manager(&self) -> ManagerId {
        self.0.manager
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    pub(crate) fn max_frame(&self) -> usize {
        self.0.max_frame
    }

    /// Whether nothing can be asked any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&*self.0.link.borrow(), State::Over(_))
    }

    /// To be said with the next beat.
    pub(crate) fn say(&self, item: Item) {
        self.0.outbox.push(item, false);
    }

    /// Ends the session, and waits for the server to hear of it, but not for one that is out of reach.
    pub(crate) async fn end(&self) {
        self.0.outbox.push(Item::End, true);
        let mut link = self.0.link.subscribe();
        let heard = link.wait_for(|state| matches!(state, State::Over(_)));
        // What it holds is given back in the end in any case.
        let _ = tokio::time::timeout(FAREWELL, heard).await;
    }

    /// Asks, and waits for the reply as long as the session lasts. Dropping the future cancels what was asked for.
    ///
    /// Requests go out in the order in which these futures are polled first. A task that has used up its budget
    /// would be put off in the middle of that, so the budget does not count here; each poll is short.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Reply, RemoteError> {
        unconstrained(self.send(ask)).await
    }

    async fn send(&self, ask: Ask) -> Result<Reply, RemoteError> {
        let core = &*self.0;
        let Ok(_slot) = core.slots.acquire().await else {
            return Err(RemoteErrorKind::ConnectionLost.into());
        };
        let number = core.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = Open { core, number, sent: false };
        loop {
            let link = core.link(open.sent).await.map_err(|error| error.of_call(number))?;
            core.wait_for_turn(number).await;
            core.calls().open.insert(number);
            open.sent = true;
            let mut context = tarpc::context::current();
            context.deadline = Instant::now() + MAX_DEADLINE;
            let request = Request::Call { number, ask: ask.clone() };
            let mut call = pin!(link.channel.call(context, request));
            let first = poll!(&mut call);
            core.turn_is_over(number, Some(link.generation));
            let reply = match first {
                std::task::Poll::Ready(reply) => reply,
                std::task::Poll::Pending => call.await,
            };
            match reply {
                Ok(reply) => {
                    open.arrived(&reply);
                    return Ok(reply);
                }
                Err(tarpc::client::RpcError::DeadlineExceeded) => {}
                Err(_) => core.link_lost(&link).await,
            }
        }
    }
}

/// What it held is given back, as soon as the server hears of it.
impl Drop for Session {
    fn drop(&mut self) {
        self.0.outbox.push(Item::End, true);
    }
}

/// A call that has no result yet.
struct Open<'a> {
    core: &'a Core,
    number: CallNumber,
    sent: bool,
}

impl Open<'_> {
    fn arrived(mut self, reply: &Reply) {
        self.sent = false;
        self.core.forget(self.number);
        let large = reply.payload().is_some_and(|payload| payload.bytes.len() >= LARGE);
        self.core.outbox.push(Item::Done(self.number), large);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.sent {
            self.core.forget(self.number);
            self.core.outbox.push(Item::Cancel(self.number), true);
        }
    }
}

impl Core {
    fn calls(&self) -> MutexGuard<'_, Sent> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, number: CallNumber) {
        self.calls().open.remove(&number);
        self.turn_is_over(number, None);
    }

    /// The connection of the moment; waits for one while the session lasts.
    async fn link(&self, sent: bool) -> Result<Arc<Link>, RemoteError> {
        if let State::Up(link) = &*self.link.borrow() {
            return Ok(link.clone());
        }
        let mut link = self.link.subscribe();
        let state = link.wait_for(|state| !matches!(state, State::Down)).await;
        match state.as_deref() {
            Ok(State::Up(link)) => Ok(link.clone()),
            Ok(State::Over(error)) if sent => {
                Err(RemoteError::new(RemoteErrorKind::MayHaveRun, error.reason()).of_manager(self.manager))
            }
            Ok(State::Over(error)) => Err(error.clone()),
            Ok(State::Down) | Err(_) => Err(RemoteErrorKind::ConnectionLost.into()),
        }
    }

    async fn link_lost(&self, lost: &Arc<Link>) {
        let is_lost = |state: &State| matches!(state, State::Up(link) if Arc::ptr_eq(link, lost));
        // The sender is in `self`.
        let _ = self.link.subscribe().wait_for(|state| !is_lost(state)).await;
    }

    /// After a reconnect, calls that went out before do so again, in their order; others wait for them.
    async fn wait_for_turn(&self, number: CallNumber) {
        while !self.calls().again.is_empty() {
            let mut over = pin!(self.turn.notified());
            over.as_mut().enable();
            if self.calls().again.first().is_none_or(|first| *first == number) {
                return;
            }
            over.await;
        }
    }

    /// The call went out over the connection of this generation, or never will.
    fn turn_is_over(&self, number: CallNumber, generation: Option<u64>) {
        let mut calls = self.calls();
        let counts = generation.is_none_or(|generation| generation == calls.generation);
        if counts && calls.again.remove(&number) {
            drop(calls);
            self.turn.notify_waiters();
        }
    }

    /// There is a connection: calls may go out.
    fn connected(&self, stream: Stream) -> JoinHandle<()> {
        let mut calls = self.calls();
        calls.again = calls.open.clone();
        calls.generation += 1;
        let (link, dispatch) = Link::start(stream, self.max_frame, calls.generation);
        drop(calls);
        self.link.send_replace(State::Up(Arc::new(link)));
        dispatch
    }

    fn over(&self, error: RemoteError) {
        self.link.send_replace(State::Over(error.of_manager(self.manager)));
    }

    /// Says what there is to say until the connection breaks. `true` if nothing will follow.
    async fn pump(&self, dispatch: &mut JoinHandle<()>) -> Result<(), RemoteError> {
        let lost = || RemoteError::from(RemoteErrorKind::ConnectionLost);
        let State::Up(link) = self.link.borrow().clone() else { return Err(lost()) };
        loop {
            tokio::select! {
                _ = &mut *dispatch => return Err(lost()),
                () = self.outbox.ready(self.lease / 3) => {}
            }
            let beat = self.outbox.beat();
            let ends = matches!(&beat, Request::Beat { items, .. } if items.last() == Some(&Item::End));
            let mut context = tarpc::context::current();
            context.deadline = Instant::now() + MAX_DEADLINE;
            let mut answer = pin!(link.channel.call(context, beat));
            let answer = loop {
                match tokio::time::timeout(self.lease / 3, &mut answer).await {
                    Ok(answer) => break answer,
                    // Something large may be on the way before it.
                    Err(_) if link.heard.ago() < self.lease / 3 => {}
                    Err(_) => return Err(lost()),
                }
            };
            match answer {
                Ok(Reply::Seen(seen)) => {
                    let empty = self.outbox.applied(seen);
                    if ends && empty {
                        return Ok(());
                    }
                }
                Ok(Reply::Remote(error)) => return Err(error),
                _ => return Err(lost()),
            }
        }
    }

    /// Goes on with the session over a new connection.
    async fn resume(&self) -> Result<Stream, RemoteError> {
        let mut stream = (self.dialer)().await?;
        let Stream { io, channel } = &mut stream;
        let (_, epoch, welcome) =
            handshake::dial(io, &self.key, channel, Some(self.manager), Some(self.id)).await?;
        if epoch != self.epoch {
            return Err(RemoteErrorKind::ManagerRestarted.into());
        }
        self.outbox.applied(welcome.seen);
        Ok(stream)
    }
}

/// Ends a session whose task ends, whatever ends that.
struct Ends(Arc<Core>);

impl Drop for Ends {
    fn drop(&mut self) {
        if !matches!(&*self.0.link.borrow(), State::Over(_)) {
            self.0.over(RemoteErrorKind::ConnectionLost.into());
        }
    }
}

/// Keeps a session alive, over one connection after the other.
async fn run(core: Arc<Core>, mut dispatch: JoinHandle<()>) {
    let core = Ends(core);
    let core = &*core.0;
    loop {
        let ended = core.pump(&mut dispatch).await;
        dispatch.abort();
        match ended {
            Ok(()) => return,
            Err(error) if error.kind() == RemoteErrorKind::SessionExpired => return core.over(error),
            Err(_) => {}
        }
        core.link.send_replace(State::Down);
        let until = tokio::time::Instant::now() + core.lease;
        let mut delay = Duration::from_millis(5);
        let stream = loop {
            match core.resume().await {
                Ok(stream) => break stream,
                Err(error) if !passes(error.kind()) || tokio::time::Instant::now() >= until => {
                    return core.over(error);
                }
                Err(_) => {}
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(1));
        };
        dispatch = core.connected(stream);
    }
}

/// Whether another attempt may go better.
fn passes(kind: RemoteErrorKind) -> bool {
    matches!(kind, RemoteErrorKind::ConnectionLost | RemoteErrorKind::Overloaded)
}
