//! A Unix socket that wakes for what arrives alone.
//!
//! tokio waits for both directions of a socket together. On a Unix socket the system says "writable" whenever the other side
//! has read something: so each message would wake its sender once more, for nothing, while the answer is made.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Socket;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// See above.
pub(crate) struct Quiet {
    socket: Socket,
    /// Waits for what arrives: it reads from any descriptor, and waits for nothing else.
    input: pipe::Receiver,
    /// Waits for room, from when there is none until everything is written.
    room: Option<UnixStream>,
}

impl Quiet {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let socket = stream.into_std()?;
        let input = pipe::Receiver::from_owned_fd_unchecked(socket.try_clone()?.into())?;
        Ok(Self { socket, input, room: None })
    }
}

impl AsyncRead for Quiet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.room.is_none() {
            match this.socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        let room = match &mut this.room {
            Some(room) => room,
            none => none.insert(UnixStream::from_std(this.socket.try_clone()?)?),
        };
        Pin::new(room).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().room = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn more_than_fits_arrives_in_both_directions_and_then_the_end() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut a, mut b) = (Quiet::new(a).unwrap(), Quiet::new(b).unwrap());
        let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        for _ in 0..2 {
            let mut got = vec![0; sent.len()];
            let write = async {
                a.write_all(&sent).await.unwrap();
                assert!(a.room.is_some(), "it did not have to wait");
                a.flush().await.unwrap();
                assert!(a.room.is_none());
            };
            tokio::join!(write, async { b.read_exact(&mut got).await.unwrap() });
            assert!(got == sent);
            std::mem::swap(&mut a, &mut b);
        }
        a.shutdown().await.unwrap();
        assert_eq!(b.read(&mut [0]).await.unwrap(), 0);
        drop(a);
        assert!(b.write_all(&sent).await.is_err());
    }
}
