//! What several targets hold every answer to.

use proxystore_core::Error;

/// Stands for a password or a value: no message may show it.
pub(crate) const CANARY: &str = "c4n4ry";

/// The longest message, in bytes: one may name a URI of 2 KiB, of which each byte may be percent-encoded.
const LONGEST: usize = 8 << 10;

/// An error is one line of bounded length, without the secret.
pub(crate) fn teaches(error: &Error) {
    hides(error);
    is_plain(error);
}

/// An error is one line of bounded length.
pub(crate) fn is_plain(error: &Error) {
    let text = error.to_string();
    assert!(text.len() <= LONGEST, "a message of {} bytes", text.len());
    assert!(!text.contains(char::is_control), "more than one line: {text:?}");
}

/// Neither form of showing something shows the secret.
pub(crate) fn hides(shown: &(impl std::fmt::Debug + ?Sized)) {
    let text = format!("{shown:?}");
    assert!(!text.contains(CANARY), "the secret shows: {text}");
}
