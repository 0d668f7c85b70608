//! Reading what people write.

use super::parts::Parts;
use super::{MAX_LEN, Uri, hides_password, is_scheme};
use crate::Secret;

/// Reads a URI in any form that is legal.
pub(super) fn parse(text: &str) -> Result<Uri, &'static str> {
    if text.len() > MAX_LEN {
        return Err("it is longer than 2048 bytes");
    }
    if text.contains('#') {
        return Err("it has a fragment (write # as %23)");
    }
    let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
    if !is_scheme(scheme) {
        return Err("its scheme is not lower-case letters, digits, + - .");
    }
    let mut parts = Parts { scheme: scheme.into(), ..Parts::default() };
    let (mut user, mut password) = (None, None);
    let rest = rest.strip_prefix("//").ok_or("the scheme is not followed by //")?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));

    let hosts = match authority.rsplit_once('@') {
        None => authority,
        Some((user_info, hosts)) => {
            let (name, secret) =
                user_info.split_once(':').map_or((user_info, None), |(name, secret)| (name, Some(secret)));
            user = (!name.is_empty()).then(|| decode(name)).transpose()?;
            password = secret.map(decode).transpose()?.map(Secret::new);
            hosts
        }
    };
    if !hosts.is_empty() {
        parts.hosts = hosts.split(',').map(parse_host).collect::<Result<_, _>>()?;
    }
    // The rest of a password that has a / in it would be shown.
    if !hosts.is_empty() && path.contains('@') {
        return Err("its path has an @ (write @ as %40; in a password, write / as %2F)");
    }
    parts.path = parse_path(path)?;
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = pair.split_once('=').ok_or("an option is not of the form name=value")?;
        let (name, value) = (decode(name)?, decode(value)?);
        if hides_password(&value) {
            return Err("an option is a URI with a password (name a variable: ${NAME})");
        }
        if name.is_empty() || parts.options.insert(name, value).is_some() {
            return Err("an option has no name, or is given twice");
        }
    }
    // It travels in its canonical form, which percent-encoding may make longer.
    let uri = parts.uri(user, password);
    (uri.text.len() <= MAX_LEN)
        .then_some(uri)
        .ok_or("it is longer than 2048 bytes when it is percent-encoded")
}

fn parse_host(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("an IPv6 address is not closed by ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "what stands in [ ] is not an IPv6 address")?;
        (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("text follows ]")?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err("a host name is empty or has an illegal character");
        }
        (host, port)
    };
    let port = port.map(|port| port.parse().map_err(|_| "a port is not a number up to 65535")).transpose()?;
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_path(path: &str) -> Result<String, &'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let mut decoded = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        let segment = decode(segment)?;
        if segment.is_empty() || segment == "." || segment == ".." || segment.contains('/') {
            return Err("its path has an empty segment, `.`, `..` or an encoded /");
        }
        decoded.push('/');
        decoded.push_str(&segment);
    }
    Ok(decoded)
}

fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            rest.next()
                .and_then(|b| char::from(b).to_digit(16))
                .ok_or("a % is not followed by two hex digits")
        };
        bytes.push((digit()? << 4 | digit()?) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(text)
}
