//! The server: objects in a map, over frames on a simulated network.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proxystore::{Bytes, Key};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

pub(crate) const SERVER: &str = "server";
const PORT: u16 = 7000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Put { key: Key, value: Bytes, create: bool },
    Get(Key),
    Exists(Key),
    Evict(Key),
    Take(Key),
}

impl Request {
    /// Whether it changes what the server has.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::Exists(_))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Taken,
    Object(Option<Bytes>),
    Exists(bool),
}

/// What the server has. It outlives the server's crashes, as a disk would.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects(Arc<Mutex<HashMap<Key, Bytes>>>);

impl Objects {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lose(&self) {
        self.lock().clear();
    }

    fn answer(&self, request: Request) -> Reply {
        let mut objects = self.lock();
        match request {
            Request::Put { key, create: true, .. } if objects.contains_key(&key) => Reply::Taken,
            Request::Put { key, value, .. } => {
                objects.insert(key, value);
                Reply::Done
            }
            Request::Get(key) => Reply::Object(objects.get(&key).cloned()),
            Request::Exists(key) => Reply::Exists(objects.contains_key(&key)),
            Request::Take(key) => Reply::Object(objects.remove(&key)),
            Request::Evict(key) => {
                objects.remove(&key);
                Reply::Done
            }
        }
    }
}

/// The server's software.
pub(crate) async fn serve(objects: Objects) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let objects = objects.clone();
        // In a crash, such tasks are dropped in the order of their start, and others are not.
        tokio::task::spawn_local(async move {
            while let Ok(request) = receive(&mut stream).await {
                if send(&mut stream, &objects.answer(request)).await.is_err() {
                    break;
                }
            }
        });
    }
}

pub(crate) async fn connect() -> io::Result<TcpStream> {
    TcpStream::connect((SERVER, PORT)).await
}

pub(crate) async fn exchange(stream: &mut TcpStream, request: &Request) -> io::Result<Reply> {
    send(stream, request).await?;
    receive(stream).await
}

async fn send(stream: &mut TcpStream, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await
}

async fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut body = vec![0; stream.read_u32_le().await? as usize];
    stream.read_exact(&mut body).await?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}
