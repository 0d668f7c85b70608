//! The text of values, as Python writes them, and of the objects that they lead to.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::plain::Plain;
use crate::proxy::ProxyBase;
use crate::value::Encoded;

/// Stands in a text where that of an object will be. Texts of values do not have it: they escape it.
const PLACE: char = '\u{f8ff}';
/// The longest text with those of other objects in it, in bytes, about.
const MAX: usize = 1 << 16;
/// How long the texts of other objects may take: one whose method waits for us would never be there.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// The objects whose texts are missing. `None`: nobody will put them in.
    static MISSING: RefCell<Option<Vec<ProxyBase>>> = const { RefCell::new(None) };
}

/// The text that `write` writes, with those of the objects of this process that are in it: `[...]` for one that is being
/// written, that of the proxy for one that is elsewhere, has no text for us or does not come.
pub(crate) async fn whole(write: impl FnOnce() -> String) -> String {
    MISSING.set(Some(Vec::new()));
    let text = write();
    let missing = MISSING.take().unwrap_or_default();
    if missing.is_empty() {
        return text;
    }
    let deadline = Instant::now() + PATIENCE;
    let mut pieces = text.split(PLACE);
    let mut whole = String::from(pieces.next().unwrap_or_default());
    for (piece, proxy) in pieces.zip(missing) {
        if whole.len() > MAX {
            whole.push_str("...");
            break;
        }
        let inner = if proxy.is_running() {
            Some("[...]".into())
        } else if proxy.is_home() {
            timeout_at(deadline, proxy.display()).await.ok()
        } else {
            None
        };
        let inner = inner.unwrap_or_else(|| format!("{proxy:?}"));
        whole.push_str(&inner);
        whole.push_str(piece);
    }
    whole
}

/// An encoded value, as text.
pub(crate) struct Text<'a>(pub(crate) &'a Encoded);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Plain::of(self.0) {
            Ok(plain) => plain.fmt(f),
            // A MessagePack extension of somebody's own.
            Err(_) => f.write_str("?"),
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(int) => int.fmt(f),
            Self::Float32(float) => write!(f, "{float:?}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Text(text) => quoted(f, text),
            Self::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Self::List(items) => surrounded(f, '[', ']', items),
            Self::Map(entries) => {
                surrounded(f, '{', '}', entries.iter().map(|(key, value)| Entry(key, value)))
            }
            Self::Proxy(proxy) => {
                let missing = MISSING.with_borrow_mut(|missing| {
                    let missing = missing.as_mut()?;
                    missing.push(proxy.clone());
                    Some(())
                });
                match missing {
                    Some(()) => f.write_char(PLACE),
                    None => fmt::Debug::fmt(proxy, f),
                }
            }
        }
    }
}

/// `key: value`.
pub(crate) struct Entry<K, V>(pub(crate) K, pub(crate) V);

impl<K: fmt::Display, V: fmt::Display> fmt::Display for Entry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// Items with commas between them.
pub(crate) fn surrounded<I>(f: &mut fmt::Formatter<'_>, before: char, after: char, items: I) -> fmt::Result
where
    I: IntoIterator<Item: fmt::Display>,
{
    f.write_char(before)?;
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    f.write_char(after)
}

/// In single quotes, unless there are such inside and no double ones.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\'' | '"' if letter != quote => f.write_char(letter)?,
            letter => write!(f, "{}", letter.escape_debug())?,
        }
    }
    f.write_char(quote)
}
