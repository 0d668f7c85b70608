//! What no file may contain.

use std::path::Path;

use super::File;

/// Unfinished work, leftovers, and tests that do not run.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("un", "implemented!"),
    concat!("db", "g!"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("#[", "ignore"),
    concat!("```", "ignore"),
    concat!("```rust,", "ignore"),
];
/// Folders of people.
const HOMES: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("C:\\", "Users")];
/// Packages come from where cargo gets them by itself: a mirror is the machine's matter.
const REGISTRIES: &[&str] = &[
    concat!("sparse", "+http"),
    concat!("replace", "-with"),
    concat!("[source", "."),
    concat!("[regis", "tries"),
    concat!("index.", "crates.io"),
];
/// What `Cargo.lock` says of every package from elsewhere.
const LOCKED: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// All of it in this file. `root` is where the workspace happens to be.
pub(super) fn problems(file: &File, root: &Path) -> Vec<String> {
    let here = root.to_string_lossy();
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut found = |what: &str| problems.push(format!("{}:{}: {what}", file.path, number + 1));
        if file.is_rust() {
            UNFINISHED
                .iter()
                .filter(|word| has_word(line, word))
                .for_each(|word| found(&format!("not finished: {word}")));
        }
        if HOMES.iter().any(|home| line.contains(home)) || names(line, &here) {
            found("the path of a machine");
        }
        if REGISTRIES.iter().any(|registry| line.contains(registry)) {
            found("the host of a registry");
        }
        if file.path == "Cargo.lock" && line.starts_with("source = ") && !line.contains(LOCKED) {
            found("a package from another registry than crates.io");
        }
    }
    problems
}

/// Whether `word` stands there, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

/// Whether the line names the folder `here`. One of a single segment could be anything.
fn names(line: &str, here: &str) -> bool {
    let path = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "._-".contains(c));
    here.matches('/').count() > 1
        && line.match_indices(here).any(|(at, _)| {
            !path(line[..at].chars().next_back()) && !path(line[at + here.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        problems(&File { path: path.into(), text: text.into() }, Path::new("/build/here")).len()
    }

    #[test]
    fn unfinished_work_is_found_in_rust() {
        for word in UNFINISHED {
            assert_eq!(count("a.rs", &format!("    {word}")), 1, "{word}");
            assert_eq!(count("a.md", &format!("    {word}")), 0, "{word}");
        }
    }

    #[test]
    fn a_part_of_a_word_is_no_word() {
        let word = UNFINISHED[3];
        assert_eq!(count("a.rs", &format!("a{word} {word}b _{word}")), 0);
        assert_eq!(count("a.rs", &format!("a{word} // {word}: later")), 1);
    }

    #[test]
    fn machine_paths_are_found() {
        assert_eq!(count("a.md", &format!("see {}me/x", HOMES[0])), 1);
        assert_eq!(count("a.toml", "path = \"/build/here/x\""), 1);
        assert_eq!(count("a.md", "see x/build/here and /build/hereafter"), 0);
    }

    #[test]
    fn registries_are_found() {
        assert_eq!(count(".cargo/config.toml", &format!("{} = \"m\"", REGISTRIES[1])), 1);
        assert_eq!(count("Cargo.lock", &format!("source = \"{LOCKED}\"")), 0);
        assert_eq!(count("Cargo.lock", "source = \"registry+https://mirror.example/index\""), 1);
    }
}
