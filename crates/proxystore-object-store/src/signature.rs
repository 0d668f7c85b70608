//! What a signature says to whom it is given.

use proxystore_core::{Error, ErrorKind, Result, Secret};

/// What a query may be made of that stands in a reference: no request is made of a stranger's other wishes.
const NAMES: [&str; 19] = [
    "sv",
    "ss",
    "srt",
    "sp",
    "st",
    "se",
    "sr",
    "sip",
    "spr",
    "sig",
    "skoid",
    "sktid",
    "skt",
    "ske",
    "sks",
    "skv",
    "Expires",
    "GoogleAccessId",
    "Signature",
];

fn pairs(signature: &Secret) -> impl Iterator<Item = (&str, &str)> {
    signature.expose().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether it is a signature and nothing else.
pub(crate) fn check(signature: &Secret) -> Result<()> {
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let known = |(name, value): (&str, &str)| {
        (NAMES.contains(&name) || name.starts_with("X-Amz-") || name.starts_with("X-Goog-"))
            && plain(name)
            && value.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    if pairs(signature).all(known) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        "the address has a password that is not a signature of S3, Google or Azure",
    )
    .hint("an address is https://host/path; signed ones are made by `presign`"))
}

/// When the signature is over, in milliseconds since 1970, if it says so.
pub(crate) fn end(signature: &Secret) -> Option<u64> {
    let get = |wanted: &str| pairs(signature).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let of = |date: &str, seconds: &str| {
        let seconds: u64 = get(seconds)?.parse().ok()?;
        seconds.checked_add(time(get(date)?)?)
    };
    let end = of("X-Amz-Date", "X-Amz-Expires").or_else(|| of("X-Goog-Date", "X-Goog-Expires"));
    end.or_else(|| time(get("se")?))?.checked_mul(1000)
}

/// `20261121T131630Z` or `2026-11-21T13%3A16%3A30Z`, in seconds since 1970.
fn time(text: &str) -> Option<u64> {
    let text = text.replace("%3A", "").replace(['-', ':', 'T', 'Z'], "");
    let number: u64 = text.parse().ok().filter(|_| text.len() == 14)?;
    let (date, clock) = (number / 1_000_000, number % 1_000_000);
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The days of a year that begins with March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests;
