//! Who is there: both sides prove that they know the authkey before anything else is read.
//!
//! Four messages of at most 256 bytes each, a length byte pair in front, within five seconds: hello and hello with
//! a nonce each, the client's proof, the server's proof with the session. A proof is a MAC over its sender's role,
//! what binds it to the channel, and both hellos: so it can be neither replayed, nor reflected, nor relayed over
//! another channel. The client proves first; whoever dials gets nothing to guess the key with.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::auth::AuthKey;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{MAJOR, MINOR};
use crate::id::{Epoch, ManagerId};
use crate::mac;
use crate::store;

/// What every hello begins with.
const MAGIC: [u8; 4] = *b"PSM\n";
/// The longest message.
const MAX: usize = 256;
/// How long the whole of it may take.
pub(crate) const TIME: Duration = Duration::from_secs(5);

/// A session: whoever has the authkey and knows this may go on with it. It is as secret as the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

#[derive(Serialize, Deserialize)]
struct Hello {
    magic: [u8; 4],
    major: u16,
    minor: u16,
    /// What this side can do besides, bit by bit. What the other side does not know it does not use.
    features: u32,
    nonce: [u8; 32],
    /// The server's identity; from a client the manager that it means to reach, if it knows.
    manager: Option<(ManagerId, Epoch)>,
}

#[derive(Serialize, Deserialize)]
struct Proof {
    mac: [u8; 32],
    /// The session to go on with.
    resume: Option<SessionId>,
}

/// What the client gets to know in the end.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) session: SessionId,
    /// The last item of the session that was applied.
    pub(crate) seen: u64,
    pub(crate) lease_millis: u64,
    pub(crate) max_frame: u64,
}

/// The server's last message.
#[derive(Serialize, Deserialize)]
enum Verdict {
    Welcome { mac: [u8; 32], welcome: Welcome },
    Refused(RemoteError),
}

const CLIENT: &[u8] = b"proxystore manager: client";
const SERVER: &[u8] = b"proxystore manager: server";

/// Dials in. `expected` is the manager that must answer, if it is known.
pub(crate) async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &AuthKey,
    channel: &[u8],
    expected: Option<ManagerId>,
    resume: Option<SessionId>,
) -> Result<(ManagerId, Epoch, Welcome), RemoteError> {
    limited(async {
        let ours = write(stream, &hello(None, store::FEATURES)?).await?;
        let (theirs, hello) = read::<Hello>(stream).await?;
        check(&hello)?;
        let Some((manager, epoch)) = hello.manager else { return Err(strange("it does not say who it is")) };
        if expected.is_some_and(|expected| expected != manager) {
            return Err(refused("another manager than the one that is meant answers at this address"));
        }
        let resume_bytes = resume.map_or([0; 16], |session| session.0);
        let mac = mac::sign(
            key.expose(),
            &parts(CLIENT, channel, &ours, &theirs, &resume_bytes).each_ref().map(|p| &p[..]),
        );
        write(stream, &Proof { mac, resume }).await?;
        match read::<Verdict>(stream).await?.1 {
            Verdict::Refused(error) => Err(error.of_manager(manager)),
            Verdict::Welcome { mac, welcome } => {
                let told = encode(&welcome)?;
                let parts = parts(SERVER, channel, &ours, &theirs, &told);
                if !mac::verify(key.expose(), &parts.each_ref().map(|p| &p[..]), &mac) {
                    return Err(refused("the manager does not have the same authkey"));
                }
                Ok((manager, epoch, welcome))
            }
        }
    })
    .await
}

/// Lets one in: `admit` opens or finds the session once the client has shown that it knows the key.
pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin, T>(
    stream: &mut S,
    key: &AuthKey,
    channel: &[u8],
    identity: (ManagerId, Epoch),
    admit: impl FnOnce(Option<SessionId>, u32) -> Result<(Welcome, T), RemoteError>,
) -> Result<T, RemoteError> {
    limited(async {
        let (theirs, hello_of_client) = read::<Hello>(stream).await?;
        let ours = write(stream, &hello(Some(identity), 0)?).await?;
        check(&hello_of_client)?;
        let (_, proof) = read::<Proof>(stream).await?;
        let resume_bytes = proof.resume.map_or([0; 16], |session| session.0);
        let signed = parts(CLIENT, channel, &theirs, &ours, &resume_bytes);
        let known = mac::verify(key.expose(), &signed.each_ref().map(|p| &p[..]), &proof.mac);
        let admitted = if known {
            admit(proof.resume, hello_of_client.features)
        } else {
            Err(refused("the client does not have the same authkey"))
        };
        match admitted {
            Ok((welcome, admitted)) => {
                let told = encode(&welcome)?;
                let signed = parts(SERVER, channel, &theirs, &ours, &told);
                let mac = mac::sign(key.expose(), &signed.each_ref().map(|p| &p[..]));
                write(stream, &Verdict::Welcome { mac, welcome }).await?;
                Ok(admitted)
            }
            Err(error) => {
                write(stream, &Verdict::Refused(error.clone())).await?;
                Err(error)
            }
        }
    })
    .await
}

/// What a proof signs: hashes and roles have fixed lengths, so no border can move.
fn parts(role: &[u8], channel: &[u8], client: &[u8], server: &[u8], more: &[u8]) -> [Vec<u8>; 4] {
    let transcript = mac::hash(&[&mac::hash(&[client]), &mac::hash(&[server])]);
    [role.to_vec(), mac::hash(&[channel]).to_vec(), transcript.to_vec(), mac::hash(&[more]).to_vec()]
}

fn hello(manager: Option<(ManagerId, Epoch)>, features: u32) -> Result<Hello, RemoteError> {
    let nonce =
        mac::random().map_err(|error| RemoteError::new(RemoteErrorKind::Unexpected, error.to_string()))?;
    Ok(Hello { magic: MAGIC, major: MAJOR, minor: MINOR, features, nonce, manager })
}

fn check(hello: &Hello) -> Result<(), RemoteError> {
    if hello.magic != MAGIC {
        return Err(strange("the other side does not speak this protocol"));
    }
    if hello.major != MAJOR {
        let why = format!("the other side speaks version {}, and {MAJOR} is spoken here", hello.major);
        return Err(RemoteError::new(RemoteErrorKind::VersionMismatch, why));
    }
    Ok(())
}

async fn limited<T>(work: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
    let late = || RemoteError::new(RemoteErrorKind::ConnectionLost, "no handshake within 5 seconds");
    tokio::time::timeout(TIME, work).await.unwrap_or_else(|_| Err(late()))
}

/// Writes a message, and returns its bytes.
async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    message: &impl Serialize,
) -> Result<Vec<u8>, RemoteError> {
    let bytes = encode(message)?;
    let length = u16::try_from(bytes.len()).map_err(|_| strange("a message is too long"))?;
    let framed = [&length.to_be_bytes()[..], &bytes].concat();
    stream.write_all(&framed).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    Ok(bytes)
}

async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Vec<u8>, T), RemoteError> {
    let length = usize::from(stream.read_u16().await.map_err(lost)?);
    if length > MAX {
        return Err(strange("a message is longer than 256 bytes"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.map_err(lost)?;
    let (message, rest) =
        postcard::take_from_bytes(&bytes).map_err(|_| strange("a message does not decode"))?;
    if !rest.is_empty() {
        return Err(strange("a message is followed by something"));
    }
    Ok((bytes, message))
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, RemoteError> {
    postcard::to_allocvec(message).map_err(|_| strange("a message does not encode"))
}

fn lost(error: std::io::Error) -> RemoteError {
    RemoteError::new(RemoteErrorKind::ConnectionLost, format!("during the handshake: {error}"))
}

fn refused(why: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::AuthenticationFailed, why)
}

fn strange(why: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::VersionMismatch, why)
}
