//! `tidy`: the house rules that no compiler checks. `cargo test` checks them too.

use std::fs;
use std::path::Path;

use crate::sh::{Result, root};

pub(crate) mod arrows;
mod names;
mod text;
mod wire;

/// The longest Rust file, in lines.
const MAX_LINES: usize = 450;
/// The files of a connector crate, so that a diff between two of them shows only the backend.
const CONNECTORS: &[(&str, &[&str])] = &[
    ("proxystore-local", &["lib.rs", "config.rs", "connector.rs", "watch.rs"]),
    ("proxystore-file", &["lib.rs", "config.rs", "connector.rs", "error.rs", "watch.rs"]),
    ("proxystore-multi", &["lib.rs", "config.rs", "connector.rs"]),
    ("proxystore-redis", &["lib.rs", "config.rs", "connector.rs", "error.rs", "watch.rs"]),
    ("proxystore-s3", &["lib.rs", "config.rs", "connector.rs", "error.rs"]),
];

/// A text file of the workspace.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Checks the workspace; `bless` records the wire types first.
pub(crate) fn run_all(bless: bool) -> Result {
    if bless {
        wire::bless()?;
    }
    let problems = problems()?;
    if problems.is_empty() {
        println!("tidy");
        return Ok(());
    }
    Err(format!("not tidy:\n  {}", problems.join("\n  ")))
}

/// Everything that breaks a rule, in one line each.
fn problems() -> Result<Vec<String>> {
    let files = files()?;
    let mut problems: Vec<_> = files.iter().filter_map(too_long).collect();
    problems.extend(missing_files(|path| root().join(path).is_file()));
    problems.extend(files.iter().flat_map(|file| text::problems(file, root())));
    problems.extend(names::problems(&files));
    problems.extend(arrows::problems()?);
    problems.extend(wire::problems());
    Ok(problems)
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (file.is_rust() && lines > MAX_LINES)
        .then(|| format!("{}: {lines} lines, and {MAX_LINES} is the limit: split it", file.path))
}

fn missing_files(exists: impl Fn(&str) -> bool) -> Vec<String> {
    let paths = CONNECTORS
        .iter()
        .flat_map(|(krate, files)| files.iter().map(move |file| format!("crates/{krate}/src/{file}")));
    paths
        .filter(|path| !exists(path))
        .map(|path| format!("{path}: missing; connector crates have the same files"))
        .collect()
}

/// The text files of the workspace, without what builds and version control leave there.
fn files() -> Result<Vec<File>> {
    let mut files = Vec::new();
    collect(root(), "", &mut files).map_err(|error| format!("cannot read the workspace: {error}"))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        let ours = !name.starts_with('.') || [".cargo", ".ci"].contains(&name.as_str());
        if kind.is_dir() && ours && name != "target" {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let problems = problems().unwrap();
        assert!(problems.is_empty(), "\n  {}", problems.join("\n  "));
    }

    #[test]
    fn only_rust_files_have_a_limit() {
        let file = |path: &str, lines| File { path: path.into(), text: "\n".repeat(lines) };
        assert!(too_long(&file("a.rs", MAX_LINES)).is_none());
        assert!(too_long(&file("a.rs", MAX_LINES + 1)).is_some());
        assert!(too_long(&file("Cargo.lock", MAX_LINES + 1)).is_none());
    }

    #[test]
    fn a_connector_without_one_of_its_files_is_found() {
        assert!(missing_files(|_| true).is_empty());
        let missing = missing_files(|path| !path.ends_with("redis/src/error.rs"));
        assert_eq!(missing.len(), 1);
    }

    #[test]
    fn the_files_are_ours() {
        let files = files().unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/")));
    }
}
