//! Secret keys for encryption and signatures.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Result};

/// Where secret keys come from: a [`KeyRing`], or the program's own provider, such as a key management service whose
/// keys it has fetched.
///
/// Both methods are called for every object, so they must be quick and must not block.
pub trait Keys: fmt::Debug + Send + Sync + 'static {
    /// The key for what is written from now on.
    fn active(&self) -> Result<SecretKey>;

    /// The key of this id, for reading what was written with it. `None` if it is not known.
    fn find(&self, id: &str) -> Result<Option<SecretKey>>;
}

/// A secret of 32 bytes with an id, by which those who hold it find it: wiped on drop, never shown.
#[derive(Clone)]
pub struct SecretKey {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl SecretKey {
    /// The longest id, in bytes.
    pub const MAX_ID: usize = 32;

    /// A key of this id: 1 to 32 characters of `A-Z a-z 0-9 - _ .`, which everybody may see. `Config` otherwise.
    pub fn new(id: impl Into<String>, bytes: [u8; 32]) -> Result<Self> {
        let bytes = Zeroizing::new(bytes);
        let id = id.into();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if (1..=Self::MAX_ID).contains(&id.len()) && id.bytes().all(legal) {
            return Ok(Self { id, bytes });
        }
        Err(bad("a key's id is not 1 to 32 characters of A-Z a-z 0-9 - _ ."))
    }

    /// A fresh key from the operating system's random source.
    pub fn random(id: impl Into<String>) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|e| {
            Error::new(ErrorKind::Unexpected, format!("no randomness from the operating system: {e}"))
        })?;
        Self::new(id, *bytes)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Reads `id:` and 64 hexadecimal digits.
    fn parse(text: &str) -> Result<Self> {
        let (id, digits) = text.split_once(':').ok_or_else(|| bad("a key is not of the form `id:digits`"))?;
        let mut bytes = Zeroizing::new([0; 32]);
        let digit = |at: usize| (digits.as_bytes()[at] as char).to_digit(16).map(|digit| digit as u8);
        if digits.len() != 64 {
            return Err(bad("a key is not of 64 hexadecimal digits"));
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            let (Some(high), Some(low)) = (digit(2 * i), digit(2 * i + 1)) else {
                return Err(bad("a key is not of 64 hexadecimal digits"));
            };
            *byte = high << 4 | low;
        }
        Self::new(id, *bytes)
    }
}

fn bad(why: &str) -> Error {
    Error::new(ErrorKind::Config, why)
        .hint("write keys as `id:` and 64 hexadecimal digits, the active one first; make one with `openssl rand -hex 32`")
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, ***)", self.id)
    }
}

/// One active key and old ones, for reading what was written before a change of keys.
///
/// To rotate: put the new key first, in all processes; drop an old one when nothing is left that was written with it.
/// A process that reads must know a key before another writes with it.
///
/// ```
/// use proxystore_core::{KeyRing, Keys, SecretKey};
///
/// let ring = KeyRing::new(SecretKey::random("2026-11")?).with_old(SecretKey::random("2026-05")?);
/// assert_eq!(ring.active()?.id(), "2026-11");
/// assert!(ring.find("2026-05")?.is_some());
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyRing(Vec<SecretKey>);

impl KeyRing {
    /// A ring of one key.
    pub fn new(active: SecretKey) -> Self {
        Self(vec![active])
    }

    /// The same with one more key for reading. A key whose id is there already is not added.
    #[must_use]
    pub fn with_old(mut self, key: SecretKey) -> Self {
        if !self.0.iter().any(|known| known.id == key.id) {
            self.0.push(key);
        }
        self
    }

    /// Reads keys from text: `id:` and 64 hexadecimal digits each, separated by white space or commas, the active one
    /// first; a line that begins with `#` is skipped. `Config` if there is none, one is illegal, or an id is there
    /// twice. An error says at which position, counted from 1, and shows nothing of a key.
    pub fn parse(text: &str) -> Result<Self> {
        let words = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','))
            .filter(|word| !word.is_empty());
        let mut keys: Vec<SecretKey> = Vec::new();
        for word in words {
            // An error says which one it is, and shows nothing of it: even an id may be a misplaced secret.
            let position = keys.len() + 1;
            let key = SecretKey::parse(word).map_err(|error| error.with("position", position))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(bad("two keys have one id").with("position", position));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(bad("there is no key")) } else { Ok(Self(keys)) }
    }

    /// Reads keys from an environment variable, in the form of [`parse`](Self::parse).
    pub fn from_env(variable: &str) -> Result<Self> {
        let text = std::env::var(variable).map(Zeroizing::new).map_err(|_| bad("the variable is not set"));
        text.and_then(|text| Self::parse(&text)).map_err(|error| error.with("variable", variable))
    }

    /// Reads keys from a file, in the form of [`parse`](Self::parse). Blocks for as long as the file system takes: for
    /// the start of a program.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        text.map_err(|error| Error::new(ErrorKind::Config, format!("cannot read the keys: {error}")))
            .and_then(|text| Self::parse(&text))
            .map_err(|error| error.with("file", path.display()))
    }
}

impl Keys for KeyRing {
    fn active(&self) -> Result<SecretKey> {
        self.0.first().cloned().ok_or_else(|| bad("there is no key"))
    }

    fn find(&self, id: &str) -> Result<Option<SecretKey>> {
        Ok(self.0.iter().find(|key| key.id == id).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4";

    #[test]
    fn keys_are_read_and_the_first_is_active() {
        let ring = KeyRing::parse(&format!("# mine\nnew:{CANARY}\n old:{}, ", "00".repeat(32))).unwrap();
        assert_eq!(ring.active().unwrap().id(), "new");
        assert_eq!(ring.active().unwrap().expose(), &[0xc4; 32]);
        assert_eq!(ring.find("old").unwrap().unwrap().expose(), &[0; 32]);
        assert!(ring.find("other").unwrap().is_none());
        assert!(!format!("{ring:?}").contains("c4"), "{ring:?}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let not_hex = CANARY.replacen('4', "x", 1);
        let twice = format!("a:{CANARY} a:{CANARY}");
        for text in ["", "# none", CANARY, &CANARY[2..], &not_hex, &format!("a:{not_hex}"), &twice] {
            for text in
                [text.to_owned(), format!("k:{text}"), format!("{text}:{text}"), format!("a b:{text}")]
            {
                let error = match KeyRing::parse(&text) {
                    Err(error) => format!("{error} {error:?}"),
                    Ok(_) => continue,
                };
                assert!(!error.contains("c4c4"), "{error}");
            }
        }
        for (text, position) in [("secret", 1), (&format!("a:{CANARY} secret:x"), 2), (&twice, 2)] {
            let error = KeyRing::parse(text).unwrap_err();
            assert_eq!(error.context("position"), Some(&*position.to_string()));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(KeyRing::parse(&twice).is_err() && KeyRing::parse("").is_err());
        assert!(KeyRing::parse(&format!("a:{not_hex}")).is_err() && KeyRing::parse(CANARY).is_err());
    }

    #[test]
    fn files_and_variables_are_read() {
        let path = std::env::temp_dir().join(crate::Id::random().unwrap().to_string());
        std::fs::write(&path, format!("k:{CANARY}\n")).unwrap();
        assert_eq!(KeyRing::from_file(&path).unwrap().active().unwrap().id(), "k");
        std::fs::remove_file(&path).unwrap();
        let error = KeyRing::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("file="), "{error}");
        let error = KeyRing::from_env("PROXYSTORE_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(error.contains("variable=PROXYSTORE_NO_SUCH_VARIABLE"), "{error}");
    }
}
