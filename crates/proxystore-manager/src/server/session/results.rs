//! What comes in and goes out with calls: values, and the references in them.

use std::sync::Arc;

use super::{Done, Session};
use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{CallNumber, Capability, Payload, Reply};
use crate::object::Answer;
use crate::proxy::ProxyBase;
use crate::server::cursor::Cursor;
use crate::value::Encoded;
use crate::wire;

impl Session {
    /// The same, or where it lies in a store, if it is large and the client can fetch it there.
    pub(super) async fn offloaded(
        &self,
        outcome: Result<Done, RemoteError>,
        context: &Context,
    ) -> Result<Done, RemoteError> {
        let (Some(offload), Ok(Done::Answer(Answer::Value(value)))) = (&self.space.offload, &outcome) else {
            return outcome;
        };
        if !offload.takes(value, self.features) {
            return outcome;
        }
        match offload.put(value.clone(), context, 2 * self.space.limits.lease).await {
            Some(reference) => Ok(Done::Offloaded(reference)),
            None => outcome,
        }
    }

    /// Arguments that came in: their references are held by this process from now on.
    pub(super) fn receive(&self, payload: Payload) -> Result<Encoded, RemoteError> {
        let open = |capability| match capability {
            Capability::Here { object, token, typeid } => self.space.open_as(object, &token, &typeid),
            Capability::There(locator) => Ok(ProxyBase::at(locator)),
        };
        let proxies = payload.capabilities.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Encoded { bytes: payload.bytes, proxies })
    }

    /// A result that goes out: the session holds its references from now on.
    pub(super) fn reply(&self, number: CallNumber, answer: Answer) -> Result<Reply, RemoteError> {
        match answer {
            Answer::Value(encoded) => Ok(Reply::Value(self.payload(&[encoded])?)),
            Answer::App(encoded) => Ok(Reply::App(self.payload(&[encoded])?)),
            Answer::Stream(items) => {
                let mut state = self.state();
                if state.streams.len() >= self.space.limits.max_calls {
                    // Clients do not say of streams that have ended that they read no further.
                    let is_over = |cursor: &Arc<Cursor>| cursor.is_taken() && Arc::strong_count(cursor) == 1;
                    state.streams.retain(|_, cursor| !is_over(cursor));
                }
                if state.streams.len() >= self.space.limits.max_calls {
                    return Err(RemoteError::new(
                        RemoteErrorKind::Overloaded,
                        "too many streams of this session",
                    ));
                }
                if !state.ended {
                    state.streams.insert(number, Arc::new(Cursor::new(items)));
                }
                Ok(Reply::Stream(number))
            }
        }
    }

    pub(super) fn batch(&self, items: &[Encoded], last: bool) -> Result<Reply, RemoteError> {
        let payload = self.payload(items)?;
        let sizes = items.iter().map(|item| (item.bytes.len() as u32, item.proxies.len() as u32)).collect();
        Ok(Reply::Batch { items: sizes, payload, last })
    }

    fn payload(&self, values: &[Encoded]) -> Result<Payload, RemoteError> {
        let size = values.iter().map(|value| value.bytes.len()).sum();
        let proxies = || values.iter().flat_map(|value| &value.proxies);
        let weight = |proxy: &ProxyBase| proxy.locator().weight(proxy.local_of(&self.space).is_some());
        let max = self.space.limits.max_frame;
        if !wire::fits(size, proxies().map(weight).sum(), max) {
            let why = format!(
                "a result of {size} bytes and {} proxies, and {max} bytes is the limit",
                proxies().count()
            );
            return Err(RemoteError::new(RemoteErrorKind::TooLarge, why));
        }
        let bytes = match values {
            [value] => value.bytes.clone(),
            values => values.iter().flat_map(|value| value.bytes.iter().copied()).collect(),
        };
        let capabilities = proxies().map(|proxy| self.grant(proxy)).collect();
        Ok(Payload { bytes, capabilities })
    }

    /// `proxy` is alive, so its object is in the table.
    fn grant(&self, proxy: &ProxyBase) -> Capability {
        let Some(local) = proxy.local_of(&self.space) else {
            proxy.pin();
            return Capability::There(proxy.locator().clone());
        };
        let mut state = self.state();
        // After the end of the session nobody would give it back.
        if !state.ended {
            let count = state.holds.entry(local.object()).or_default();
            *count += 1;
            if *count == 1 && !self.space.table.hold(local.object()) {
                state.holds.remove(&local.object());
            }
        }
        drop(state);
        let locator = proxy.locator();
        Capability::Here {
            object: locator.object,
            typeid: locator.typeid.to_string(),
            token: locator.token.clone(),
        }
    }
}
