//! A connector to the simulated server, as honest about lost replies as a real one has to be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxystore::{
    Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, KeyHint, Mode, Payload, PutOptions, Reach,
    Result, Tags, async_trait,
};
use tokio::time::{Instant, timeout_at};
use turmoil::net::TcpStream;

use crate::history::{History, Op, Who};
use crate::wire::{self, Reply, Request};

#[derive(Debug)]
pub(crate) struct SimConnector {
    info: ConnectorInfo,
    who: Who,
    history: History,
    deadline: Duration,
    idle: Mutex<Vec<TcpStream>>,
}

impl SimConnector {
    pub(crate) fn new(who: Who, history: History, deadline: Duration) -> Self {
        let capabilities = Capabilities {
            reach: Reach::Network,
            create: true,
            watch: false,
            ttl: false,
            take: true,
            max_value: 1 << 30,
        };
        let uri = format!("sim://{}", wire::SERVER).parse().expect("a URI");
        Self { info: ConnectorInfo::new(uri, capabilities), who, history, deadline, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One exchange on a connection that nobody else uses. Dropping the future closes the connection.
    async fn call(&self, request: Request) -> Result<Reply> {
        let until = Instant::now() + self.deadline;
        let idle = self.idle().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => match timeout_at(until, wire::connect()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(unavailable("cannot connect").with_source(error)),
                Err(_) => return Err(unavailable("no connection within the deadline")),
            },
        };
        let lost = match timeout_at(until, wire::exchange(&mut stream, &request)).await {
            Ok(Ok(reply)) => {
                self.idle().push(stream);
                return Ok(reply);
            }
            Ok(Err(error)) => unavailable("the connection is lost").with_source(error),
            Err(_) => unavailable("no reply within the deadline").with_kind(ErrorKind::Timeout),
        };
        // What broke this connection has broken the others.
        self.idle().clear();
        Err(if request.writes() { lost.with_kind(ErrorKind::Ambiguous) } else { lost })
    }
}

fn unavailable(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why).transient()
}

fn nonsense(reply: &Reply) -> Error {
    Error::new(ErrorKind::Unexpected, format!("not an answer to this: {reply:?}"))
}

#[async_trait]
impl Connector for SimConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    /// What the tag says, if there is one. Without randomness, so that a seed is the same run each time.
    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        if let Some(tag) = hint.tags.and_then(Tags::first) {
            return Key::parse(tag);
        }
        Key::parse(&format!("{}-{}", self.who.host, self.history.number()))
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        let create = options.mode == Mode::Create;
        let request = Request::Put { key: key.clone(), value: value.into_bytes(), create };
        // The store may drop it at any time.
        let event = self.history.begin(self.who, Op::Send, Some(key), Duration::MAX);
        let result = match self.call(request).await {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Taken) => Err(Error::new(ErrorKind::Exists, "the key is taken")),
            Ok(reply) => Err(nonsense(&reply)),
            Err(error) => Err(error),
        };
        self.history.end(event, result.clone().map_or_else(Into::into, Into::into));
        result
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        match self.call(Request::Get(key.clone())).await? {
            Reply::Object(object) => Ok(object.map(Into::into)),
            reply => Err(nonsense(&reply)),
        }
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        match self.call(Request::Exists(key.clone())).await? {
            Reply::Exists(exists) => Ok(exists),
            reply => Err(nonsense(&reply)),
        }
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        match self.call(Request::Evict(key.clone())).await? {
            Reply::Done => Ok(()),
            reply => Err(nonsense(&reply)),
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        match self.call(Request::Take(key.clone())).await? {
            Reply::Object(object) => Ok(object.map(Into::into)),
            reply => Err(nonsense(&reply)),
        }
    }

    async fn close(&self) -> Result<()> {
        self.idle().clear();
        Ok(())
    }
}
