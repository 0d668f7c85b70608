//! The workspace as cargo sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::sh::{Result, cargo, output};

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// Its features, without `default`.
    pub(crate) features: Vec<String>,
    /// Whether users get it.
    pub(crate) published: bool,
    /// The crates of the workspace that it needs, optional ones among them. What only its tests need is not here.
    pub(crate) arrows: BTreeSet<String>,
    /// Its examples.
    pub(crate) examples: Vec<String>,
}

/// The crates of the workspace by name.
pub(crate) fn crates() -> Result<BTreeMap<String, Crate>> {
    Ok(parse(&metadata()?))
}

/// Where cargo builds.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().ok_or("`cargo metadata` names no target directory")?;
    Ok(target.into())
}

fn metadata() -> Result<Value> {
    let json = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&json).map_err(|error| format!("`cargo metadata`: {error}"))
}

fn parse(all: &Value) -> BTreeMap<String, Crate> {
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let arrow = |dependency: &Value| !dependency["path"].is_null() && dependency["kind"] != "dev";
    let one = |package: Value| {
        let dependencies = list(&package["dependencies"]);
        let features = package["features"].as_object().cloned().unwrap_or_default();
        let features =
            features.into_iter().map(|(feature, _)| feature).filter(|feature| feature != "default");
        let arrows = dependencies.iter().filter(|dependency| arrow(dependency)).map(name);
        let targets = list(&package["targets"]);
        let is_example = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "example");
        let one = Crate {
            features: features.collect(),
            published: package["publish"].is_null(),
            arrows: arrows.collect(),
            examples: targets.iter().filter(is_example).map(name).collect(),
        };
        (name(&package), one)
    };
    list(&all["packages"]).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read() {
        let json = r#"{"packages": [{"name": "a", "publish": null, "features": {"default": ["x"], "x": []}, "dependencies": [
            {"name": "b", "kind": null, "path": "/b"}, {"name": "c", "kind": "build", "path": "/c"},
            {"name": "d", "kind": "dev", "path": "/d"}, {"name": "serde", "kind": null}]},
            {"name": "e", "publish": [], "features": {}, "dependencies": [], "targets": [
                {"name": "e", "kind": ["lib"]}, {"name": "show", "kind": ["example"]}]}]}"#;
        let crates = parse(&serde_json::from_str(json).unwrap());
        assert_eq!(crates["e"].examples, ["show"]);
        assert_eq!(crates["a"].features, ["x"]);
        assert_eq!(
            crates["a"].arrows,
            BTreeSet::from(["b".to_owned(), "c".to_owned()]),
            "not what its tests need"
        );
        assert!(crates["a"].published);
        assert!(!crates["e"].published);
    }
}
