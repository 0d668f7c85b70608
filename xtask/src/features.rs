//! `features`: whatever features a user picks, it builds.

use crate::metadata;
use crate::sh::{Result, cargo, run};

/// Builds each crate without features, with each one alone, by default, and with all: what users build, without what
/// its tests need; of our own programs and tests, everything.
pub(crate) fn run_all() -> Result {
    let mut failed = Vec::new();
    let mut builds = 0;
    for (name, krate) in metadata::crates()? {
        let targets: &[&str] = if krate.published { &[] } else { &["--all-targets"] };
        for flags in choices(&krate.features) {
            builds += 1;
            let args = [&["check", "--quiet", "--package", &name], targets, &flags].concat();
            if run(&mut cargo(&args)).is_err() {
                failed.push(format!("cargo {}", args.join(" ")));
            }
        }
    }
    if failed.is_empty() {
        println!("all {builds} choices of features build");
        return Ok(());
    }
    Err(format!("{} of {builds} choices of features do not build:\n  {}", failed.len(), failed.join("\n  ")))
}

/// The flags of each build. A crate without features has one. What begins with `_` is a part of other features, which
/// nobody picks alone.
fn choices(features: &[String]) -> Vec<Vec<&str>> {
    let mut all = vec![vec!["--no-default-features"]];
    let picked = features.iter().filter(|feature| !feature.starts_with('_'));
    all.extend(picked.map(|feature| vec!["--no-default-features", "--features", feature]));
    if !features.is_empty() {
        all.push(vec![]);
        all.push(vec!["--all-features"]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_built_alone_and_with_all_others() {
        let features = ["_part".to_owned(), "a".to_owned(), "b".to_owned()];
        let flags: Vec<_> = choices(&features).iter().map(|flags| flags.join(" ")).collect();
        assert_eq!(
            flags,
            [
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b",
                "",
                "--all-features"
            ]
        );
        assert_eq!(choices(&[]), [["--no-default-features"]]);
    }
}
