//! The text that most URIs have: canonical, without user information, and with nothing in it that is encoded.
//!
//! What is accepted here is what [`parse`](super::parse) reads and writes again as it stands; all else it may read.

use super::{Ends, MAX_LEN, is_scheme};

/// In the name of a host, in a path, and in the name and the value of an option.
const HOST: u8 = 1;
const PATH: u8 = 2;
const NAME: u8 = 4;
const VALUE: u8 = 8;

/// Where each byte may stand as it is.
const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut byte = 0;
    while byte < 128u8 {
        places[byte as usize] = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => HOST | PATH | NAME | VALUE,
            b'A'..=b'Z' | b'~' => PATH | NAME | VALUE,
            b'/' | b':' | b',' => PATH | VALUE,
            b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b';' | b'=' | b'+' => PATH,
            _ => 0,
        };
        byte += 1;
    }
    places
};

fn all(text: &str, place: u8) -> bool {
    text.bytes().all(|byte| PLACES[usize::from(byte)] & place != 0)
}

/// Where the parts of such a text end. `None` if it is none.
pub(super) fn ends(text: &str) -> Option<Ends> {
    let scheme = text.find(':').filter(|_| text.len() <= MAX_LEN)?;
    let rest = text[scheme..].strip_prefix("://")?;
    let begin = scheme + "://".len();
    let path = rest.find('?').map_or(text.len(), |query| begin + query);
    let hosts = text[begin..path].find('/').map_or(path, |slash| begin + slash);
    let plain = is_scheme(&text[..scheme])
        && (begin == hosts || text[begin..hosts].split(',').all(is_host))
        && is_path(&text[hosts..path])
        && text.get(path + 1..).is_none_or(is_query);
    plain.then_some(Ends { scheme, hosts, path })
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    // Of a port, too, there is one form.
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (port == "0" || !port.starts_with('0'))
            && port.parse::<u16>().is_ok()
    };
    !host.is_empty() && all(host, HOST) && port.is_none_or(is_port)
}

fn is_path(path: &str) -> bool {
    all(path, PATH) && path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."))
}

fn is_query(query: &str) -> bool {
    let mut last = "";
    query.split('&').all(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return false };
        // In order, and so none of them empty or twice.
        std::mem::replace(&mut last, name) < name && all(name, NAME) && all(value, VALUE)
    })
}
