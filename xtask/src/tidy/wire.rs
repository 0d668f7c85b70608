//! The types that define bytes on the wire do not change unnoticed.

use std::fs;

use crate::sh::{Result, read, root};

/// Where the bytes are defined.
const TYPES: &[&str] = &[
    "crates/proxystore-layers/src/compress.rs",
    "crates/proxystore-layers/src/encrypt.rs",
    "crates/proxystore-layers/src/encrypt/cipher.rs",
    "crates/proxystore-layers/src/encrypt/header.rs",
    "crates/proxystore-manager/src/frame.rs",
    "crates/proxystore-manager/src/handshake.rs",
    "crates/proxystore-manager/src/locator.rs",
    "crates/proxystore-manager/src/token.rs",
    "crates/proxystore-store/src/envelope.rs",
    "crates/proxystore-store/src/grant.rs",
    "crates/proxystore-store/src/future/polling.rs",
    "crates/proxystore-store/src/background/pulse.rs",
    "crates/proxystore-store/src/reference.rs",
    "crates/proxystore-store/src/owned/ticket.rs",
    "crates/proxystore-store/src/traceparent.rs",
];
/// What they were when somebody last looked at the golden bytes beside it: a hash and a path on each line.
const RECORD: &str = "crates/proxystore-store/tests/golden/wire.sum";

/// The files that are not what was recorded.
pub(super) fn problems() -> Vec<String> {
    match read(RECORD) {
        Ok(recorded) => TYPES.iter().filter_map(|path| changed(path, &recorded)).collect(),
        Err(error) => vec![format!("{error}; `cargo xtask tidy --bless` writes it")],
    }
}

/// What is to be done if this file is not as recorded.
fn changed(path: &str, recorded: &str) -> Option<String> {
    match sum(path) {
        Ok(line) if recorded.lines().any(|known| known == line) => None,
        Ok(_) => Some(format!(
            "{path}: wire types changed: look whether the golden bytes in the tests of its crate still hold, \
             bump the version if not, then `cargo xtask tidy --bless`"
        )),
        Err(error) => Some(error),
    }
}

/// Records them as they are.
pub(super) fn bless() -> Result {
    let lines = TYPES.iter().map(|path| sum(path)).collect::<Result<Vec<_>>>()?;
    let file = root().join(RECORD);
    let folder = file.parent().unwrap_or(root());
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, lines.join("\n") + "\n"));
    written.map_err(|error| format!("cannot write {RECORD}: {error}"))
}

fn sum(path: &str) -> Result<String> {
    Ok(format!("{:016x} {path}", hash(code(&read(path)?).bytes())))
}

/// The text without comments, blank lines and indentation, none of which reaches the wire.
fn code(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// FNV-1a with 64 bits: it notices changes, it does not defend against anyone.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_change_is_noticed() {
        let path = TYPES[0];
        assert_eq!(changed(path, &sum(path).unwrap()), None);
        assert!(changed(path, &format!("0000000000000000 {path}")).unwrap().contains("--bless"));
        assert!(changed("none.rs", "").unwrap().contains("none.rs"));
    }

    #[test]
    fn only_code_counts() {
        assert_eq!(code("//! Docs.\n\nconst A: u8 = 1;\n    // Why.\n  b\n"), "const A: u8 = 1;\nb");
        assert_ne!(hash(code("const A: u8 = 1;").bytes()), hash(code("const A: u8 = 2;").bytes()));
    }
}
