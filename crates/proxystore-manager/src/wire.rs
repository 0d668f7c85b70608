//! Frames on a byte stream: four bytes of length, a head in postcard, and the bytes of a payload.
//!
//! tarpc's own types stay on this side of it, so that what travels is ours alone.

use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tarpc::trace::{SamplingDecision, SpanId, TraceId};
use tarpc::{ClientMessage, Response, ServerError, context, trace};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Reply, Request};

mod transport;

use transport::Transport;

/// The longest wait for a reply. A deadline in years would stop tarpc's timers.
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// What a head may add to a payload: capabilities, items.
const MAX_HEAD: usize = 1 << 20;
/// What of it is not capabilities.
const SPARE_HEAD: usize = 64 << 10;
/// What of a payload is copied to its head, so that it goes out in one piece.
const BESIDE: usize = 64 << 10;

/// From client to server.
#[derive(Serialize, Deserialize)]
enum Up {
    Ask { id: u64, deadline_millis: u64, trace: (u128, u64, bool), request: Request },
    Cancel { id: u64 },
}

/// From server to client.
#[derive(Serialize, Deserialize)]
struct Down {
    id: u64,
    reply: Reply,
}

/// A message with a payload beside its head.
trait Message: Serialize + DeserializeOwned {
    fn payload(&self) -> Option<&Bytes>;
    fn payload_mut(&mut self) -> Option<&mut Bytes>;
}

impl Message for Up {
    fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::Ask { request, .. } => request.payload().map(|payload| &payload.bytes),
            Self::Cancel { .. } => None,
        }
    }

    fn payload_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Ask { request, .. } => request.payload_mut().map(|payload| &mut payload.bytes),
            Self::Cancel { .. } => None,
        }
    }
}

impl Message for Down {
    fn payload(&self) -> Option<&Bytes> {
        self.reply.payload().map(|payload| &payload.bytes)
    }

    fn payload_mut(&mut self) -> Option<&mut Bytes> {
        self.reply.payload_mut().map(|payload| &mut payload.bytes)
    }
}

/// Which end this is.
pub(crate) struct Client;
/// See [`Client`].
pub(crate) struct Server;

/// Whether a message fits that has so many bytes of payload and of capabilities. What does not must not be sent: it
/// would break the connection, and each one after it.
pub(crate) fn fits(payload: usize, capabilities: usize, max_payload: usize) -> bool {
    payload <= max_payload && payload + capabilities <= max_payload.saturating_add(MAX_HEAD - SPARE_HEAD)
}

pub(crate) struct Codec<End> {
    max: usize,
    /// What comes behind what was encoded last.
    rest: Option<Bytes>,
    end: PhantomData<End>,
}

/// The transport of one end; payloads are at most `max_payload` bytes.
pub(crate) fn framed<S, End>(stream: S, max_payload: usize) -> Transport<S, End>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite,
    Codec<End>: Decoder,
{
    Transport::new(stream, Codec { max: max_payload.saturating_add(MAX_HEAD), rest: None, end: PhantomData })
}

/// Gives what of the payload has to follow.
fn put(message: &impl Message, max: usize, out: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let head = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let mut payload = message.payload().cloned().unwrap_or_default();
    let length = head.len() + payload.len();
    let Some(length) = u32::try_from(length).ok().filter(|_| length <= max) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes, above the limit"),
        ));
    };
    let rest = payload.split_off(payload.len().min(BESIDE));
    out.reserve(4 + head.len() + payload.len());
    out.put_u32(length);
    out.put_slice(&head);
    out.put_slice(&payload);
    Ok(Some(rest).filter(|rest| !rest.is_empty()))
}

fn take<M: Message>(max: usize, input: &mut BytesMut) -> io::Result<Option<M>> {
    let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    let bad = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    if length > max {
        return Err(bad("a message above the limit"));
    }
    if input.len() < 4 + length {
        // Not more at once than arrives in good time: a length alone costs the other side nothing.
        input.reserve((4 + length - input.len()).min(1 << 20));
        return Ok(None);
    }
    input.advance(4);
    let frame = input.split_to(length).freeze();
    let (mut message, rest) =
        postcard::take_from_bytes::<M>(&frame).map_err(|_| bad("a message that does not decode"))?;
    let payload = frame.slice(frame.len() - rest.len()..);
    match message.payload_mut() {
        Some(bytes) => *bytes = payload,
        None if payload.is_empty() => {}
        None => return Err(bad("a message that is followed by something")),
    }
    Ok(Some(message))
}

/// A stream that ends is an error: what is under way on it is over.
fn ended<T>(message: Option<T>) -> io::Result<Option<T>> {
    message.map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

impl Encoder<ClientMessage<Request>> for Codec<Client> {
    type Error = io::Error;

    fn encode(&mut self, message: ClientMessage<Request>, out: &mut BytesMut) -> io::Result<()> {
        let up = match message {
            ClientMessage::Request(request) => {
                let left =
                    request.context.deadline.saturating_duration_since(Instant::now()).min(MAX_DEADLINE);
                let trace = request.context.trace_context;
                let sampled = trace.sampling_decision == SamplingDecision::Sampled;
                Up::Ask {
                    id: request.id,
                    deadline_millis: left.as_millis() as u64,
                    trace: (trace.trace_id.into(), trace.span_id.into(), sampled),
                    request: request.message,
                }
            }
            ClientMessage::Cancel { request_id, .. } => Up::Cancel { id: request_id },
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        self.rest = put(&up, self.max, out)?;
        Ok(())
    }
}

impl Decoder for Codec<Client> {
    type Item = Response<Reply>;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        let down = take::<Down>(self.max, input)?;
        Ok(down.map(|Down { id, reply }| Response { request_id: id, message: Ok(reply) }))
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        ended(self.decode(input)?)
    }
}

impl Encoder<Response<Reply>> for Codec<Server> {
    type Error = io::Error;

    fn encode(&mut self, response: Response<Reply>, out: &mut BytesMut) -> io::Result<()> {
        let failed =
            |error: ServerError| Reply::Remote(RemoteError::new(RemoteErrorKind::Unexpected, error.detail));
        let down = Down { id: response.request_id, reply: response.message.unwrap_or_else(failed) };
        self.rest = put(&down, self.max, out)?;
        Ok(())
    }
}

impl Decoder for Codec<Server> {
    type Item = ClientMessage<Request>;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        Ok(take::<Up>(self.max, input)?.map(|up| match up {
            Up::Ask { id, deadline_millis, trace: (trace, span, sampled), request } => {
                let mut context = context::current();
                context.deadline = Instant::now() + Duration::from_millis(deadline_millis).min(MAX_DEADLINE);
                let sampling_decision =
                    if sampled { SamplingDecision::Sampled } else { SamplingDecision::Unsampled };
                context.trace_context = trace::Context {
                    trace_id: TraceId::from(trace),
                    span_id: SpanId::from(span),
                    sampling_decision,
                };
                ClientMessage::Request(tarpc::Request { context, id, message: request })
            }
            Up::Cancel { id } => {
                ClientMessage::Cancel { trace_context: trace::Context::default(), request_id: id }
            }
        }))
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        ended(self.decode(input)?)
    }
}

impl tarpc::RequestName for Request {
    fn name(&self) -> &str {
        match self {
            Self::Beat { .. } => "beat",
            Self::Call { .. } => "call",
        }
    }
}

#[cfg(test)]
mod tests;
