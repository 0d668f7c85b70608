//! A server that answers anything at all.

mod server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxystore_core::{
    Connector, ConnectorConfig, Error, ErrorKind, Key, Mode, Origin, Payload, PutOptions, Result,
};
use proxystore_redis::RedisConfig;
use proxystore_store::{Raw, Store};
use tokio::time::timeout;

use crate::envelope::seal;
use crate::{check, rt};
use server::{Script, serve};

/// What the connector is told to wait for an answer, in milliseconds.
const PATIENCE: u64 = 50;
/// So late an operation never is, on a machine with other work.
const LATE: Duration = Duration::from_secs(5);
/// How many operations there are, and how many of them make a run.
const OPERATIONS: u8 = 14;
const RUN: u8 = 4;
/// The only object that there is.
const BODY: &[u8] = b"the body of an object";

/// The first byte chooses how the server behaves, the second the operations; the rest are its answers, each behind
/// its length in two bytes. Whatever it answers, every operation ends in time, in a value that the server has sent or
/// in an error that says so; an object is never taken for another one, and no fault for absence of a store.
pub fn redis_replies(data: &[u8]) {
    let Some((&[how, first], rest)) = data.split_first_chunk() else { return };
    let script = Script::new(rest, how & 1 == 0, how & 6 == 6);
    rt::run(false, async {
        let port = serve(script.clone()).await;
        let uri = format!("redis://127.0.0.1:{port}/0?timeout={PATIENCE}ms&connect_timeout={PATIENCE}ms");
        let config = RedisConfig::from_uri(&uri.parse().unwrap()).unwrap();
        let Some(connected) = in_time(&script, config.connect(Origin::Program)).await else { return };
        let connector: Arc<dyn Connector> = match connected {
            Ok(connector) => Arc::new(connector),
            Err(error) => return fault(&error),
        };
        let store = Store::builder("x").shared_connector(connector.clone()).cache_objects(0);
        let bench = Bench { store: store.build().await.unwrap(), connector, script };
        for operation in (0..RUN).map(|i| first.wrapping_add(i) % OPERATIONS) {
            if in_time(&bench.script, bench.run(operation)).await.is_none() {
                return;
            }
        }
        bench.store.close().await.unwrap();
        assert_eq!(bench.connector.get(&key("a/key")).await.unwrap_err().kind(), ErrorKind::Closed);
    });
}

/// The outcome of an operation. `None` if it was late with good reason: the server has promised a large object, for
/// which the connector waits as long as it would take.
async fn in_time<T>(script: &Script, operation: impl Future<Output = T>) -> Option<T> {
    let limit = if script.promises_much() { Duration::from_millis(4 * PATIENCE) } else { LATE };
    let outcome = timeout(limit, operation).await.ok();
    assert!(outcome.is_some() || script.promises_much(), "an operation does not end");
    outcome
}

/// An error of a server that talks nonsense is never about what is or is not there.
fn fault(error: &Error) {
    check::teaches(error);
    let wrong = matches!(error.kind(), ErrorKind::Missing | ErrorKind::Expired | ErrorKind::Config);
    assert!(!wrong || error.to_string().contains("database"), "{error}");
}

fn outcome<T>(result: Result<T>) {
    if let Err(error) = result {
        fault(&error);
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

struct Bench {
    store: Store,
    connector: Arc<dyn Connector>,
    script: Script,
}

impl Bench {
    async fn run(&self, operation: u8) {
        let Self { store, connector, .. } = self;
        let (a, b) = (key("a/key"), key("b/key"));
        let value = || Payload::from(check::CANARY.as_bytes());
        let overwrite = PutOptions::default();
        let create = PutOptions { mode: Mode::Create, ttl: Some(LATE), ..PutOptions::default() };
        let several = [a.clone(), b.clone(), key("c")];
        match operation {
            0 => match store.get::<Bytes>(&a).codec::<Raw>().await {
                Ok(Some(found)) => assert_eq!(found[..], *BODY),
                other => outcome(other),
            },
            1 => match store.get::<Bytes>(&b).codec::<Raw>().await {
                Ok(Some(found)) => panic!("the object of another key: {found:?}"),
                other => outcome(other),
            },
            2 => self.sent(connector.get(&a).await),
            3 => outcome(connector.exists(&a).await),
            4 => outcome(connector.put(&a, value(), &overwrite).await),
            5 => outcome(connector.put(&a, value(), &create).await),
            6 => outcome(connector.touch(&a, LATE).await),
            7 => self.sent(connector.take(&a).await),
            8 => outcome(connector.evict(&a).await),
            9 => {
                let found = connector.get_many(&several).await;
                assert_eq!(found.len(), several.len());
                found.into_iter().for_each(|found| self.sent(found));
            }
            10 => {
                let items = several.iter().map(|key| (key.clone(), value())).collect();
                let put = connector.put_many(items, &create).await;
                assert_eq!(put.len(), several.len());
                put.into_iter().for_each(outcome);
            }
            11 => {
                let gone = connector.evict_many(&several).await;
                assert_eq!(gone.len(), several.len());
                gone.into_iter().for_each(outcome);
            }
            12 => match connector.watch(&a).await {
                // It may wake or not.
                Ok(mut watch) => drop(timeout(Duration::from_millis(5), watch.wake()).await),
                Err(error) => fault(&error),
            },
            _ => outcome(connector.clear().await),
        }
    }

    /// What is found was sent in one piece.
    fn sent(&self, found: Result<Option<Payload>>) {
        match found {
            Ok(Some(payload)) => {
                let bytes = payload.into_bytes();
                let sent = self.script.sent();
                assert!(bytes.is_empty() || sent.windows(bytes.len()).any(|window| window == bytes));
            }
            other => outcome(other),
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let sealed = seal(BODY, "a/key");
    let bulk = [format!("${}\r\n", sealed.len()).as_bytes(), &sealed, b"\r\n"].concat();
    let strlen = format!(":{}\r\n", sealed.len()).into_bytes();
    let object = [strlen, bulk];
    let text = |answers: &[&str]| answers.iter().map(|answer| answer.as_bytes().to_vec()).collect::<Vec<_>>();
    let seed = |how: u8, first: u8, answers: &[Vec<u8>]| {
        let framed = answers.iter().flat_map(|answer| {
            let length = u16::try_from(answer.len()).unwrap().to_le_bytes();
            length.into_iter().chain(answer.iter().copied())
        });
        [how, first].into_iter().chain(framed).collect::<Vec<u8>>()
    };
    let mut seeds: Vec<_> = (0..OPERATIONS).map(|first| seed(0, first, &[&object[..]; 4].concat())).collect();
    let many = ["*3\r\n:1\r\n+OK\r\n$-1\r\n", ":1\r\n:2\r\n:3\r\n", "$1\r\na\r\n$-1\r\n$2\r\nbb\r\n"];
    seeds.extend((8..12).map(|first| seed(0, first, &text(&many))));
    let errors =
        ["-ERR unknown command 'GET'\r\n", "-OOM no memory\r\n", "!21\r\nSYNTAX invalid\nsyntax\r\n"];
    seeds.extend([0, 4, 6, 10].map(|first| seed(0, first, &text(&errors))));
    let pushes =
        [">2\r\n$10\r\ninvalidate\r\n*1\r\n$16\r\nproxystore:a/key\r\n+OK\r\n", "_\r\n", "#t\r\n,1.5\r\n"];
    seeds.push(seed(0, 12, &text(&pushes)));
    let scan = ["*2\r\n$1\r\n0\r\n*1\r\n$12\r\nproxystore:a\r\n", ":1\r\n", "*2\r\n$1\r\n7\r\n*0\r\n"];
    seeds.push(seed(0, 13, &text(&scan)));
    // From the first answer on, with and without an end.
    let hello = [
        "%1\r\n$5\r\nproto\r\n:3\r\n+OK\r\n+OK\r\n",
        ":0\r\n",
        "$18\r\nmaxmemory:1000000\r\n\r\n",
        "+OK\r\n",
    ];
    seeds.extend([1, 7].map(|how| seed(how, 4, &text(&hello))));
    seeds.push(seed(1, 0, &text(&["-NOAUTH c\r\n", "-NOPROTO no\r\n", "%4611686018427387904\r\n"])));
    seeds.push(seed(
        0,
        2,
        &text(&[":9\r\n", "$536870912\r\nx", "*1073741824\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n"]),
    ));
    seeds
}
