//! The suite passes for a connector that keeps the contract, and lists all of its cases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod memory;

use memory::{Bug, harness};

proxystore_testkit::conformance!(connector = harness(Bug::None));

/// A case that is written but not listed in the macro would never run.
#[test]
fn every_case_is_listed() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let listed = std::fs::read_to_string(format!("{source}/conformance.rs")).unwrap();
    let (_, listed) = listed.split_once("$crate::__conformance_tests! { $connector;").unwrap();
    let (listed, _) = listed.split_once("}\n").unwrap();
    let listed: Vec<_> = listed
        .split(';')
        .filter_map(|group| group.split_once(':'))
        .flat_map(|(group, cases)| {
            cases.split_whitespace().map(move |case| format!("{}::{case}", group.trim()))
        })
        .collect();
    let mut written = Vec::new();
    for file in std::fs::read_dir(format!("{source}/conformance")).unwrap() {
        let path = file.unwrap().path();
        let group = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some((case, _)) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split_once('('))
            {
                written.push(format!("{group}::{case}"));
            }
        }
    }
    assert!(written.len() > 50, "found {} cases", written.len());
    for case in &written {
        assert!(listed.contains(case), "{case} is not listed");
    }
    assert_eq!(listed.len(), written.len(), "a case is listed twice");
}
