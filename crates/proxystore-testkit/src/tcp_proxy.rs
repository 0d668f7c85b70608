//! A TCP proxy in this process whose faults are switched while it runs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use pump::{End, connection};

mod pump;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Which connections a black hole swallows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that there are when it is set, as when a router forgets them.
    Existing,
    /// Those that come later. They are accepted, and nothing moves.
    New,
    /// All.
    All,
}

/// What the proxy does to what passes. The default is nothing.
///
/// ```
/// # use std::time::Duration;
/// use proxystore_testkit::tcp_proxy::{Direction, Faults, Scope};
///
/// let slow = Faults { delay: Duration::from_millis(50), slice: Some(100), ..Faults::default() };
/// let deaf = Faults { black_hole: Some((Scope::All, Some(Direction::Down))), ..Faults::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Nothing moves on these connections, in one direction or in both; neither data, nor an end. What is under way
    /// arrives when the fault is lifted, as TCP would send it again.
    pub black_hole: Option<(Scope, Option<Direction>)>,
    /// Every piece of data waits this long first.
    pub delay: Duration,
    /// At most this many bytes per second and direction.
    pub rate: Option<u64>,
    /// Data arrives in pieces of at most this many bytes.
    pub slice: Option<usize>,
    /// Every connection is reset (RST, not FIN) once this many more bytes have passed in this direction.
    pub reset_after: Option<(Direction, u64)>,
    /// On every connection, one bit of the byte this many bytes ahead in this direction is flipped.
    pub flip: Option<(Direction, u64)>,
    /// New connections are refused: nobody listens.
    pub refuse: bool,
}

/// A proxy between a client and `upstream`, on a port of 127.0.0.1. Ends with all its connections when dropped.
///
/// ```
/// use proxystore_testkit::tcp_proxy::{Faults, TcpProxy};
///
/// # #[tokio::main] async fn main() {
/// # let upstream = ([127, 0, 0, 1], 1).into();
/// let proxy = TcpProxy::start(upstream).await;
/// // … let the client connect to proxy.addr() …
/// proxy.set(Faults { refuse: true, ..Faults::default() }).await;
/// assert_eq!(proxy.connections(), 0, "nobody tried to connect");
/// # }
/// ```
#[derive(Debug)]
pub struct TcpProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    /// What is set, known to all pumps.
    faults: watch::Sender<Setting>,
    /// Whether somebody listens, as the acceptor last made it.
    listening: watch::Sender<bool>,
    accepted: AtomicU64,
    open: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
    fired: Mutex<BTreeMap<&'static str, u64>>,
}

/// Faults, and what they are relative to.
#[derive(Debug, Clone, Default)]
struct Setting {
    faults: Faults,
    /// Counts the settings: a pump begins to count bytes anew at each.
    number: u64,
    /// Connections below this number existed when the setting was made.
    first_new: u64,
    /// Connections below this number are to end.
    first_alive: u64,
    /// How those end.
    end: End,
}

impl Setting {
    /// Whether nothing moves on this connection in this direction.
    fn holds(&self, connection: u64, direction: Direction) -> bool {
        self.faults.black_hole.is_some_and(|(scope, only)| {
            let concerned = match scope {
                Scope::All => true,
                Scope::Existing => connection < self.first_new,
                Scope::New => connection >= self.first_new,
            };
            concerned && only.is_none_or(|only| only == direction)
        })
    }
}

impl TcpProxy {
    /// Starts a proxy to `upstream`, which is connected to once per client. Panics if no port can be bound.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port for the proxy");
        let addr = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared {
            upstream,
            faults: watch::Sender::default(),
            listening: watch::Sender::new(true),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            fired: Mutex::default(),
        });
        let acceptor = tokio::spawn(accept(listener, addr, shared.clone()));
        Self { addr, shared, acceptor }
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets the faults from now on, in place of those before. Returns when they hold.
    pub async fn set(&self, faults: Faults) {
        let listen = !faults.refuse;
        self.change(|setting| setting.faults = faults);
        let mut listening = self.shared.listening.subscribe();
        listening.wait_for(|now| *now == listen).await.expect("the proxy's acceptor");
    }

    /// Lifts all faults.
    pub async fn pass(&self) {
        self.set(Faults::default()).await;
    }

    /// Ends all connections there are, in good order (FIN).
    pub fn close(&self) {
        self.end(End::Close);
    }

    /// Resets all connections there are (RST).
    pub fn reset(&self) {
        self.end(End::Reset);
    }

    fn end(&self, end: End) {
        self.change(|setting| {
            setting.first_alive = setting.first_new;
            setting.end = end;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Setting)) {
        self.shared.faults.send_modify(|setting| {
            setting.number += 1;
            setting.first_new = self.shared.accepted.load(Ordering::SeqCst);
            change(setting);
        });
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How often each fault has met data, by the name of its field in [`Faults`]: a fault that met none shows nothing.
    /// A connection that was refused is not seen here.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.shared.fired.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many bytes have passed in this direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.passed(direction).load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Shared {
    /// Notes that a fault has met data.
    fn fire(&self, fault: &'static str) {
        *self.fired.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
    }

    fn passed(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

/// Accepts until aborted; owns the connections' tasks, which end with it.
async fn accept(listener: TcpListener, addr: SocketAddr, shared: Arc<Shared>) {
    let mut listener = Some(listener);
    let mut faults = shared.faults.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let refuse = faults.borrow_and_update().faults.refuse;
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(bind_again(addr).await);
        }
        shared.listening.send_replace(listener.is_some());
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = faults.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            accepted = accepted => if let Ok((client, _)) = accepted {
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(client, number, shared.clone()));
            }
        }
    }
}

async fn bind_again(addr: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("another process took the proxy's port {addr}");
}
