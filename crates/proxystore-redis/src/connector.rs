//! The connector: one object at a time. For many see `batch`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{
    Bytes, Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, Mode, Payload, PutOptions, Reach,
    Result, Transfer, Watch, async_trait,
};
use redis::{Client, ConnectionAddr, Pipeline, Value};

use crate::config::{RedisConfig, Server};
use crate::endpoint::Endpoint;
use crate::error::{self, Effect};
use crate::lanes::{Lanes, SMALL};
use crate::request::{Request, millis};
use crate::watch::Watches;

/// The longest string that the server takes, unless its `proto-max-bulk-len` is changed.
pub(crate) const MAX_VALUE: usize = 512 * 1024 * 1024;

/// Objects in Redis. See the [crate's documentation](crate) for URIs and connections.
///
/// Its futures are cancel-safe. A dropped `put` of up to 64 KiB, `evict`, `touch` or `take` may still happen, a
/// larger `put` too unless its connection was closed first; all leave the connector in order. Reads, and writes that
/// may be repeated, are sent a second time when their connection breaks.
pub struct RedisConnector {
    info: ConnectorInfo,
    prefix: Arc<str>,
    pub(crate) lanes: Arc<Lanes>,
    watches: Arc<Watches>,
    warnings: Vec<String>,
}

impl RedisConnector {
    /// A connector to where `client` leads: its address, database, user, password and TLS settings.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = redis::Client::open("redis://cache.example/0")?;
    /// let connector = proxystore_redis::RedisConnector::from_client(&client, "jobs").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Errors as connecting by a URI does. Dropping the future leaves no connection.
    pub async fn from_client(client: &Client, prefix: &str) -> Result<Self> {
        let info = client.get_connection_info();
        let server = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Server::Tcp { host: host.clone(), port: *port, tls: false },
            ConnectionAddr::TcpTls { host, port, .. } => {
                Server::Tcp { host: host.clone(), port: *port, tls: true }
            }
            ConnectionAddr::Unix(path) => Server::Unix { path: path.clone() },
            _ => {
                return Err(Error::new(ErrorKind::Unsupported, "the client's address is of an unknown kind"));
            }
        };
        let db = u32::try_from(info.redis_settings().db())
            .map_err(|_| Error::new(ErrorKind::Config, "the client's database is not a number from 0"))?;
        let config = RedisConfig { server, db, prefix: prefix.into(), ..RedisConfig::default() };
        config.check()?;
        Self::open(&config, Endpoint::of_client(client)).await
    }

    /// Connects, and looks whether the objects are within reach.
    pub(crate) async fn open(config: &RedisConfig, endpoint: Endpoint) -> Result<Self> {
        use proxystore_core::ConnectorConfig;
        let capabilities = Capabilities {
            reach: if matches!(config.server, Server::Unix { .. }) { Reach::Host } else { Reach::Network },
            create: true,
            watch: true,
            ttl: true,
            take: true,
            max_value: MAX_VALUE as u64,
        };
        let lanes = Arc::new(Lanes::new(endpoint, config.timeout, config.connect_timeout, config.bulk));
        let prefix: Arc<str> = config.prefix.as_str().into();
        let mut connector = Self {
            info: ConnectorInfo::new(config.identity(), capabilities),
            watches: Arc::new(Watches::new(lanes.clone(), prefix.clone())),
            prefix,
            lanes,
            warnings: Vec::new(),
        };
        let reach = connector.integer("EXISTS", &format!("{}:", connector.prefix), Effect::Read).await;
        reach.map_err(|error| connector.explain(error, "connect", None))?;
        connector.warnings.extend(connector.eviction().await);
        #[cfg(feature = "tracing")]
        for warning in &connector.warnings {
            tracing::warn!(connector = %connector.info.uri, "{warning}");
        }
        Ok(connector)
    }

    /// What was found at connecting that endangers objects: that the server is set to drop some when it is full.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The warning about the server's eviction policy. Nothing where the server does not tell.
    async fn eviction(&self) -> Option<String> {
        if self.lanes.endpoint().is_cluster() {
            return None;
        }
        let mut info = Pipeline::with_capacity(1);
        info.cmd("INFO").arg("memory");
        let text = match self.lanes.call(&info.into(), 0, Effect::Read).await.ok()?.pop()? {
            Value::BulkString(text) => String::from_utf8(text).ok()?,
            Value::VerbatimString { text, .. } => text,
            _ => return None,
        };
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let (policy, limit) = (field("maxmemory_policy")?, field("maxmemory")?);
        let drops = match policy.split_once('-')?.0 {
            _ if limit == "0" => return None,
            "allkeys" => "any object",
            "volatile" => "objects with a time to live",
            _ => return None,
        };
        Some(format!(
            "the server may drop {drops} when it is full (maxmemory-policy {policy}); set noeviction to be told instead"
        ))
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of an object on the server.
    pub(crate) fn name(&self, key: &Key) -> String {
        [&self.prefix, ":", key.as_str()].concat()
    }

    /// Adds where an error happened.
    pub(crate) fn explain(&self, error: Error, operation: &'static str, key: Option<&Key>) -> Error {
        let error = error.with("operation", operation).with("connector", &self.info.uri);
        match key {
            Some(key) => error.with("key", key),
            None => error,
        }
    }

    /// The answer of a command that takes the object's name alone.
    async fn ask(&self, command: &'static str, name: &str, bytes: u64, effect: Effect) -> Result<Value> {
        one(self.lanes.call(&Request::of(command, name), bytes, effect).await?)
    }

    async fn integer(&self, command: &'static str, name: &str, effect: Effect) -> Result<u64> {
        integer(self.ask(command, name, 0, effect).await?)
    }

    async fn write(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        check_size(&value)?;
        let bytes = value.len() as u64;
        let sets = Request::Sets(vec![(self.name(key), value)], options.clone());
        stored(one(self.lanes.call(&sets, bytes, effect_of(options)).await?)?)
    }

    /// What only large objects need is apart: memory for a small future is quicker to have.
    async fn read(&self, key: &Key) -> Result<Option<Bytes>> {
        let name = self.name(key);
        if let Some(lease) = self.lanes.idle()
            && let Some(answer) = Box::pin(self.lanes.straight(lease, &name)).await?
        {
            return bytes(answer);
        }
        let start = if self.lanes.endpoint().is_wired() {
            Request::Each(START, vec![name], &[0, SMALL])
        } else {
            // Where no other connection could be idle, the size of a large one comes at once.
            let mut commands = Pipeline::with_capacity(2);
            commands.cmd(START).arg(&name).arg(&[0, SMALL]).cmd("STRLEN").arg(&name);
            commands.into()
        };
        let mut answers = self.lanes.call(&start, 0, Effect::Read).await?.into_iter();
        let start = bytes(answers.next().ok_or_else(error::strange)?)?.unwrap_or_default();
        // It ends before the range does, so this is all of it.
        if (1..=SMALL).contains(&start.len()) {
            return Ok(Some(start));
        }
        Box::pin(self.read_rest(key, answers.next())).await
    }

    /// An object that is empty, absent, or large, which a range does not tell; its length, if that was asked for.
    async fn read_rest(&self, key: &Key, size: Option<Value>) -> Result<Option<Bytes>> {
        let name = self.name(key);
        let size = match size.map(integer).transpose()? {
            Some(size) if size > 0 => size,
            _ => match self.size(&name).await? {
                None => return Ok(None),
                Some(0) => return Ok(Some(Bytes::new())),
                Some(size) => size,
            },
        };
        Transfer::current().expect(admit(size)?).await?;
        bytes(self.ask("GET", &name, size, Effect::Read).await?)
    }

    /// How many bytes the object has; `None` if there is none.
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let mut commands = Pipeline::with_capacity(3);
        // Others may come in between: what is empty was there before and is there after.
        commands.cmd("EXISTS").arg(name).cmd("STRLEN").arg(name).cmd("EXISTS").arg(name);
        let answers = self.lanes.call(&commands.into(), 0, Effect::Read).await?;
        let numbers = answers.into_iter().map(integer).collect::<Result<Vec<_>>>()?;
        let [before, size, after] = numbers.try_into().map_err(|_| error::strange())?;
        Ok((size > 0 || (before > 0 && after > 0)).then_some(size))
    }

    async fn pull(&self, key: &Key) -> Result<Option<Bytes>> {
        let name = self.name(key);
        let Some(size) = self.size(&name).await? else { return Ok(None) };
        Transfer::current().expect(admit(size)?).await?;
        bytes(self.ask("GETDEL", &name, size, Effect::Once).await?)
    }

    async fn expire(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let mut commands = Pipeline::with_capacity(1);
        commands.cmd("PEXPIRE").arg(self.name(key)).arg(millis(ttl));
        Ok(integer(one(self.lanes.call(&commands.into(), 0, Effect::Idempotent).await?)?)? > 0)
    }
}

#[async_trait]
impl Connector for RedisConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.write(key, value, options).await.map_err(|error| self.explain(error, "put", Some(key)))
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let read = self.read(key).await.map_err(|error| self.explain(error, "get", Some(key)))?;
        Ok(read.map(Payload::from))
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let count = self.integer("EXISTS", &self.name(key), Effect::Read).await;
        count.map(|count| count > 0).map_err(|error| self.explain(error, "exists", Some(key)))
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        let count = self.integer("UNLINK", &self.name(key), Effect::Idempotent).await;
        count.map(drop).map_err(|error| self.explain(error, "evict", Some(key)))
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        self.write_many(items, options).await
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        self.read_many(keys).await
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        self.unlink_many(keys).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.expire(key, ttl).await.map_err(|error| self.explain(error, "touch", Some(key)))
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let pulled = self.pull(key).await.map_err(|error| self.explain(error, "take", Some(key)))?;
        Ok(pulled.map(Payload::from))
    }

    /// Wakes by `CLIENT TRACKING`. Where the server refuses that (before version 6, some proxies, a cluster), it wakes
    /// time and again, by the delays of the default [`Backoff`](proxystore_core::Backoff).
    async fn watch(&self, key: &Key) -> Result<Watch> {
        let watch = self.watches.clone().watch(key).await;
        watch.map_err(|error| self.explain(error, "watch", Some(key)))
    }

    async fn close(&self) -> Result<()> {
        self.lanes.close();
        self.watches.close();
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        self.clear_prefix().await.map_err(|error| self.explain(error, "clear", None))
    }
}

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisConnector({})", self.info.uri)
    }
}

pub(crate) fn effect_of(options: &PutOptions) -> Effect {
    match options.mode {
        Mode::Overwrite => Effect::Idempotent,
        Mode::Create => Effect::Once,
    }
}

pub(crate) fn check_size(value: &Payload) -> Result<()> {
    if value.len() <= MAX_VALUE {
        return Ok(());
    }
    Err(Error::new(ErrorKind::TooLarge, "Redis takes at most 512 MiB").with("bytes", value.len()))
}

/// Whether the caller takes an object of the size that the server says. A size that cannot be is not waited for.
pub(crate) fn admit(size: u64) -> Result<u64> {
    if size > MAX_VALUE as u64 {
        return Err(Error::new(ErrorKind::Corrupt, "the server says that the object is larger than any is")
            .with("bytes", size));
    }
    Transfer::current().admit(size).map(|()| size)
}

/// The answer to `SET`.
pub(crate) fn stored(answer: Value) -> Result<()> {
    match answer {
        Value::Okay => Ok(()),
        Value::Nil => Err(Error::new(ErrorKind::Exists, "the key is taken")),
        Value::ServerError(error) => Err(error::refused(&error)),
        _ => Err(error::strange()),
    }
}

pub(crate) fn bytes(answer: Value) -> Result<Option<Bytes>> {
    match answer {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::Nil => Ok(None),
        Value::ServerError(error) => Err(error::refused(&error)),
        _ => Err(error::strange()),
    }
}

pub(crate) fn integer(answer: Value) -> Result<u64> {
    match answer {
        Value::Int(number) => u64::try_from(number).map_err(|_| error::strange()),
        Value::ServerError(error) => Err(error::refused(&error)),
        _ => Err(error::strange()),
    }
}

fn one(answers: Vec<Value>) -> Result<Value> {
    let [answer] = answers.try_into().map_err(|_| error::strange())?;
    Ok(answer)
}

/// Reads an object's first bytes, from 0 to a number and one more: if they are no more than the number, they are all.
pub(crate) const START: &str = "GETRANGE";
