//! Frames on a byte stream, in both directions. What is large is written from where it lies.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder, FramedRead};

use super::Codec;

/// With so much unwritten nothing more is taken.
const FULL: usize = 8 << 10;

pub(crate) struct Transport<S, End> {
    frames: FramedRead<S, Codec<End>>,
    /// To be written first.
    pieces: VecDeque<Bytes>,
    /// To be written then.
    tail: BytesMut,
}

impl<S: AsyncRead, End> Transport<S, End>
where
    Codec<End>: Decoder,
{
    pub(super) fn new(stream: S, codec: Codec<End>) -> Self {
        Self { frames: FramedRead::new(stream, codec), pieces: VecDeque::new(), tail: BytesMut::new() }
    }
}

impl<S, End: Unpin> Stream for Transport<S, End>
where
    S: AsyncRead + Unpin,
    Codec<End>: Decoder,
{
    type Item = Result<<Codec<End> as Decoder>::Item, <Codec<End> as Decoder>::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.get_mut().frames).poll_next(cx)
    }
}

impl<S, End: Unpin, M> Sink<M> for Transport<S, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Codec<End>: Decoder + Encoder<M, Error = io::Error>,
{
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pieces.is_empty() && self.tail.len() < FULL {
            return Poll::Ready(Ok(()));
        }
        Sink::<M>::poll_flush(self, cx)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> io::Result<()> {
        let Self { frames, pieces, tail } = self.get_mut();
        let codec = frames.decoder_mut();
        codec.encode(message, tail)?;
        if let Some(rest) = codec.rest.take() {
            pieces.extend([tail.split().freeze(), rest]);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { frames, pieces, tail } = self.get_mut();
        let mut stream = Pin::new(frames.get_mut());
        while !(pieces.is_empty() && tail.is_empty()) {
            let next = pieces.front().map_or(&tail[..], |piece| &piece[..]);
            let written = ready!(stream.as_mut().poll_write(cx, next))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            match pieces.front_mut() {
                Some(piece) => piece.advance(written),
                None => tail.advance(written),
            }
            pieces.pop_front_if(|piece| piece.is_empty());
        }
        stream.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Sink::<M>::poll_flush(self.as_mut(), cx))?;
        Pin::new(self.get_mut().frames.get_mut()).poll_shutdown(cx)
    }
}
