//! Growing delays between attempts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Delays that grow from attempt to attempt, with jitter: how to poll, and how to retry.
///
/// The counterparts of Python ProxyStore's `polling_interval`, `polling_backoff_factor`, `polling_interval_limit`
/// and `polling_timeout`. A plain value: serializable, and the same everywhere.
///
/// ```
/// use std::time::Duration;
/// use proxystore_core::Backoff;
///
/// let backoff = Backoff { jitter: false, ..Backoff::default() };
/// let first: Vec<_> = backoff.delays().take(3).map(|delay| delay.as_millis()).collect();
/// assert_eq!(first, [10, 20, 40]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    /// The first delay (10 ms); at least 1 ms is waited, so that nothing spins.
    pub first: Duration,
    /// What each delay is multiplied with to give the next (2). Below 1 or not finite counts as 1.
    pub factor: f64,
    /// The longest delay (1 s).
    pub max: Duration,
    /// Draw each delay evenly from zero to its nominal length, so that many waiters do not march in step (on).
    pub jitter: bool,
    /// Give up this long after the first attempt (60 s), time spent in the attempts included.
    pub timeout: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            factor: 2.0,
            max: Duration::from_secs(1),
            jitter: true,
            timeout: Duration::from_secs(60),
        }
    }
}

/// The shortest delay.
const FLOOR: Duration = Duration::from_millis(1);

impl Backoff {
    /// The delays, one after each failed attempt, without end: the deadline is the caller's to keep.
    pub fn delays(&self) -> Delays {
        let mut seed = [0; 8];
        // Without randomness the waiters march in step, which is slower and not wrong.
        let jitter = self.jitter && getrandom::fill(&mut seed).is_ok();
        self.delays_with(jitter.then(|| u64::from_le_bytes(seed) | 1))
    }

    fn delays_with(&self, random: Option<u64>) -> Delays {
        let factor = if self.factor.is_finite() { self.factor.max(1.0) } else { 1.0 };
        Delays { next: self.first.min(self.max).max(FLOOR), factor, max: self.max.max(FLOOR), random }
    }
}

/// The iterator behind [`Backoff::delays`].
#[derive(Debug, Clone)]
pub struct Delays {
    next: Duration,
    factor: f64,
    max: Duration,
    /// State of a xorshift generator, never zero; `None` without jitter.
    random: Option<u64>,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let nominal = self.next;
        self.next = Duration::try_from_secs_f64(nominal.as_secs_f64() * self.factor)
            .unwrap_or(self.max)
            .min(self.max);
        let Some(state) = &mut self.random else { return Some(nominal) };
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        let share = (*state >> 11) as f64 / (1u64 << 53) as f64;
        Some(nominal.mul_f64(share).max(FLOOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_the_floor_and_the_nominal_delay() {
        let backoff =
            Backoff { first: Duration::from_millis(8), max: Duration::from_millis(64), ..Backoff::default() };
        let plain: Vec<_> = Backoff { jitter: false, ..backoff }.delays().take(6).collect();
        assert_eq!(plain.iter().map(Duration::as_millis).collect::<Vec<_>>(), [8, 16, 32, 64, 64, 64]);
        let mut distinct = std::collections::HashSet::new();
        for seed in 1..200u64 {
            for (delay, nominal) in backoff.delays_with(Some(seed * 0x9e37_79b9)).zip(&plain) {
                assert!(delay >= FLOOR && delay <= *nominal, "{delay:?} of {nominal:?}");
                distinct.insert(delay);
            }
        }
        assert!(distinct.len() > 500, "the jitter hardly varies: {}", distinct.len());
    }

    #[test]
    fn odd_settings_neither_spin_nor_overflow() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let backoff = Backoff { first: Duration::ZERO, factor, jitter: false, ..Backoff::default() };
            assert!(backoff.delays().take(50).all(|delay| delay == FLOOR));
        }
        let huge = Backoff { first: Duration::MAX, max: Duration::MAX, jitter: false, ..Backoff::default() };
        assert_eq!(huge.delays().nth(5), Some(Duration::MAX));
    }
}
