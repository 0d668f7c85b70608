//! The text that most URIs have: canonical, without user information, and with nothing in it that is encoded.
//!
//! What is recognized here is what [`parse`](super::parse) reads and writes again as it stands; all else it may read.

use super::{Ends, MAX_LEN, is_scheme};

/// In the scheme, the name of a host, a segment of a path, and the name and the value of an option.
const SCHEME: u8 = 1;
const HOST: u8 = 2;
const SEGMENT: u8 = 4;
const NAME: u8 = 8;
const VALUE: u8 = 16;
/// In the number of a port.
const DIGIT: u8 = 32;

/// Where each byte may stand as it is.
const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut byte = 0;
    while byte < 128u8 {
        places[byte as usize] = match byte {
            b'0'..=b'9' => SCHEME | HOST | SEGMENT | NAME | VALUE | DIGIT,
            b'a'..=b'z' | b'-' | b'.' => SCHEME | HOST | SEGMENT | NAME | VALUE,
            b'_' => HOST | SEGMENT | NAME | VALUE,
            b'A'..=b'Z' | b'~' => SEGMENT | NAME | VALUE,
            b':' | b',' => SEGMENT | VALUE,
            b'/' => VALUE,
            b'+' => SCHEME | SEGMENT,
            b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b';' | b'=' => SEGMENT,
            _ => 0,
        };
        byte += 1;
    }
    places
};

/// Reads a text once, from left to right.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// All that may stand in this place.
    fn take(&mut self, place: u8) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| PLACES[usize::from(byte)] & place == 0);
        let taken = &rest[..end.unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Whether this comes next; then it is taken.
    fn eat(&mut self, byte: u8) -> bool {
        let next = self.next() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Where the parts of such a text end. `None` if it is none.
pub(super) fn ends(text: &str) -> Option<Ends> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut scanner = Scanner { text, at: 0 };
    let scheme = scanner.take(SCHEME).len();
    let begins = is_scheme(&text[..scheme]) && scanner.eat(b':') && scanner.eat(b'/') && scanner.eat(b'/');
    if !begins || !hosts(&mut scanner) {
        return None;
    }
    let hosts = scanner.at;
    while scanner.eat(b'/') {
        if matches!(scanner.take(SEGMENT), "" | "." | "..") {
            return None;
        }
    }
    let path = scanner.at;
    (options(&mut scanner) && scanner.at == text.len()).then_some(Ends { scheme, hosts, path })
}

fn hosts(scanner: &mut Scanner<'_>) -> bool {
    if matches!(scanner.next(), None | Some(b'/' | b'?')) {
        return true;
    }
    loop {
        if scanner.take(HOST).is_empty() {
            return false;
        }
        if scanner.eat(b':') {
            let port = scanner.take(DIGIT);
            // There is one form of it.
            if port.starts_with('0') && port != "0" || port.parse::<u16>().is_err() {
                return false;
            }
        }
        if !scanner.eat(b',') {
            return true;
        }
    }
}

fn options(scanner: &mut Scanner<'_>) -> bool {
    let mut last = "";
    let mut more = scanner.eat(b'?');
    while more {
        let name = scanner.take(NAME);
        // In order: so none is empty, and none is there twice.
        if name <= last || !scanner.eat(b'=') {
            return false;
        }
        last = name;
        scanner.take(VALUE);
        more = scanner.eat(b'&');
    }
    true
}
