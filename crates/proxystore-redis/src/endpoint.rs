//! How a connection comes about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_ok;
use proxystore_core::{Error, Result};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult, Value, cmd,
};

use crate::bulk::Carrier;
use crate::config::{RedisConfig, Server};
use crate::error::{self, Effect};
use crate::link::{Conn, Deaf, Link, Listener};
use crate::mux::Mux;
use crate::request::Request;
use crate::wire::Wire;

/// After this much silence a peer is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// So long unacknowledged data may stay in the kernel before the connection counts as broken.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where connections lead.
pub(crate) struct Endpoint {
    target: Target,
    /// The server turned out to speak RESP2 only.
    resp2: AtomicBool,
}

#[cfg_attr(feature = "cluster", expect(clippy::large_enum_variant, reason = "there is one per connector"))]
enum Target {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        settings: RedisConnectionInfo,
    },
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster::ClusterClient),
}

impl Endpoint {
    /// Reads the file of certificates, if there is one. No other I/O.
    pub(crate) async fn of(config: &RedisConfig) -> Result<Self> {
        let settings = settings(config);
        let single = |addr: ConnectionAddr| info(addr, settings.clone()).map_err(|e| error::unreachable(&e));
        let target = match &config.server {
            Server::Unix { path } => Target::Single(single(ConnectionAddr::Unix(path.clone()))?),
            Server::Tcp { host, port, tls: false } => {
                Target::Single(single(ConnectionAddr::Tcp(host.clone(), *port))?)
            }
            Server::Tcp { host, port, tls: true } => {
                let addr = ConnectionAddr::TcpTls {
                    host: host.clone(),
                    port: *port,
                    insecure: false,
                    tls_params: None,
                };
                Target::Single(trusting(single(addr)?, config.ca.clone()).await?)
            }
            Server::Sentinel { hosts, master } => {
                let ask = |(host, port): &(String, u16)| {
                    let addr = ConnectionAddr::Tcp(host.clone(), *port);
                    info(addr, RedisConnectionInfo::default()).map_err(|e| error::unreachable(&e))
                };
                let sentinels = hosts.iter().map(ask).collect::<Result<_>>()?;
                Target::Sentinel { sentinels, master: master.clone(), settings }
            }
            Server::Cluster { hosts } => cluster(config, hosts)?,
        };
        Ok(Self { target, resp2: AtomicBool::new(false) })
    }

    /// Where a client of the `redis` crate leads.
    pub(crate) fn of_client(client: &Client) -> Self {
        let info = client.get_connection_info().clone().set_tcp_settings(tcp());
        Self { target: Target::Single(info), resp2: AtomicBool::new(false) }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    #[cfg(not(feature = "cluster"))]
    pub(crate) fn is_cluster(&self) -> bool {
        false
    }

    /// Whether connections of our own lead there.
    pub(crate) fn is_wired(&self) -> bool {
        match &self.target {
            Target::Single(info) => Wire::leads(info),
            Target::Sentinel { .. } => true,
            #[cfg(feature = "cluster")]
            Target::Cluster(_) => false,
        }
    }

    /// A new connection for one transfer at a time, logged in. Dropping the future leaves none.
    pub(crate) async fn carrier(&self) -> RedisResult<Carrier> {
        match self.wire().await? {
            Some(wire) => Ok(Carrier::Wire(wire)),
            None => self.connect(Arc::new(Deaf)).await.map(Carrier::Link),
        }
    }

    /// A new connection for small requests, logged in. Dropping the future leaves none.
    pub(crate) async fn shared(&self) -> RedisResult<Link> {
        let listener: Arc<dyn Listener> = Arc::new(Deaf);
        match self.wire().await? {
            Some(wire) => Ok(Link::new(Conn::Mux(Mux::spawn(wire, listener.clone())), Some(&listener))),
            None => self.connect(listener).await,
        }
    }

    /// A connection of our own, where one can lead.
    async fn wire(&self) -> RedisResult<Option<Wire>> {
        match &self.target {
            Target::Single(info) => Wire::connect(info).await,
            Target::Sentinel { sentinels, master, settings } => {
                let connect = |info| async move {
                    match Wire::connect(&info).await? {
                        Some(mut wire) => {
                            is_master(wire.send(&role(), Effect::Read).await?).map(|()| Some(wire))
                        }
                        None => Ok(None),
                    }
                };
                through(sentinels, master, settings, connect).await
            }
            #[cfg(feature = "cluster")]
            Target::Cluster(_) => Ok(None),
        }
    }

    /// A new connection of the `redis` crate, logged in. Dropping the future leaves none.
    pub(crate) async fn connect(&self, listener: Arc<dyn Listener>) -> RedisResult<Link> {
        match &self.target {
            Target::Single(info) => self.single(info, listener).await,
            Target::Sentinel { sentinels, master, settings } => {
                // The listener's other owners go with the attempts.
                let connect = |info| {
                    let listener = listener.clone();
                    async move {
                        let link = self.single(&info, listener).await?;
                        is_master(link.send(&role()).await?).map(|()| link)
                    }
                };
                through(sentinels, master, settings, connect).await
            }
            #[cfg(feature = "cluster")]
            Target::Cluster(client) => {
                client.get_async_connection().await.map(|conn| Link::new(Conn::Cluster(conn), None))
            }
        }
    }

    async fn single(&self, info: &ConnectionInfo, listener: Arc<dyn Listener>) -> RedisResult<Link> {
        if !self.resp2.load(Ordering::Relaxed) {
            let client = client(info, ProtocolVersion::RESP3)?;
            let driver = listener.clone();
            let hear = move |push: PushInfo| {
                driver.hear(push);
                Ok::<_, ()>(())
            };
            let config = quiet().set_push_sender(hear);
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(conn) => return Ok(Link::new(Conn::Single(conn), Some(&listener))),
                Err(error) if !lacks_resp3(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let client = client(info, ProtocolVersion::RESP2)?;
        let conn = client.get_multiplexed_async_connection_with_config(&quiet()).await?;
        self.resp2.store(true, Ordering::Relaxed);
        Ok(Link::new(Conn::Single(conn), None))
    }
}

/// Without deadlines: the caller has one for all of it.
fn quiet() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

fn client(info: &ConnectionInfo, protocol: ProtocolVersion) -> RedisResult<Client> {
    let settings = info.redis_settings().clone().set_protocol(protocol);
    Client::open(info.clone().set_redis_settings(settings))
}

/// Whether the server, or a proxy or access rule before it, knows no HELLO.
fn lacks_resp3(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPROTO" | "NOPERM"))
        || error.kind() == ErrorKind::RESP3NotSupported
        || error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}

/// The address that a sentinel knows.
async fn ask(sentinel: &ConnectionInfo, master: &str) -> RedisResult<ConnectionAddr> {
    let client = client(sentinel, ProtocolVersion::RESP2)?;
    let mut conn = client.get_multiplexed_async_connection_with_config(&quiet()).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    match question.query_async::<Option<(String, u16)>>(&mut conn).await? {
        Some((host, port)) => Ok(ConnectionAddr::Tcp(host, port)),
        None => Err((ErrorKind::InvalidClientConfig, "no sentinel knows a master of that name").into()),
    }
}

/// Connects to the master that the sentinels know. All are asked at once: one that is dead or wrong delays nobody.
async fn through<T, F: Future<Output = RedisResult<T>> + Send>(
    sentinels: &[ConnectionInfo],
    master: &str,
    settings: &RedisConnectionInfo,
    connect: impl Fn(ConnectionInfo) -> F + Sync,
) -> RedisResult<T> {
    let connect = &connect;
    let attempts = sentinels.iter().map(|sentinel| {
        async move { connect(info(ask(sentinel, master).await?, settings.clone())?).await }.boxed()
    });
    select_ok(attempts).await.map(|(found, _)| found)
}

fn role() -> Request {
    let mut role = Pipeline::with_capacity(1);
    role.cmd("ROLE");
    role.into()
}

/// A sentinel may not know yet that it was deposed; it knows itself.
fn is_master(role: Vec<Value>) -> RedisResult<()> {
    match role.first() {
        Some(Value::Array(role)) if role.first() == Some(&Value::BulkString(b"master".to_vec())) => Ok(()),
        _ => Err(std::io::Error::other("the sentinel names a server that is no master").into()),
    }
}

fn settings(config: &RedisConfig) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(config.db.into());
    if let Some(user) = &config.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose());
    }
    settings
}

fn info(addr: ConnectionAddr, settings: RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
    Ok(addr.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp()))
}

fn tcp() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

/// The same, trusting the certificates in this file and no others.
#[cfg(feature = "tls")]
async fn trusting(info: ConnectionInfo, ca: Option<std::path::PathBuf>) -> Result<ConnectionInfo> {
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    if CryptoProvider::get_default().is_none() {
        // An error means that somebody else was faster, whose choice stands.
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let Some(path) = ca else { return Ok(info) };
    let bad = |why: String| {
        Error::new(proxystore_core::ErrorKind::Config, format!("the file of certificates {why}"))
            .with("ca", path.display())
    };
    let file = path.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
    let pem = match read {
        Ok(Ok(pem)) => pem,
        Ok(Err(error)) => return Err(bad(format!("cannot be read: {error}"))),
        Err(_) => return Err(bad("was not read: the runtime is shutting down".into())),
    };
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client =
        Client::build_with_tls(info, certificates).map_err(|_| bad("holds no PEM certificates".into()))?;
    Ok(client.get_connection_info().clone())
}

#[cfg(not(feature = "tls"))]
async fn trusting(_: ConnectionInfo, _: Option<std::path::PathBuf>) -> Result<ConnectionInfo> {
    Err(Error::new(proxystore_core::ErrorKind::Unsupported, "this build speaks no TLS to Redis"))
}

#[cfg(feature = "cluster")]
fn cluster(config: &RedisConfig, hosts: &[(String, u16)]) -> Result<Target> {
    let nodes = hosts.iter().map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port));
    let nodes: Vec<_> = nodes
        .map(IntoConnectionInfo::into_connection_info)
        .collect::<RedisResult<_>>()
        .map_err(|e| error::unreachable(&e))?;
    let mut builder = redis::cluster::ClusterClientBuilder::new(nodes)
        .connection_timeout(config.connect_timeout)
        // Our own deadlines are what counts; this one only must not come before them.
        .response_timeout(Duration::from_secs(3600))
        .tcp_settings(tcp());
    if let Some(user) = &config.user {
        builder = builder.username(user);
    }
    if let Some(password) = &config.password {
        builder = builder.password(password.expose());
    }
    builder.build().map(Target::Cluster).map_err(|e| error::unreachable(&e))
}

#[cfg(not(feature = "cluster"))]
fn cluster(_: &RedisConfig, _: &[(String, u16)]) -> Result<Target> {
    Err(Error::new(proxystore_core::ErrorKind::Unsupported, "this build speaks to no cluster"))
}
