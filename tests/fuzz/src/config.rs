//! Configuration files.

use proxystore_core::ErrorKind;
use proxystore_store::StoreConfig;
use toml::Value;

use crate::check::{self, CANARY};

/// What is read is written in a form that is read as the same, without a literal password. An error tells the place
/// and no value.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match StoreConfig::from_toml(text) {
        Ok(config) => config,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            // The name of a field is shown; what stands in it is not.
            if !toml::from_str::<Value>(text).is_ok_and(|all| names_canary(&all)) {
                check::teaches(&error);
            }
            return;
        }
    };
    let written = config.to_toml().unwrap();
    let read = StoreConfig::from_toml(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    let public = StoreConfig::new("x", config.uri.public());
    assert!(read.uri == config.uri || read.uri == public.uri, "{written}");
    let mut same = config.clone();
    same.uri = read.uri.clone();
    assert_eq!(read, same);
    assert_eq!(read.to_toml().unwrap(), written);
    // Where it is no password, it is no secret; and the name of a variable is none either.
    let shown = [&config.name, &public.uri.to_string()].iter().any(|text| text.contains(CANARY));
    if !shown && !text.contains("${") {
        check::hides(&config);
        assert!(!written.contains(CANARY), "the secret is written: {written}");
    }
}

/// Whether the secret is the name of something.
fn names_canary(value: &Value) -> bool {
    match value {
        Value::Table(table) => table.iter().any(|(name, value)| name.contains(CANARY) || names_canary(value)),
        Value::Array(values) => values.iter().any(names_canary),
        _ => false,
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let files = [
        "name = \"images\"\nuri = \"file:///var/lib/images\"\n[cache]\nobjects = 100\n",
        "name = \"jobs\"\nuri = \"redis://app:c4n4ry@host:6379/0?prefix=p\"\npopulate = false\nembed_uri = true\n\
         [cache]\nobjects = 16\nbytes = 1024\n[limits]\nobject_bytes = 4294967296\ntimeout_ms = 120000\n",
        "name = 'jobs'\nuri = 'redis://app:${REDIS_PASSWORD}@host/0'\nlimits = { timeout_ms = 1 }\n",
        "name = \"\"\"\njobs\"\"\"\nuri = \"local:///c4n4ry\"\npopulate = \"c4n4ry\"\n",
    ];
    files.iter().map(|file| file.as_bytes().to_vec()).collect()
}
