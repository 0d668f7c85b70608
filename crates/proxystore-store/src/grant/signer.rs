//! Signing references, limiting them, and checking what they allow.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;
use proxystore_core::{Error, ErrorKind, Keys, Result, SecretKey};
use zeroize::Zeroizing;

use super::{Grant, Limit, MAX_LIMITS, Rights};
use crate::reference::{Reference, put_text};

/// Tells the derived keys from everything else that may be derived from the same secret.
const CONTEXT: &str = "proxystore 2026 reference signatures v1";

/// Signs the references that a store makes, and checks those that it is to resolve.
#[derive(Debug)]
pub(crate) struct Signer(Box<dyn Keys>);

impl Signer {
    pub(crate) fn new(keys: impl Keys) -> Self {
        Self(Box::new(keys))
    }

    /// Signs with the active key, with all rights and no end.
    pub(crate) fn sign(&self, reference: &mut Reference) -> Result<()> {
        let key = self.0.active()?;
        let key_id = key.id().to_owned();
        let tag = *first_tag(&key, &key_id, reference).as_bytes();
        reference.grant = Some(Grant { key_id, limits: Vec::new(), tag });
        Ok(())
    }

    /// `Denied` unless the reference was signed with one of the keys and gives these rights; `Expired` if it did so
    /// until now.
    pub(crate) fn check(&self, reference: &Reference, needed: Rights) -> Result<()> {
        let Some(grant) = &reference.grant else {
            return Err(denied("the reference is not signed, and this store wants signed ones")
                .hint("make the proxy with a store that signs: `.sign(keys)` on its builder"));
        };
        let id = &grant.key_id;
        let Some(key) = self.0.find(id)? else {
            return Err(denied(&format!(
                "the reference is signed with the key `{id}`, which is not known here"
            ))
            .hint("add that key to the keys of this store, or make the proxy again with one that is there"));
        };
        let first = first_tag(&key, id, reference);
        // Hashes compare in constant time.
        if grant.limits.iter().fold(first, |tag, limit| next_tag(&tag, limit)) != Hash::from_bytes(grant.tag)
        {
            return Err(denied("the reference's signature is wrong: it was altered or forged, or signed with another key of this id")
                .with("key_id", id)
                .hint("pass references on as they are, and compare the keys of the store that made it with those here"));
        }
        let now = now()?;
        if let Some(end) = grant.limits.iter().filter_map(|limit| limit.end).min().filter(|end| *end <= now) {
            let ago = Duration::from_millis(now.get() - end.get());
            return Err(Error::new(ErrorKind::Expired, format!("the reference was good until {ago:?} ago"))
                .hint("ask its sender for a new one; if it is too early for that, set the clocks of both machines right"));
        }
        let given = grant.limits.iter().fold(Rights::ALL.0, |given, limit| given & limit.rights.0);
        if given & needed.0 != needed.0 {
            return Err(denied(&format!(
                "this takes the rights `{needed}`, and the reference gives `{}`",
                Rights(given)
            ))
            .hint("ask its sender for a reference with these rights"));
        }
        Ok(())
    }
}

impl Grant {
    /// The same with one more limit; takes no key. `TooLarge` if it has eight.
    pub(crate) fn limited(&self, rights: Rights, time: Option<Duration>) -> Result<Self> {
        if self.limits.len() == MAX_LIMITS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the reference has {MAX_LIMITS} limits already"),
            )
            .hint("limit the reference from which this one was made"));
        }
        let end = |time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            now().map(|now| now.saturating_add(millis))
        };
        let limit = Limit { rights, end: time.map(end).transpose()? };
        let mut limited = self.clone();
        limited.limits.push(limit);
        limited.tag = *next_tag(&Hash::from_bytes(self.tag), &limit).as_bytes();
        Ok(limited)
    }
}

fn first_tag(key: &SecretKey, id: &str, reference: &Reference) -> Hash {
    let key = Zeroizing::new(blake3::derive_key(CONTEXT, key.expose()));
    let mut message = Vec::with_capacity(192);
    put_text(&mut message, id);
    message.extend_from_slice(&reference.encode_content());
    blake3::keyed_hash(&key, &message)
}

fn next_tag(tag: &Hash, limit: &Limit) -> Hash {
    let mut message = Vec::with_capacity(16);
    limit.encode(&mut message);
    blake3::keyed_hash(tag.as_bytes(), &message)
}

/// In milliseconds since 1970.
fn now() -> Result<NonZeroU64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok()).and_then(NonZeroU64::new);
    millis.ok_or_else(|| Error::new(ErrorKind::Unexpected, "the clock of this machine is before 1970"))
}

fn denied(why: &str) -> Error {
    Error::new(ErrorKind::Denied, why)
}

#[cfg(test)]
mod tests;
