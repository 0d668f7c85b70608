//! What client and server say to each other after the handshake.
//!
//! Each request is numbered within its session, apart from beats. A result is kept until the client says that it has
//! it or that nobody wants it any more, so that a request which is sent again after a reconnect runs once.
//! The numbers of enum variants are the wire format: new ones go to the end.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::RemoteError;
use crate::id::{MethodId, ObjectId};
use crate::locator::Locator;
use crate::token::Token;

/// The version of what follows. Another major version is refused.
pub(crate) const MAJOR: u16 = 1;
pub(crate) const MINOR: u16 = 0;

/// The most items of a beat.
pub(crate) const MAX_ITEMS: usize = 4096;

/// The number of a request within its session: counts up from 1.
pub(crate) type CallNumber = u64;

/// An encoded value: MessagePack with field names. A proxy in it is the number of a capability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// Outside of the postcard part of a frame, so that it is not copied.
    #[serde(skip)]
    pub(crate) bytes: Bytes,
    pub(crate) capabilities: Vec<Capability>,
}

/// A reference in a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Capability {
    /// An object of the manager at the server's end. In a reply, the receiving session holds it once more.
    Here { object: ObjectId, typeid: String, token: Token },
    /// An object of another manager.
    There(Locator),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A sign of life with what has to be said besides. Items count from `first`; what was seen is not applied again.
    Beat {
        first: u64,
        #[serde(deserialize_with = "bounded::vec::<_, _, MAX_ITEMS>")]
        items: Vec<Item>,
    },
    /// Something that has a result.
    Call { number: CallNumber, ask: Ask },
}

/// Said in passing: applied in order, exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Item {
    /// The result of this call has arrived.
    Done(CallNumber),
    /// Nobody waits for this call any more; if its result was on the way, it was thrown away.
    Cancel(CallNumber),
    /// So many holds of this object are given back.
    Release { object: ObjectId, count: u64 },
    /// The object stays for a while without a hold: a reference to it is on its way somewhere.
    Pin { object: ObjectId, token: Token, millis: u64 },
    /// A stream is not read any further.
    Close { stream: u64 },
    /// The session is over: all that it holds is given back.
    End,
}

/// A request that has a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// A method of an object.
    Method { object: ObjectId, token: Token, method: MethodId, args: Payload },
    /// A new object.
    Create { typeid: String, ctor: MethodId, args: Payload },
    /// A hold of an object that the session has a reference to.
    Attach { object: ObjectId, token: Token },
    /// The object of this name.
    Lookup { name: String },
    /// Gives an object a name.
    Publish { name: String, object: ObjectId, token: Token },
    /// Takes a name away.
    Unpublish { name: String },
    /// The object of this name, made if there is none.
    GetOrCreate { name: String, typeid: String, ctor: MethodId, args: Payload },
    /// The next batch of a stream.
    Pull { stream: u64, max_items: u32, max_bytes: u32 },
    /// Keeps an object for a while, and says when it is done.
    Pin { object: ObjectId, token: Token, millis: u64 },
    /// What the manager has.
    Stats,
    /// The end of the manager.
    Shutdown,
    /// The objects after this one.
    Page { after: Option<ObjectId> },
    /// An object by its number.
    Inspect { object: ObjectId },
    /// A copy of an object in the store that this reference leads to; the result is its key.
    Snapshot { object: ObjectId, token: Token, place: Vec<u8> },
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To a beat: items up to this number have been applied.
    Seen(u64),
    /// The result.
    Value(Payload),
    /// The method's own error.
    App(Payload),
    /// Anything else that went wrong.
    Remote(RemoteError),
    /// The result is a stream of this number.
    Stream(u64),
    /// Items of a stream, one after the other, with the bytes and the capabilities of each; `last` if nothing follows.
    Batch { items: Vec<(u32, u32)>, payload: Payload, last: bool },
    /// The result is where this reference to a store leads.
    Offloaded(Vec<u8>),
}

impl Request {
    pub(crate) fn payload_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Call {
                ask: Ask::Method { args, .. } | Ask::Create { args, .. } | Ask::GetOrCreate { args, .. },
                ..
            } => Some(args),
            _ => None,
        }
    }

    pub(crate) fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Call {
                ask: Ask::Method { args, .. } | Ask::Create { args, .. } | Ask::GetOrCreate { args, .. },
                ..
            } => Some(args),
            _ => None,
        }
    }
}

impl Ask {
    /// The name in it, if there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Lookup { name }
            | Self::Publish { name, .. }
            | Self::Unpublish { name }
            | Self::GetOrCreate { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl Reply {
    pub(crate) fn payload_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Value(payload) | Self::App(payload) | Self::Batch { payload, .. } => Some(payload),
            _ => None,
        }
    }

    pub(crate) fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Value(payload) | Self::App(payload) | Self::Batch { payload, .. } => Some(payload),
            _ => None,
        }
    }
}
