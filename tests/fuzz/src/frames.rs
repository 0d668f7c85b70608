//! A manager and a client between whom somebody speaks for one of the two.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use proxystore_manager::{Limits, Manager, RemoteErrorKind, object};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::rt;

struct Thing {
    count: u64,
    kept: Vec<ThingProxy>,
}

#[object(typeid = "fuzz.Thing")]
impl Thing {
    #[ctor]
    fn new(count: u64) -> Self {
        Self { count, kept: Vec::new() }
    }

    fn add(&mut self, k: u64) -> u64 {
        self.count = self.count.wrapping_add(k);
        self.count
    }

    fn keep(&mut self, thing: ThingProxy) {
        self.kept.push(thing);
    }

    fn kept(&self) -> Vec<ThingProxy> {
        self.kept.clone()
    }

    fn count_down(&self) -> impl futures_util::Stream<Item = u64> + use<> {
        futures_util::stream::iter((0..self.count.min(1000)).rev())
    }
}

/// Whose words are replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Manager,
}

type Injected = (Side, Vec<u8>);
/// What the client and the manager have said, after the handshake and before the injection.
type Said = Arc<Mutex<[Vec<u8>; 2]>>;

/// Longer than anything waits for by the clock, which stands still but for waiting.
const LATE: Duration = Duration::from_secs(3600);

/// The first byte says who is replaced, and whether from the first word on or when the handshake is over and a call is on
/// its way; the rest is what is said instead. The other side neither panics nor waits for ever nor takes more memory than
/// it was sent. Another client of the manager is served as before, unless the manager was asked to end; and the replaced
/// client comes through or is told why not.
pub fn frames(data: &[u8]) {
    let Some((&first, words)) = data.split_first() else { return };
    let side = if first & 1 == 0 { Side::Client } else { Side::Manager };
    let before = panics();
    rt::run(true, async {
        let manager = manager();
        if first & 2 == 0 {
            later(&manager, side, words).await
        } else {
            from_the_beginning(&manager, side, words).await
        }
        timeout(LATE, manager.shutdown()).await.expect("the manager does not end").unwrap();
    });
    assert_eq!(panics(), before, "something panics");
}

/// Nobody comes in, or is led astray, without the key.
async fn from_the_beginning(manager: &Manager, side: Side, words: &[u8]) {
    let (near, mut far) = duplex(64 << 10);
    let words = words.to_vec();
    let speak = async move {
        // Whoever hears it may hang up in between.
        let _ = far.write_all(&words).await;
        let _ = far.shutdown().await;
        let _ = far.read_to_end(&mut Vec::new()).await;
    };
    match side {
        Side::Client => {
            manager.serve_stream(near).unwrap();
            timeout(LATE, speak).await.expect("a stranger is not hung up on");
        }
        Side::Manager => {
            tokio::spawn(speak);
            let near = Mutex::new(Some(near));
            let open = move || {
                let again = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                std::future::ready(near.lock().unwrap().take().ok_or_else(again))
            };
            let connected = Manager::connect_over(open, manager.authkey().unwrap());
            timeout(LATE, connected).await.expect("a client waits for ever").unwrap_err();
        }
    }
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
}

/// Whoever has a session harms nobody else.
async fn later(manager: &Manager, side: Side, words: &[u8]) {
    let witness = manager.host(Thing::new(7)).unwrap();
    let other = connect(manager, None, Said::default()).await;
    other.publish("witness", &witness).await.unwrap();
    let (inject, injected) = oneshot::channel();
    let client = connect(manager, Some(injected), Said::default()).await;
    let thing = ThingProxy::create(&client, 1).await.unwrap();
    let call = tokio::spawn(async move { thing.add(1).await });
    // Its request is on its way, or its answer.
    tokio::task::yield_now().await;
    inject.send((side, words.to_vec())).unwrap();
    let came = timeout(LATE, call).await.expect("a call waits for ever").unwrap();
    if let Ok(sum) = came {
        assert!(side == Side::Manager || sum == 2, "{sum}");
    }
    let known = timeout(LATE, other.lookup::<ThingProxy>("witness")).await.expect("a witness waits");
    match known {
        Ok(witness) => assert_eq!(witness.add(1).await, Ok(8)),
        Err(error) => {
            let ended = [RemoteErrorKind::ShuttingDown, RemoteErrorKind::ConnectionLost];
            let unpublished = error.kind() == RemoteErrorKind::NoSuchName;
            assert!(side == Side::Client && (unpublished || ended.contains(&error.kind())), "{error}");
        }
    }
}

/// How often something has panicked in this process, in whichever task.
fn panics() -> usize {
    static HOOK: Once = Once::new();
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            usual(info);
        }));
    });
    PANICS.load(Ordering::Relaxed)
}

fn manager() -> Manager {
    let limits = Limits {
        lease: Duration::from_secs(1),
        grace: Duration::from_millis(10),
        max_frame: 64 << 10,
        ..Limits::default()
    };
    Manager::builder().register::<Thing>().limits(limits).in_process().unwrap()
}

/// A client, whose first connection somebody may interfere with.
async fn connect(manager: &Manager, injected: Option<oneshot::Receiver<Injected>>, said: Said) -> Manager {
    let key = manager.authkey().unwrap();
    let (manager, injected) = (manager.clone(), Mutex::new(injected));
    let open = move || {
        let (near, between) = duplex(64 << 10);
        let (onward, far) = duplex(64 << 10);
        let served = manager.serve_stream(far).map_err(std::io::Error::other);
        tokio::spawn(carry(between, onward, injected.lock().unwrap().take(), said.clone()));
        std::future::ready(served.map(|()| near))
    };
    Manager::connect_over(open, key).await.unwrap()
}

async fn carry(
    client: DuplexStream,
    manager: DuplexStream,
    injected: Option<oneshot::Receiver<Injected>>,
    said: Said,
) {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_manager, mut to_manager) = split(manager);
    let never = oneshot::channel();
    let injected = injected.unwrap_or(never.1);
    let interfere = async {
        match injected.await {
            Ok(injected) => injected,
            Err(_) => std::future::pending().await,
        }
    };
    let (side, words) = tokio::select! {
        () = pump(&mut from_client, &mut to_manager, &said, 0) => return,
        () = pump(&mut from_manager, &mut to_client, &said, 1) => return,
        injected = interfere => injected,
    };
    let (to, from) = match side {
        Side::Client => (&mut to_manager, &mut from_manager),
        Side::Manager => (&mut to_client, &mut from_client),
    };
    // Whoever hears it may hang up in between.
    let _ = to.write_all(&words).await;
    let _ = to.shutdown().await;
    let _ = timeout(LATE, from.read_to_end(&mut Vec::new())).await.expect("a broken connection stays open");
}

async fn pump(from: &mut ReadHalf<DuplexStream>, to: &mut WriteHalf<DuplexStream>, said: &Said, who: usize) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        said.lock().unwrap()[who].extend(&bytes[..count]);
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// The frames in what was said, up to another handshake: each behind its length in four bytes.
fn split_frames(mut said: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(length) = said.first_chunk() {
        let end = 4 + u32::from_be_bytes(*length) as usize;
        let Some(frame) = said.get(..end) else { break };
        frames.push(frame.to_vec());
        said = &said[end..];
    }
    frames
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (handshake, [client, manager]) = rt::run(false, async {
        let (manager, said) = (manager(), Said::default());
        let client = connect(&manager, None, said.clone()).await;
        // The handshake has frames of another kind.
        let handshake = std::mem::take(&mut *said.lock().unwrap());
        // What is said in passing goes out on its own.
        let pause = async || tokio::time::sleep(Duration::from_millis(30)).await;
        let thing = ThingProxy::create(&client, 3).await.unwrap();
        pause().await;
        let other: ThingProxy = ThingProxy::get_or_create(&client, "thing", 4).await.unwrap();
        thing.keep(other.clone()).await.unwrap();
        drop(other);
        pause().await;
        assert_eq!(thing.kept().await.unwrap().len(), 1);
        client.publish("name", &thing).await.unwrap();
        client.lookup::<ThingProxy>("nobody").await.unwrap_err();
        client.unpublish("name").await.unwrap();
        let items = futures_util::StreamExt::collect::<Vec<_>>(thing.count_down().await.unwrap()).await;
        assert_eq!(items.len(), 3);
        pause().await;
        client.stats().await.unwrap();
        let page = client.page(None).await.unwrap();
        client.inspect(page[0].object).await.unwrap();
        proxystore_manager::ObjectProxy::base(&thing).ticket(LATE).await.unwrap();
        pause().await;
        drop(thing);
        client.disconnect().await;
        let heard = || std::mem::take(&mut *said.lock().unwrap()).map(|said| split_frames(&said));
        let [client_said, manager_said] = heard();
        let client = connect(&manager, None, said.clone()).await;
        *said.lock().unwrap() = Default::default();
        client.shutdown().await.unwrap();
        let [last, answer] = heard();
        (handshake, [[client_said, last].concat(), [manager_said, answer].concat()])
    });
    let with = |side: u8, words: &[u8]| [&[side], words].concat();
    let mut seeds = vec![with(0, &client.concat()), with(1, &manager.concat())];
    seeds.extend([with(2, &handshake[0]), with(3, &handshake[1])]);
    seeds.extend(client.iter().map(|frame| with(0, frame)));
    seeds.extend(manager.iter().map(|frame| with(1, frame)));
    // Lengths, with and without what they promise.
    for length in [0u32, 1, 1 << 20, u32::MAX] {
        seeds.extend([0, 1, 2, 3].map(|side| with(side, &length.to_be_bytes())));
    }
    seeds
}
