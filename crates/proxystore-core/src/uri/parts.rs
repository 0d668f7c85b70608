//! What a URI says, and how that is written.

use std::collections::BTreeMap;

use super::Uri;
use crate::Secret;

/// All but the user information, percent-decoded.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) scheme: String,
    pub(super) hosts: Vec<(String, Option<u16>)>,
    /// Empty, or `/` and segments.
    pub(super) path: String,
    pub(super) options: BTreeMap<String, String>,
}

/// Where they end in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) scheme: usize,
    pub(super) hosts: usize,
    pub(super) path: usize,
}

/// What may not stand in the text as it is.
#[derive(PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) path: String,
    pub(super) options: BTreeMap<String, String>,
}

impl Parts {
    pub(super) fn of(uri: &Uri) -> Self {
        Self {
            scheme: uri.scheme().into(),
            hosts: uri.hosts().map(|(host, port)| (host.into(), port)).collect(),
            path: uri.path().into(),
            options: uri.option_pairs().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// The URI that says this.
    pub(super) fn uri(self, user: Option<String>, password: Option<Secret>) -> Uri {
        let mut text = String::new();
        let ends = self.write(&mut text);
        let is_encoded = text[ends.hosts..].contains('%');
        let decoded = is_encoded.then(|| Decoded { path: self.path, options: self.options }.into());
        Uri { text: text.into(), ends, user, password, decoded }
    }

    /// Writes the canonical text.
    fn write(&self, text: &mut String) -> Ends {
        text.push_str(&self.scheme);
        let scheme = text.len();
        text.push_str("://");
        for (i, (host, port)) in self.hosts.iter().enumerate() {
            text.push_str(if i == 0 { "" } else { "," });
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            text.extend([open, host, close]);
            if let Some(port) = port {
                text.extend([":", &port.to_string()]);
            }
        }
        let hosts = text.len();
        // Behind a host, an @ in the path could be the end of a password.
        let keep: &[u8] = if self.hosts.is_empty() { b"/!$'()*,;=:@+" } else { b"/!$'()*,;=:+" };
        encode(text, &self.path, keep);
        let path = text.len();
        for (i, (name, value)) in self.options.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            encode(text, name, b"");
            text.push('=');
            encode(text, value, b"/:,@");
        }
        Ends { scheme, hosts, path }
    }
}

/// Percent-encodes what would change the meaning; `keep` are the delimiters that are harmless in this place.
pub(super) fn encode(out: &mut String, text: &str, keep: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(byte.into());
        } else {
            out.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}
