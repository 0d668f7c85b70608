//! `deps`: how many crates a user gets, and which ones nobody may get.

use std::collections::BTreeSet;

use crate::sh::{Result, cargo, output};
use crate::tidy;

/// One choice that users make, and its limits.
struct Rule {
    what: &'static str,
    /// Of `cargo tree`.
    flags: &'static [&'static str],
    /// The most crates, itself included.
    ceiling: Option<usize>,
    /// None of these may be among them. A name that ends in `*` stands for all that begin so.
    banned: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        what: "proxystore-core",
        flags: &["--package", "proxystore-core", "--all-features"],
        ceiling: Some(30),
        banned: &["moka", "redis", "rustls", "ring"],
    },
    Rule {
        what: "proxystore",
        flags: &["--package", "proxystore"],
        ceiling: Some(55),
        banned: &["redis", "aws*", "object_store", "rustls", "ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "proxystore with redis",
        flags: &["--package", "proxystore", "--features", "redis"],
        ceiling: Some(97),
        banned: &["ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "proxystore with redis, s3",
        flags: &["--package", "proxystore", "--features", "redis,s3"],
        // 109 of them come with s3.
        ceiling: Some(206),
        banned: &["ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "proxystore with object-store",
        flags: &["--package", "proxystore", "--features", "object-store"],
        ceiling: Some(97),
        banned: &["aws*", "hyper", "reqwest", "rustls", "ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "… gcs, azure, http",
        flags: &["--package", "proxystore", "--features", "gcs,azure,http"],
        ceiling: Some(157),
        banned: &["ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "proxystore with manager",
        flags: &["--package", "proxystore", "--features", "manager"],
        ceiling: Some(107),
        banned: &["redis", "aws*", "object_store", "rustls", "ring", "openssl", "openssl-sys", "native-tls"],
    },
    Rule {
        what: "the whole workspace",
        flags: &["--workspace", "--all-features", "--edges", "dev"],
        ceiling: None,
        banned: &["ring", "openssl", "openssl-sys", "native-tls"],
    },
];

/// Prints each choice with its count, and checks the arrows between our crates.
pub(crate) fn run_all() -> Result {
    let mut problems = tidy::arrows::problems()?;
    println!("{:<24} {:>6} {:>8}", "", "crates", "ceiling");
    for rule in RULES {
        let flags = ["tree", "--edges", "normal,build", "--prefix", "none"];
        let tree = match output(&mut cargo(&[&flags, rule.flags].concat())) {
            Ok(tree) => crates(&tree),
            Err(error) => {
                println!("{:<24} {:>6}", rule.what, "?");
                problems.push(error);
                continue;
            }
        };
        let ceiling = rule.ceiling.map_or("–".into(), |ceiling| ceiling.to_string());
        println!("{:<24} {:>6} {ceiling:>8}", rule.what, tree.len());
        problems.extend(broken(rule, &tree));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The distinct crates, `name version`, in what `cargo tree --prefix none` prints.
fn crates(tree: &str) -> BTreeSet<String> {
    let first_two = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    tree.lines().filter(|line| !line.is_empty()).map(first_two).collect()
}

fn broken(rule: &Rule, tree: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(ceiling) = rule.ceiling.filter(|ceiling| tree.len() > *ceiling) {
        let all: Vec<_> = tree.iter().map(String::as_str).collect();
        problems.push(format!(
            "{} needs {} crates, and {ceiling} is the ceiling; all of them: {}",
            rule.what,
            tree.len(),
            all.join(", ")
        ));
    }
    let is_banned = |name: &str| {
        rule.banned.iter().any(|banned| match banned.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *banned,
        })
    };
    let flags = rule.flags.join(" ");
    for name in tree.iter().filter_map(|entry| entry.split(' ').next()).filter(|name| is_banned(name)) {
        problems.push(format!(
            "{} must not need {name}; who does: cargo tree {flags} --invert {name}",
            rule.what
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str =
        "a v1.0.0 (/a)\nbytes v1.12.1\nring v0.17.8 (proc-macro)\nbytes v1.12.1 (*)\n\naws-x v1.0.0\n";

    fn rule(ceiling: usize, banned: &'static [&'static str]) -> Rule {
        Rule { what: "a", flags: &["--package", "a"], ceiling: Some(ceiling), banned }
    }

    #[test]
    fn each_crate_counts_once() {
        assert_eq!(
            Vec::from_iter(crates(TREE)),
            ["a v1.0.0", "aws-x v1.0.0", "bytes v1.12.1", "ring v0.17.8"]
        );
    }

    #[test]
    fn ceilings_and_bans_hold() {
        let tree = crates(TREE);
        assert_eq!(broken(&rule(4, &["rin", "byte"]), &tree), Vec::<String>::new());
        assert_eq!(broken(&rule(3, &[]), &tree).len(), 1);
        let banned = broken(&rule(4, &["ring", "aws*"]), &tree);
        assert_eq!(banned.len(), 2);
        assert!(banned[1].ends_with("cargo tree --package a --invert ring"), "{banned:?}");
    }
}
