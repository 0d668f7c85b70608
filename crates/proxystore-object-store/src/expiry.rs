//! When an object is over, as metadata that travels with it.

use std::time::{Duration, SystemTime};

use object_store::{Attribute, Attributes};
use proxystore_core::{Error, ErrorKind, Result};

/// The name of the metadata, whose value is in milliseconds since 1970. Azure takes letters and digits only.
const NAME: &str = "proxystoreexpires";

/// The time of now, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The time when `ttl` from now is over.
pub(crate) fn after(ttl: Duration) -> u64 {
    now().saturating_add(ttl.as_millis().try_into().unwrap_or(u64::MAX))
}

/// The metadata of an object that is over at that time, if ever.
pub(crate) fn attributes(expiry: Option<u64>) -> Attributes {
    expiry.map(|time| (Attribute::Metadata(NAME.into()), time.to_string())).into_iter().collect()
}

/// When the object of this metadata is over; none: never. `Corrupt` if that is no number.
pub(crate) fn of(attributes: &Attributes) -> Result<Option<u64>> {
    let Some(text) = attributes.get(&Attribute::Metadata(NAME.into())) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Error::new(ErrorKind::Corrupt, "the object's time of expiry is not a number")
            .hint("evict it, and look who else writes under the prefix")
    })
}

/// Whether that time is over.
pub(crate) fn is_over(expiry: Option<u64>) -> bool {
    expiry.is_some_and(|time| time <= now())
}
