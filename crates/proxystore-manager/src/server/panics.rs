//! What is told of a method that panicked.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

use crate::error::{RemoteError, RemoteErrorKind};

/// The most bytes of a panic's text.
const MAX: usize = 1024;

thread_local! {
    /// Where this thread panicked last, if anybody wants to know.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics leave their places for [`caught`]. What a panic did before, it still does.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PLACE.set(panic.location().map(ToString::to_string));
            before(panic);
        }));
    });
}

/// The error of a panic that was caught on this thread just now, with its text.
pub(crate) fn caught(panic: &(dyn Any + Send)) -> RemoteError {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|text| &**text));
    let text = text.unwrap_or_default();
    let mut text = text[..text.floor_char_boundary(MAX)].to_owned();
    if let Some(place) = PLACE.take() {
        text = format!("{text}, at {place}");
    }
    RemoteError::new(RemoteErrorKind::Panicked, text)
}
