//! One connection of a client: the handshake, and then requests until it breaks. Calls outlive it.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, poll};
use tarpc::server::{BaseChannel, Channel, Config, InFlightRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{Session, Space, Step};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Reply, Request};
use crate::handshake::{self, SessionId, Welcome};
use crate::heard::Watched;
use crate::steady::Steady;
use crate::wire;

/// Replies that wait for one connection to take them, beyond those of the calls that a session may have.
const SPARE_REPLIES: usize = 256;

/// A call that takes longer is followed by so many others in tasks of their own.
const QUICK: Duration = Duration::from_micros(100);
/// See [`QUICK`].
const APART: usize = 1000;

/// A session and the connection that speaks for it.
struct Admitted {
    session: Arc<Session>,
    connection: u64,
    disconnected: CancellationToken,
}

/// Serves one client until the connection breaks, the session ends, or another connection takes it over. `channel`
/// is what binds the handshake to the stream, empty if nothing does; `handshake` is held until it is over.
pub(crate) async fn serve<S>(
    space: Arc<Space>,
    mut stream: S,
    channel: &[u8],
    handshake: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let identity = (space.id, space.epoch);
    let admit = |resume, features| admit(&space, resume, features);
    let admitted = handshake::accept(&mut stream, &space.key, channel, identity, admit).await;
    drop(handshake);
    match admitted {
        Ok(admitted) => Steady::new(run(&space, stream, admitted)).await,
        Err(error) => tracing::warn!(%error, "a client was not let in"),
    }
}

fn admit(
    space: &Arc<Space>,
    resume: Option<SessionId>,
    features: u32,
) -> Result<(Welcome, Admitted), RemoteError> {
    if space.stopping.is_cancelled() {
        return Err(RemoteErrorKind::ShuttingDown.into());
    }
    let session = match resume {
        Some(id) => space.find_session(&id).ok_or(RemoteErrorKind::SessionExpired)?,
        None => space.open_session(features)?,
    };
    let (connection, disconnected, seen) = session.connect().ok_or(RemoteErrorKind::SessionExpired)?;
    let welcome = Welcome {
        session: session.id,
        seen,
        lease_millis: space.limits.lease.as_millis() as u64,
        max_frame: space.limits.max_frame as u64,
    };
    Ok((welcome, Admitted { session, connection, disconnected }))
}

async fn run<S>(space: &Arc<Space>, stream: S, admitted: Admitted)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Admitted { session, connection, disconnected } = admitted;
    let transport =
        wire::framed::<_, wire::Server>(Watched::new(stream, session.heard.clone()), space.limits.max_frame);
    let config = Config { pending_response_buffer: SPARE_REPLIES };
    let channel = BaseChannel::<Request, Reply, _>::new(config, transport);
    let mut requests = pin!(channel.requests());
    // How many calls begin in tasks of their own, since one has kept this one busy.
    let mut apart = 0;
    let mut disconnected = pin!(disconnected.cancelled());
    loop {
        let request = tokio::select! {
            () = &mut disconnected => return,
            request = requests.next() => match request {
                Some(Ok(request)) => request,
                _ => return,
            },
        };
        // A client that asks and does not read would fill the memory.
        if requests.channel().in_flight_requests() > space.limits.max_calls + SPARE_REPLIES {
            tracing::warn!("a client does not read its replies");
            return;
        }
        let mut outcome = match session.take(connection, request.get().message.clone()) {
            Step::Now(reply) => {
                answer(request, Arc::new(reply));
                continue;
            }
            Step::Later(outcome) => outcome,
        };
        // Most methods are done at once, and a task of their own would cost more than they do.
        let mut done = Poll::Pending;
        if apart == 0 {
            let start = Instant::now();
            done = poll!(&mut outcome);
            apart = if start.elapsed() > QUICK { APART } else { 0 };
        } else {
            apart -= 1;
        }
        match done {
            Poll::Ready(reply) => answer(request, reply),
            Poll::Pending => {
                space.tasks.spawn(async move { answer(request, outcome.await) });
            }
        }
    }
}

/// Hands the reply over to the connection. If that does not take it at once, a task waits for it.
fn answer(request: InFlightRequest<Request, Reply>, reply: Arc<Reply>) {
    let serve = tarpc::server::serve(async move |_, _| Ok(Arc::unwrap_or_clone(reply)));
    let mut sending = Box::pin(request.execute(serve));
    if (&mut sending).now_or_never().is_none() {
        tokio::spawn(sending);
    }
}
