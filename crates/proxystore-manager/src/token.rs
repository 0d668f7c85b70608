//! What a reference allows: a token that its holder can make weaker, and only the manager stronger.
//!
//! The first MAC is over epoch and object with a secret of this start of the manager; each caveat is signed with the
//! MAC before it, which is then gone. So nothing is stored, and attenuation needs no call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxystore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bounded;
use crate::id::{Access, Epoch, Method, MethodId, ObjectId};
use crate::mac;

/// The most caveats of one token.
const MAX_CAVEATS: usize = 8;
/// The most methods that one caveat lists.
const MAX_METHODS: usize = 64;

/// A restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Caveat {
    /// `&self` methods alone.
    ReadOnly,
    /// These methods alone.
    Methods(#[serde(deserialize_with = "bounded::vec::<_, _, MAX_METHODS>")] Vec<MethodId>),
    /// Until so many milliseconds after 1970.
    Expires(u64),
}

/// The right to use an object.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(deserialize_with = "bounded::vec::<_, _, MAX_CAVEATS>")]
    caveats: Vec<Caveat>,
    mac: [u8; 16],
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?}, ***)", self.caveats)
    }
}

impl Token {
    /// The same with one more restriction. `TooLarge` if there are eight already, or a list is above 64 methods.
    pub(crate) fn with(&self, caveat: Caveat) -> Result<Self> {
        let long = matches!(&caveat, Caveat::Methods(methods) if methods.len() > MAX_METHODS);
        if self.caveats.len() >= MAX_CAVEATS || long {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "a reference has at most 8 restrictions of 64 methods",
            ));
        }
        let mac = cut(mac::sign(&self.mac, &[&bytes(&caveat)]));
        let caveats = self.caveats.iter().cloned().chain([caveat]).collect();
        Ok(Self { caveats, mac })
    }

    /// Whether this method may be called now.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.caveats.iter().all(|caveat| match caveat {
            Caveat::ReadOnly => method.access == Access::Shared,
            Caveat::Methods(methods) => methods.contains(&method.id),
            Caveat::Expires(_) => true,
        }) && !self.expired()
    }

    /// The bytes that it takes in a message, at most.
    pub(crate) fn weight(&self) -> usize {
        let caveat = |caveat: &Caveat| match caveat {
            Caveat::Methods(methods) => 2 + 5 * methods.len(),
            Caveat::ReadOnly | Caveat::Expires(_) => 11,
        };
        17 + self.caveats.iter().map(caveat).sum::<usize>()
    }

    /// Whether its time is over.
    pub(crate) fn expired(&self) -> bool {
        let ends = self.caveats.iter().filter_map(|caveat| match caveat {
            Caveat::Expires(at) => Some(*at),
            _ => None,
        });
        ends.min().is_some_and(|end| now() >= end)
    }
}

impl Caveat {
    /// Ends in so long, by the clock of this machine.
    pub(crate) fn expires_in(time: Duration) -> Self {
        Self::Expires(now().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What makes and checks tokens: lives as long as one start of a manager.
pub(crate) struct Mint {
    epoch: Epoch,
    secret: Zeroizing<[u8; 32]>,
}

impl Mint {
    pub(crate) fn new(epoch: Epoch) -> Result<Self> {
        Ok(Self { epoch, secret: Zeroizing::new(mac::random()?) })
    }

    /// A token that opens nothing.
    pub(crate) fn none() -> Token {
        Token { caveats: Vec::new(), mac: [0; 16] }
    }

    /// The unrestricted token of an object.
    pub(crate) fn token(&self, object: ObjectId) -> Token {
        Token { caveats: Vec::new(), mac: self.root(object) }
    }

    /// Whether this token was made here for this object and only weakened since.
    pub(crate) fn verify(&self, object: ObjectId, token: &Token) -> bool {
        let Some((last, before)) = token.caveats.split_last() else {
            return mac::verify(&*self.secret, &self.parts(object).each_ref().map(|p| &p[..]), &token.mac);
        };
        if token.caveats.len() > MAX_CAVEATS {
            return false;
        }
        let step = |mac: [u8; 16], caveat: &Caveat| cut(mac::sign(&mac, &[&bytes(caveat)]));
        let mac = before.iter().fold(self.root(object), step);
        mac::verify(&mac, &[&bytes(last)], &token.mac)
    }

    fn root(&self, object: ObjectId) -> [u8; 16] {
        cut(mac::sign(&*self.secret, &self.parts(object).each_ref().map(|p| &p[..])))
    }

    fn parts(&self, object: ObjectId) -> [[u8; 8]; 2] {
        [self.epoch.0.to_be_bytes(), object.0.to_be_bytes()]
    }
}

fn bytes(caveat: &Caveat) -> Vec<u8> {
    // Writing these types to a vector does not fail.
    postcard::to_allocvec(caveat).unwrap_or_default()
}

fn cut(tag: mac::Tag) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&tag[..16]);
    short
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Method = Method::new("get", Access::Shared);
    const ADD: Method = Method::new("add", Access::Exclusive);

    #[test]
    fn a_token_opens_its_object_of_its_epoch_alone() {
        let mint = Mint::new(Epoch(1)).unwrap();
        let token = mint.token(ObjectId(7));
        assert!(mint.verify(ObjectId(7), &token));
        assert!(!mint.verify(ObjectId(8), &token));
        assert!(!Mint::new(Epoch(1)).unwrap().verify(ObjectId(7), &token));
    }

    #[test]
    fn a_restriction_cannot_be_taken_off_or_changed() {
        let mint = Mint::new(Epoch(1)).unwrap();
        let object = ObjectId(7);
        let weak = mint.token(object).with(Caveat::ReadOnly).unwrap();
        let weaker = weak.with(Caveat::Methods(vec![GET.id])).unwrap();
        assert!(mint.verify(object, &weak) && mint.verify(object, &weaker));
        assert!(weak.allows(&GET) && !weak.allows(&ADD));

        assert!(!mint.verify(object, &Token { caveats: vec![], mac: weak.mac }));
        assert!(!mint.verify(object, &Token { caveats: weak.caveats.clone(), mac: weaker.mac }));
        let other = vec![Caveat::Methods(vec![ADD.id])];
        assert!(!mint.verify(object, &Token { caveats: other, mac: weak.mac }));
    }

    #[test]
    fn time_ends() {
        let mint = Mint::new(Epoch(1)).unwrap();
        let token = mint.token(ObjectId(7)).with(Caveat::expires_in(Duration::ZERO)).unwrap();
        assert!(token.expired() && !token.allows(&GET));
        let token = mint.token(ObjectId(7)).with(Caveat::expires_in(Duration::from_secs(60))).unwrap();
        assert!(token.allows(&GET));
    }

    #[test]
    fn a_ninth_restriction_is_refused() {
        let mut token = Mint::new(Epoch(1)).unwrap().token(ObjectId(7));
        for _ in 0..8 {
            token = token.with(Caveat::ReadOnly).unwrap();
        }
        assert_eq!(token.with(Caveat::ReadOnly).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
