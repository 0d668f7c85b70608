//! The calls of a session: each runs once, and its result is kept until the client has it or wants it no more.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::frame::{CallNumber, Capability, Reply};
use crate::id::ObjectId;
use crate::limits::Limits;

/// A call that runs, or whose result waits.
pub(crate) struct Running {
    pub(crate) cancel: CancellationToken,
    pub(crate) context: Context,
    /// Bytes of its arguments.
    arguments: usize,
    reply: watch::Sender<Option<Arc<Reply>>>,
}

/// The calls of a session that the client has not finished with.
#[derive(Default)]
pub(crate) struct Calls {
    open: HashMap<CallNumber, Arc<Running>>,
    /// Bytes of arguments of those that run.
    arguments: usize,
    /// Bytes of results that wait, about.
    pub(crate) bytes: usize,
}

/// What to do with a call that came in.
pub(crate) enum Known {
    /// Run it.
    New(Arc<Running>),
    /// It came before: wait for its result.
    Before(Arc<Running>),
    /// There are too many.
    Full,
}

impl Running {
    /// The result, as soon as it is there.
    pub(crate) async fn reply(&self) -> Option<Arc<Reply>> {
        self.reply.subscribe().wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl Calls {
    /// Finds the call of this number, or begins it, with so many bytes of arguments, unless there are too many.
    pub(crate) fn enter(
        &mut self,
        number: CallNumber,
        context: Context,
        arguments: usize,
        limits: &Limits,
    ) -> Known {
        if let Some(running) = self.open.get(&number) {
            return Known::Before(running.clone());
        }
        // One call alone is bounded by the size of its message.
        let waits = self.arguments > 0 && self.arguments + arguments > limits.max_argument_bytes;
        if waits || self.open.len() >= limits.max_calls || self.bytes >= limits.max_result_bytes {
            return Known::Full;
        }
        self.arguments += arguments;
        let (cancel, reply) = (CancellationToken::new(), watch::Sender::new(None));
        let running = Arc::new(Running { cancel, context, arguments, reply });
        self.open.insert(number, running.clone());
        Known::New(running)
    }

    /// The call has ended. Keeps the result, unless the call was cancelled meanwhile.
    pub(crate) fn finish(
        &mut self,
        number: CallNumber,
        running: &Running,
        reply: Arc<Reply>,
    ) -> Option<Discarded> {
        self.arguments -= running.arguments;
        if !self.open.contains_key(&number) {
            return Some(Discarded { context: running.context.clone(), granted: granted(&reply) });
        }
        self.bytes += size(&reply);
        running.reply.send_replace(Some(reply));
        None
    }

    /// The client has the result.
    pub(crate) fn done(&mut self, number: CallNumber) -> Option<Arc<Running>> {
        let running = self.open.remove(&number)?;
        match running.reply.borrow().as_deref() {
            Some(reply) => self.bytes -= size(reply),
            // Nobody has a result that there is not yet: so nobody waits for it.
            None => running.cancel.cancel(),
        }
        Some(running)
    }

    /// Nobody wants the result.
    pub(crate) fn cancel(&mut self, number: CallNumber) -> Option<Discarded> {
        let running = self.open.remove(&number)?;
        running.cancel.cancel();
        let reply = running.reply.borrow().clone()?;
        self.bytes -= size(&reply);
        Some(Discarded { context: running.context.clone(), granted: granted(&reply) })
    }

    /// The session ended: nobody wants anything.
    pub(crate) fn end(&mut self) -> Vec<Discarded> {
        let numbers: Vec<_> = self.open.keys().copied().collect();
        numbers.into_iter().filter_map(|number| self.cancel(number)).collect()
    }
}

/// A result that reached nobody. What it did is undone outside of all locks.
pub(crate) struct Discarded {
    pub(crate) context: Context,
    /// The holds that came with it.
    pub(crate) granted: Vec<ObjectId>,
}

fn size(reply: &Reply) -> usize {
    match reply {
        Reply::Remote(error) => error.message().len(),
        reply => reply
            .payload()
            .map_or(0, |payload| payload.bytes.len() + payload.capabilities.len() * size_of::<Capability>()),
    }
}

fn granted(reply: &Reply) -> Vec<ObjectId> {
    let capabilities = reply.payload().map_or(&[][..], |payload| &payload.capabilities);
    let here = capabilities.iter().filter_map(|capability| match capability {
        Capability::Here { object, .. } => Some(*object),
        Capability::There(_) => None,
    });
    here.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manager, RemoteErrorKind};

    #[tokio::test]
    async fn a_call_whose_result_cannot_have_arrived_is_cancelled() {
        let manager = Manager::builder().in_process().unwrap();
        let context = || Context::new(manager.home().unwrap().clone());
        let mut calls = Calls::default();
        let limits = Limits { max_argument_bytes: 100, ..Limits::default() };
        let Known::New(running) = calls.enter(1, context(), 80, &limits) else { panic!() };
        calls.done(1);
        assert!(running.cancel.is_cancelled());
        // One that has arrived is not, and what errors and references take counts, too.
        assert!(
            matches!(calls.enter(2, context(), 30, &limits), Known::Full),
            "its arguments are still there"
        );
        calls.finish(1, &running, Arc::new(Reply::Seen(0)));
        let Known::New(running) = calls.enter(2, context(), 200, &limits) else { panic!() };
        let error = crate::RemoteError::new(RemoteErrorKind::Unexpected, "x".repeat(1000));
        assert!(calls.finish(2, &running, Arc::new(Reply::Remote(error))).is_none());
        assert_eq!(calls.bytes, 1000);
        calls.done(2);
        assert!(!running.cancel.is_cancelled() && calls.bytes == 0 && calls.arguments == 0);
    }
}
