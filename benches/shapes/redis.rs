//! `redis://`, beside the client and the socket.

use std::time::{Duration, Instant};

use proxystore::Bytes;
use proxystore_benches::{Race, Run, Suite, once, timed};
use proxystore_testkit::redis::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, cmd};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell};

use crate::bare::{self, Bare};
use crate::ours::{self, FAN, MANY, keep};
use crate::process_resolve::Elsewhere;

/// The crate `redis`.
struct Crate(MultiplexedConnection);

impl Crate {
    async fn connect(port: u16) -> Self {
        let client = Client::open(format!("redis://127.0.0.1:{port}")).expect("a client");
        // Its default of half a second is too short for the largest on a busy machine.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        Self(connection.expect("a connection"))
    }

    async fn del(&self, names: Vec<String>) {
        for names in names.chunks(1024) {
            cmd("UNLINK").arg(names).exec_async(&mut self.0.clone()).await.expect("UNLINK");
        }
    }
}

impl Bare for Crate {
    const NAME: &'static str = "redis crate";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        cmd("SET").arg(name).arg(&value[..]).exec_async(&mut self.0.clone()).await.expect("SET");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        let got: Vec<u8> = cmd("GET").arg(name).query_async(&mut self.0.clone()).await.expect("GET");
        got
    }

    async fn remove(&'static self, names: Vec<String>) {
        self.del(names).await;
    }
}

/// A socket, on which the bytes of the protocol are written and read, and nothing is done with them.
struct Socket {
    stream: Mutex<BufReader<TcpStream>>,
    remover: Crate,
}

impl Bare for Socket {
    const NAME: &'static str = "socket";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        let mut stream = self.stream.lock().await;
        let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{name}\r\n${}\r\n", name.len(), value.len());
        let socket = stream.get_mut();
        socket.write_all(head.as_bytes()).await.expect("a write");
        socket.write_all(value).await.expect("a write");
        socket.write_all(b"\r\n").await.expect("a write");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("a read");
        assert_eq!(answer, "+OK\r\n");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        let mut stream = self.stream.lock().await;
        let head = format!("*2\r\n$3\r\nGET\r\n${}\r\n{name}\r\n", name.len());
        stream.get_mut().write_all(head.as_bytes()).await.expect("a write");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("a read");
        let len: usize = answer.trim_start_matches('$').trim_end().parse().expect("a length");
        let mut got = Vec::with_capacity(len + 2);
        let mut rest = (&mut *stream).take(len as u64 + 2);
        while rest.read_buf(&mut got).await.expect("a read") > 0 {}
        got.truncate(len);
        got
    }

    async fn remove(&'static self, names: Vec<String>) {
        self.remover.del(names).await;
    }
}

/// Of another process, by the crate `redis`.
pub(crate) async fn elsewhere(port: &str, name: &str) -> Duration {
    static CONNECTION: OnceCell<Crate> = OnceCell::const_new();
    let port = port.parse().expect("a port");
    let Crate(connection) = CONNECTION.get_or_init(|| Crate::connect(port)).await;
    let start = Instant::now();
    let got: Vec<u8> = cmd("GET").arg(name).query_async(&mut connection.clone()).await.expect("GET");
    drop(got);
    start.elapsed()
}

pub(crate) fn measure(suite: &mut Suite) {
    let Some(server) = suite.block_on(RedisServer::start()) else {
        println!("redis: left out, there is no redis-server");
        return;
    };
    let port = server.port();
    let store = ours::open(suite, "redis", &server.uri());
    let client: &'static Crate = keep(suite.block_on(Crate::connect(port)));
    let socket: &'static Socket = keep(suite.block_on(async {
        let stream = TcpStream::connect(server.addr()).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Socket {
            stream: Mutex::new(BufReader::with_capacity(64, stream)),
            remover: Crate::connect(port).await,
        }
    }));
    let other = Elsewhere::start(suite, store);
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let race = |shape, run| Race::new("redis", shape, run).bytes(size);
        let put = race("put", ours::put(store, value))
            .against(Crate::NAME, bare::put(client, value))
            .against(Socket::NAME, bare::put(socket, value));
        suite.run(match size {
            10_000_000.. => put.within("P4", Crate::NAME, 0.7).within("P4", Socket::NAME, 1.2),
            _ => put,
        });
        let (key, name) = (ours::held(suite, store, value), bare::held(suite, client, value));
        let get = race("get", ours::get(store, key)).against(Crate::NAME, bare::get(client, name));
        suite.run(get.against(Socket::NAME, bare::get(socket, name)).within("P4", Crate::NAME, 1.1));
        suite.run(race("proxy", ours::proxy(store, value)).against(Crate::NAME, bare::put(client, value)));
        suite.run(race("resolve", ours::resolve(store, key)).against(Crate::NAME, bare::get(client, name)));
        let bare_elsewhere = other.ask(format!("redis {port} {name}"));
        suite.run(race("resolve elsewhere", other.resolve(store, key)).against(Crate::NAME, bare_elsewhere));
        suite.block_on(async {
            store.evict(key).await.expect("an evict");
            client.del(vec![name.into()]).await;
        });
    }
    suite.run(Race::new("redis", "miss", ours::miss(store)));
    batches(suite, store, client);
    suite.block_on(store.close()).expect("a close");
}

fn batches(suite: &mut Suite, store: &'static proxystore::Store, client: &'static Crate) {
    const BATCH: &str = "pipeline";
    let value = ours::value(1024);
    let race = |shape: &str, run| Race::new("redis", shape, run).bytes(1024);
    let put = race("put 1,000", ours::put_many(store, value)).against(BATCH, pipelined_put(client, value));
    suite.run(put.within("P5", BATCH, 1.15));
    let keys = ours::held_many(suite, store, value, FAN);
    let names = keep((0..FAN).map(|i| format!("held-{i:027}")).collect::<Vec<_>>());
    suite.block_on(async {
        for name in names {
            client.put(name.clone(), value).await;
        }
    });
    let get = race("get 1,000", ours::get_many(store, &keys[..MANY]));
    suite.run(get.against(BATCH, pipelined_get(client, &names[..MANY])).within("P5", BATCH, 1.15));
    for tasks in [64, FAN] {
        let shape = format!("get {tasks} at once");
        let get = race(&shape, ours::get_each(store, &keys[..tasks]));
        let get = get.against(BATCH, pipelined_get(client, &names[..tasks]));
        suite.run(if tasks == FAN { get.within("P5", BATCH, 1.3) } else { get });
    }
}

fn pipelined_put(client: &'static Crate, value: &'static Bytes) -> Run {
    let names = keep((0..MANY).map(|i| format!("batch-{i:026}")).collect::<Vec<_>>());
    timed(
        move || async move {
            let mut pipeline = Pipeline::with_capacity(MANY);
            for name in names {
                pipeline.cmd("SET").arg(name).arg(&value[..]).ignore();
            }
            pipeline.exec_async(&mut client.0.clone()).await.expect("a pipeline");
        },
        // Fresh keys for each, as for us, if not for each time within a turn.
        move |_| client.del(names.clone()),
    )
}

fn pipelined_get(client: &'static Crate, names: &'static [String]) -> Run {
    once(move || async move {
        let mut pipeline = Pipeline::with_capacity(names.len());
        for name in names {
            pipeline.cmd("GET").arg(name);
        }
        let got: Vec<Vec<u8>> = pipeline.query_async(&mut client.0.clone()).await.expect("a pipeline");
        got
    })
}
