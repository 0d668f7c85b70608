//! What a proxy is outside of calls: a reference that any serde format carries.
//!
//! Text, for people and human-readable formats:
//! `psm://<manager>.<epoch>@<address>,…/<object>?t=<typeid>&k=<token>`. The other formats get the same fields after
//! a version byte. The authkey is never part of it; whoever holds the token may do what it allows, so `Debug` hides
//! it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use proxystore_core::{Error, ErrorKind, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::address::Address;
use crate::bounded;
use crate::hex;
use crate::id::{Epoch, ManagerId, ObjectId};
use crate::token::Token;

/// The layout of the other formats.
const VERSION: u8 = 1;
/// The most addresses of one manager.
pub(crate) const MAX_ADDRESSES: usize = 8;
/// The longest typeid, in bytes.
pub(crate) const MAX_TYPEID: usize = 128;
/// The longest text. It is longer than what fits by the other limits.
const MAX_TEXT: usize = 16 << 10;

/// Manager, start, object, type and right: all that is needed to find an object and use it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Locator {
    pub(crate) manager: ManagerId,
    pub(crate) epoch: Epoch,
    pub(crate) addresses: Arc<[Address]>,
    pub(crate) object: ObjectId,
    pub(crate) typeid: Arc<str>,
    pub(crate) token: Token,
}

/// The fields in the formats that are not for people.
#[derive(Serialize, Deserialize)]
struct Fields<'a>(
    u8,
    ManagerId,
    Epoch,
    #[serde(deserialize_with = "bounded::vec::<_, _, MAX_ADDRESSES>")] Vec<String>,
    ObjectId,
    Cow<'a, str>,
    Token,
);

impl Locator {
    pub(crate) fn text(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(|address| escape(&address.to_string())).collect();
        // Writing a token to a vector does not fail.
        let token = hex::write(&postcard::to_allocvec(&self.token).unwrap_or_default());
        format!("{}?t={}&k={token}", self.place(&addresses.join(",")), escape(&self.typeid))
    }

    /// The bytes that it takes in a message, at most: to its own manager, or about another.
    pub(crate) fn weight(&self, own: bool) -> usize {
        let addresses = |address: &Address| 2 + address.to_string().len();
        let elsewhere = if own { 0 } else { 32 + self.addresses.iter().map(addresses).sum::<usize>() };
        16 + self.typeid.len() + self.token.weight() + elsewhere
    }

    fn place(&self, addresses: &str) -> String {
        format!("psm://{}.{:016x}@{addresses}/{}", self.manager, self.epoch.0, self.object)
    }

    fn parse(text: &str) -> Option<Self> {
        let (manager, rest) = text.strip_prefix("psm://")?.split_once('.')?;
        let (epoch, rest) = rest.split_once('@')?;
        let (addresses, rest) = rest.split_once('/')?;
        let (object, rest) = rest.split_once("?t=")?;
        let (typeid, token) = rest.split_once("&k=")?;
        let addresses = addresses.split(',').filter(|part| !part.is_empty()).map(unescape);
        Self::checked(
            manager.parse().ok()?,
            Epoch(u64::from_str_radix(epoch, 16).ok()?),
            addresses.collect::<Option<_>>()?,
            ObjectId(object.parse().ok()?),
            unescape(typeid)?,
            postcard::from_bytes(&hex::read(token)?).ok()?,
        )
    }

    fn checked(
        manager: ManagerId,
        epoch: Epoch,
        addresses: Vec<String>,
        object: ObjectId,
        typeid: String,
        token: Token,
    ) -> Option<Self> {
        if addresses.len() > MAX_ADDRESSES || typeid.len() > MAX_TYPEID {
            return None;
        }
        let addresses = addresses.iter().map(|text| text.parse().ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { manager, epoch, addresses: addresses.into(), object, typeid: typeid.into(), token })
    }
}

impl FromStr for Locator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = if text.len() <= MAX_TEXT { Self::parse(text) } else { None };
        parsed.ok_or_else(|| {
            Error::new(ErrorKind::Config, "not a reference to an object")
                .hint("it reads psm://<manager>.<epoch>@<addresses>/<object>?t=<typeid>&k=<token>")
        })
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(Address::to_string).collect();
        write!(f, "{}?t={}&k=***", self.place(&addresses.join(",")), self.typeid)
    }
}

impl Serialize for Locator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&self.text());
        }
        let addresses = self.addresses.iter().map(Address::to_string).collect();
        Fields(
            VERSION,
            self.manager,
            self.epoch,
            addresses,
            self.object,
            (&*self.typeid).into(),
            self.token.clone(),
        )
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Locator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        let Fields(version, manager, epoch, addresses, object, typeid, token) =
            Fields::deserialize(deserializer)?;
        if version != VERSION {
            return Err(D::Error::custom(format!(
                "a reference of version {version}, and {VERSION} is known here"
            )));
        }
        Self::checked(manager, epoch, addresses, object, typeid.into_owned(), token)
            .ok_or_else(|| D::Error::custom("not a reference to an object"))
    }
}

/// Everything but letters, digits and `-._~:` as `%xx`.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(byte as char);
        } else {
            escaped.push('%');
            escaped.push_str(&hex::write(&[byte]));
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.extend(hex::read(part.get(..2)?)?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Mint;

    fn locator() -> Locator {
        let epoch = Epoch(0xab);
        Locator {
            manager: ManagerId::of(b"m"),
            epoch,
            addresses: vec![Address::Unix("/run/a b,c/s".into()), "tls://h:1".parse().unwrap()].into(),
            object: ObjectId(7),
            typeid: "demo.Counter<é>".into(),
            token: Mint::new(epoch).unwrap().token(ObjectId(7)),
        }
    }

    #[test]
    fn text_and_bytes_say_the_same() {
        let locator = locator();
        let text = serde_json::to_string(&locator).unwrap();
        assert!(serde_json::from_str::<Locator>(&text).unwrap() == locator, "{text}");
        let bytes = postcard::to_allocvec(&locator).unwrap();
        assert!(postcard::from_bytes::<Locator>(&bytes).unwrap() == locator);
        let bytes = rmp_serde::to_vec_named(&locator).unwrap();
        assert!(rmp_serde::from_slice::<Locator>(&bytes).unwrap() == locator);
    }

    /// A reference of version 1: whoever changes it bumps the version.
    #[test]
    fn the_bytes_are_those_of_version_1() {
        let locator = Locator { token: Mint::none(), ..locator() };
        let text = "psm://4c586d1e5045d7bd24abc7c21af33cd5.00000000000000ab@unix:%2frun%2fa%20b%2cc%2fs,\
            tls:%2f%2fh:1/7?t=demo.Counter%3c%c3%a9%3e&k=0000000000000000000000000000000000";
        assert_eq!(locator.text(), text);
        let bytes = "014c586d1e5045d7bd24abc7c21af33cd5ab010211756e69783a2f72756e2f6120622c632f7309746c733a2f2f683a3107\
            1064656d6f2e436f756e7465723cc3a93e0000000000000000000000000000000000";
        assert_eq!(hex::write(&postcard::to_allocvec(&locator).unwrap()), bytes);
    }

    #[test]
    fn debug_hides_the_token() {
        let locator = locator();
        let (debug, text) = (format!("{locator:?}"), locator.text());
        let token = text.split_once("&k=").unwrap().1;
        assert!(debug.ends_with("&k=***") && !debug.contains(token), "{debug}");
    }

    #[test]
    fn nonsense_is_refused() {
        let good = locator().text();
        assert!(good.parse::<Locator>().is_ok());
        for cut in 0..good.len() {
            let _ = good[..cut].parse::<Locator>();
        }
        for bad in
            ["", "psm://", "psm://x.y@/1?t=a&k=b", &good.replace("psm", "http"), &good.replace("unix", "ftp")]
        {
            assert!(bad.parse::<Locator>().is_err(), "{bad}");
        }
    }
}
