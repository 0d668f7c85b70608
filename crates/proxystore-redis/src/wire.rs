//! A connection of our own, which copies no large value: the `redis` crate's copies each three times on its way out and
//! once on its way in.
//!
//! It carries one request at a time, as the calls for objects need it: strings, numbers, errors, and no pushes.

use std::io;
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{Either, select, select_ok};
use proxystore_core::Transfer;
use redis::io::tcp::socket2::SockRef;
use redis::{ConnectionAddr, ConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, lookup_host};

use crate::connector::admit;
use crate::error::{self, Effect};
use crate::lanes::SMALL;
use crate::reply::{Head, Replies};
use crate::request::Request;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// TCP, or a unix socket.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) struct Wire {
    replies: Replies<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
    /// A request is not through: what comes next belongs to nobody.
    busy: bool,
}

impl Wire {
    /// Whether one can lead there: not by TLS.
    pub(crate) fn leads(info: &ConnectionInfo) -> bool {
        matches!(info.addr(), ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_))
    }

    /// A new connection, logged in; `None` where only the `redis` crate can lead. Dropping the future leaves none.
    pub(crate) async fn connect(info: &ConnectionInfo) -> RedisResult<Option<Self>> {
        let stream: Stream = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port, info).await?),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            _ => return Ok(None),
        };
        let (reader, writer) = split(stream);
        let mut wire = Self { replies: Replies::new(reader), writer, busy: false };
        wire.log_in(info.redis_settings()).await?;
        Ok(Some(wire))
    }

    async fn log_in(&mut self, settings: &RedisConnectionInfo) -> RedisResult<()> {
        if let Some(password) = settings.password() {
            let user = settings.username();
            match self.order("AUTH", &user.into_iter().chain([password]).collect::<Vec<_>>()).await {
                // Before version 6 a server knows no users.
                Err(error) if user.is_some() && error::is_arity(&error) => {
                    self.order("AUTH", &[password]).await?;
                }
                answer => answer?,
            }
        }
        // A connection is none before the server has answered: what it is sent may lie with the kernel for long.
        match settings.db() {
            0 => match self.order("PING", &[]).await {
                // A server that cannot persist still serves reads, and refuses writes itself.
                Err(error) if error.code() == Some("MISCONF") => Ok(()),
                answer => answer,
            },
            db => self.order("SELECT", &[&db.to_string()]).await,
        }
    }

    /// A command that the server confirms.
    async fn order(&mut self, command: &str, args: &[&str]) -> RedisResult<()> {
        let mut commands = Pipeline::with_capacity(1);
        commands.cmd(command).arg(args);
        match self.send(&commands.into(), Effect::Read).await?.pop() {
            Some(Value::ServerError(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends the request and waits for all answers, errors of the server among them. Dropped before its end, or failed,
    /// the connection is of no more use. A large object that the caller does not take is not read, unless the server
    /// has it no more.
    pub(crate) async fn send(&mut self, request: &Request, effect: Effect) -> RedisResult<Vec<Value>> {
        let transfer = Transfer::current();
        self.busy = true;
        let replies = &mut self.replies;
        let read = pin!(async {
            let mut answers = Vec::with_capacity(request.len());
            for _ in 0..request.len() {
                if let Some(answer) = replies.short().await? {
                    if let Value::BulkString(bytes) = &answer {
                        transfer.moved(bytes.len() as u64);
                    }
                    answers.push(answer);
                    continue;
                }
                answers.push(match replies.head().await? {
                    Head::Body(len) => {
                        if len > SMALL && effect != Effect::Once {
                            admit(len as u64).map_err(|_| error::grown())?;
                        }
                        Value::BulkString(replies.body(len, &transfer).await?)
                    }
                    head => replies.rest(head).await?,
                });
            }
            Ok(answers)
        });
        // Both at once: a server may answer before it has read all, be it with a refusal.
        match select(read, pin!(request.pack().write(&mut self.writer, &transfer))).await {
            // What is not written by now never will be.
            Either::Left((answers, _)) => answers,
            Either::Right((Ok(()), read)) => {
                let answers = read.await?;
                self.busy = false;
                Ok(answers)
            }
            // A server that hangs up may have said why.
            Either::Right((Err(error), read)) => read.await.map_err(|_: RedisError| error.into()),
        }
    }

    /// Sends one command, and waits for the beginning of its answer. After [`Head::Body`], [`body`](Self::body) follows.
    pub(crate) async fn ask(&mut self, request: &Request) -> io::Result<Head> {
        self.busy = true;
        request.pack().write(&mut self.writer, &Transfer::default()).await?;
        let head = self.replies.head().await?;
        self.busy = !matches!(head, Head::Whole(_));
        Ok(head)
    }

    /// The rest of an answer. Dropped before its end, or failed, the connection is of no more use.
    pub(crate) async fn body(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let body = self.replies.body(len, &Transfer::current()).await?;
        self.busy = false;
        Ok(body)
    }

    /// Whether it can carry another request: it is open, and owes nothing.
    pub(crate) fn is_idle(&mut self) -> bool {
        !self.busy && self.replies.unasked().now_or_never().is_none()
    }

    /// For one who reads and writes at once.
    pub(crate) fn into_parts(self) -> (Replies<ReadHalf<Stream>>, WriteHalf<Stream>) {
        (self.replies, self.writer)
    }
}

/// To whichever of the host's addresses answers first.
async fn tcp(host: &str, port: u16, info: &ConnectionInfo) -> io::Result<TcpStream> {
    let attempts: Vec<_> =
        lookup_host((host, port)).await?.map(|addr| Box::pin(TcpStream::connect(addr))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    }
    let (stream, _) = select_ok(attempts).await?;
    let (socket, settings) = (SockRef::from(&stream), info.tcp_settings());
    socket.set_tcp_nodelay(settings.nodelay())?;
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
