//! What the documentation names exists: `Store::open` in a text stands for a real `open`.

use std::collections::BTreeSet;

use super::File;

/// Every path of identifiers, in backticks, whose last segment no crate defines.
pub(super) fn problems(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/"));
    let defined: BTreeSet<&str> = sources.flat_map(|file| file.text.lines()).filter_map(defines).collect();
    let pages = files.iter().filter(|file| is_page(&file.path));
    let missing = |page: &File| -> Vec<String> {
        let names = paths(&page.text);
        let unknown = names
            .into_iter()
            .filter(|path| path.rsplit("::").next().is_some_and(|last| !defined.contains(last)));
        unknown.map(|path| format!("{}: `{path}` does not exist in crates/", page.path)).collect()
    };
    pages.flat_map(missing).collect()
}

/// The README and the pages directly in docs. Decisions may speak of what was rejected.
fn is_page(path: &str) -> bool {
    path == "README.md"
        || path.strip_prefix("docs/").is_some_and(|rest| rest.ends_with(".md") && !rest.contains('/'))
}

/// The name that a line of Rust defines: an item, or a variant of an enum.
fn defines(line: &str) -> Option<&str> {
    const ITEMS: &[&str] = &["struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"];
    let line = line.trim_start();
    let mut words = line.split_whitespace();
    let name = if let Some((_, name)) = line.split_once("fn ") {
        identifier(name)
    } else if words.any(|word| ITEMS.contains(&word)) {
        identifier(words.next()?)
    } else {
        let name = identifier(line);
        let rest = &line[name.len()..];
        let ends = rest.is_empty() || [",", "(", " {", " ="].iter().any(|next| rest.starts_with(next));
        if ends && name.starts_with(char::is_uppercase) { name } else { "" }
    };
    Some(name).filter(|name| !name.is_empty())
}

/// The identifier that `text` begins with.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The code spans, outside fenced blocks, of the form `Type::method`, also with arguments. Paths of other crates
/// begin with a lower case letter, and are theirs.
fn paths(page: &str) -> BTreeSet<&str> {
    let mut fenced = false;
    let prose = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    let spans = prose.flat_map(|line| line.split('`').skip(1).step_by(2));
    let bare = spans.map(|span| span.split(['(', '<', ' ']).next().unwrap_or(span).trim_end_matches("::"));
    let ours = |path: &&str| path.starts_with(char::is_uppercase) || path.starts_with("proxystore");
    let whole = |path: &&str| path.split("::").all(|part| !part.is_empty() && identifier(part) == part);
    bare.filter(|path| path.contains("::")).filter(ours).filter(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_variants_are_definitions() {
        for (line, name) in [
            ("pub async fn open(uri: &str) -> Result<Self> {", Some("open")),
            ("    pub const fn of<C>() -> Self {", Some("of")),
            ("pub struct Store {", Some("Store")),
            ("pub(crate) const DRIVER: Driver = x;", Some("DRIVER")),
            ("macro_rules! conformance {", Some("conformance")),
            ("    Registered,", Some("Registered")),
            ("    Allow(Vec<Uri>),", Some("Allow")),
            ("    let a = open();", None),
            ("}", None),
        ] {
            assert_eq!(defines(line), name, "{line}");
        }
    }

    #[test]
    fn paths_are_found_in_prose_alone() {
        let page = "See `Store::open(uri)`, `Proxy<T>`, `Trust::Any`, `tokio::spawn` and `a b`.\n```\n`Not::this`\n```\n\
            Or `proxystore::schema::<T>()`.";
        assert_eq!(Vec::from_iter(paths(page)), ["Store::open", "Trust::Any", "proxystore::schema"]);
    }

    #[test]
    fn a_name_that_does_not_exist_is_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file("crates/a/src/lib.rs", "pub fn open() {}"),
            file("README.md", "`A::open` `A::close`"),
            file("docs/decisions/0001-x.md", "`A::rejected`"),
        ];
        assert_eq!(problems(&files), ["README.md: `A::close` does not exist in crates/"]);
    }
}
