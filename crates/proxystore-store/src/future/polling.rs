//! How to wait for a future, as its references say it.
//!
//! | bytes | content |
//! |---|---|
//! | varint | the first delay, in milliseconds |
//! | varint | what each delay is multiplied with, in thousandths, times two; plus one with jitter |
//! | varint | the longest delay, in milliseconds |
//! | varint | when to give up, in milliseconds |

use std::time::Duration;

use proxystore_core::{Backoff, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::reference::{Reader, put_varint};

/// A [`Backoff`] in whole milliseconds and thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Polling {
    interval_ms: u64,
    factor_thousandths: u32,
    limit_ms: u64,
    timeout_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    jitter: bool,
}

impl Polling {
    /// Times are rounded up to milliseconds. `Config` if the factor is not a number from 1 to a million.
    pub(crate) fn of(backoff: &Backoff) -> Result<Self> {
        if !(1.0..=1e6).contains(&backoff.factor) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("a backoff factor of {} would make the delays shrink or jump", backoff.factor),
            )
            .hint("choose 1 for equal delays, or more, such as 2"));
        }
        let millis = |time: Duration| u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Ok(Self {
            interval_ms: millis(backoff.first),
            factor_thousandths: (backoff.factor * 1000.0).round() as u32,
            limit_ms: millis(backoff.max),
            timeout_ms: millis(backoff.timeout),
            jitter: backoff.jitter,
        })
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_millis(self.interval_ms),
            factor: f64::from(self.factor_thousandths) / 1000.0,
            max: Duration::from_millis(self.limit_ms),
            jitter: self.jitter,
            timeout: Duration::from_millis(self.timeout_ms),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.interval_ms);
        put_varint(out, u64::from(self.factor_thousandths) << 1 | u64::from(self.jitter));
        put_varint(out, self.limit_ms);
        put_varint(out, self.timeout_ms);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let interval_ms = reader.varint()?;
        let factor = reader.varint()?;
        Ok(Self {
            interval_ms,
            factor_thousandths: u32::try_from(factor >> 1).map_err(|_| "its backoff factor is too large")?,
            limit_ms: reader.varint()?,
            timeout_ms: reader.varint()?,
            jitter: factor & 1 == 1,
        })
    }
}

#[cfg(test)]
pub(crate) fn any_polling() -> impl proptest::strategy::Strategy<Value = Polling> {
    use proptest::prelude::*;
    let fields = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<bool>());
    fields.prop_map(|(interval_ms, factor_thousandths, limit_ms, timeout_ms, jitter)| Polling {
        interval_ms,
        factor_thousandths,
        limit_ms,
        timeout_ms,
        jitter,
    })
}
