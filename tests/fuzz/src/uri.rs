//! Addresses of stores.

use std::time::Duration;

use proxystore_core::{ConnectorConfig, Uri};
use proxystore_file::FileConfig;
use proxystore_local::LocalConfig;
use proxystore_multi::MultiConfig;
use proxystore_redis::RedisConfig;
use serde::Serialize;

use crate::check::{self, CANARY};

/// An address has one canonical form, which is read again as the same address, and so has the identity that a
/// connector makes of it. Nothing that is made of an address, and no error about it, shows its password.
pub fn uri(data: &[u8]) {
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| !text.contains(CANARY)) else { return };
    parse(text);
    if let Some((scheme, rest)) = text.split_once("://") {
        parse(&format!("{scheme}://app:{CANARY}@{rest}"));
    }
}

fn parse(text: &str) {
    let uri = match text.parse::<Uri>() {
        Ok(uri) => uri,
        Err(error) => return check::teaches(&error),
    };
    check::hides(&uri);
    canonical(&uri.public());
    written(&uri);
    for segment in uri.segments() {
        assert!(!segment.is_empty() && segment != "." && segment != ".." && !segment.contains('/'), "{uri}");
    }
    match uri.options(&["prefix", "timeout", "bulk"]) {
        Ok(options) => {
            options.duration("timeout", Duration::ZERO).map_or_else(|e| check::teaches(&e), drop);
            options.parse("bulk", 0usize).map_or_else(|e| check::teaches(&e), drop);
        }
        Err(error) => check::teaches(&error),
    }
    // A secret in the wrong place, as the value of an option that there is not.
    let misplaced = uri.public().with_option("token", CANARY);
    check::teaches(&misplaced.options(&["prefix"]).unwrap_err());
    check::teaches(&FileConfig::from_uri(&misplaced).unwrap_err());
    check::teaches(&LocalConfig::from_uri(&misplaced).unwrap_err());
    check::teaches(&MultiConfig::from_uri(&misplaced).unwrap_err());
    check::teaches(&RedisConfig::from_uri(&misplaced).unwrap_err());
    config::<FileConfig>(&uri);
    config::<LocalConfig>(&uri);
    config::<MultiConfig>(&uri);
    config::<RedisConfig>(&uri);
    child(&uri);
}

/// As the child of a store that is made of several it shows no password: with a literal one, it is not taken.
fn child(uri: &Uri) {
    let with_child = |child: &str| Uri::new("multi").with_host("a", None).with_option("a", child).to_string();
    let nested = with_child(&uri.public().to_string());
    if let Ok(nested) = nested.parse::<Uri>() {
        config::<MultiConfig>(&nested);
    }
    if uri.has_credentials() {
        let literal = uri.to_string().replacen("***@", &format!("app:{CANARY}@"), 1);
        match with_child(&literal).parse::<Uri>() {
            Ok(nested) => panic!("a password would be shown: {nested}"),
            Err(error) => check::teaches(&error),
        }
    }
}

fn canonical(uri: &Uri) {
    let text = uri.to_string();
    assert!(!uri.has_credentials() && text.is_ascii(), "{text}");
    match text.parse::<Uri>() {
        Ok(again) => {
            assert_eq!(again, *uri);
            assert_eq!(again.to_string(), text);
        }
        Err(error) => panic!("the canonical form is not legal: {error}: {text}"),
    }
}

/// What is written has no password, but may name the variable that has it.
fn written(uri: &Uri) {
    let text = serde_json::to_string(uri).unwrap();
    assert!(!text.contains(CANARY), "the secret is written: {text}");
    let read: Uri = serde_json::from_str(&text).unwrap();
    assert_eq!(read, if read.has_credentials() { uri.clone() } else { uri.public() }, "{text}");
}

fn config<C: ConnectorConfig + Serialize + std::fmt::Debug>(uri: &Uri) {
    if !C::SCHEMES.contains(&uri.scheme()) {
        return;
    }
    match C::from_uri(uri) {
        Ok(config) => {
            check::hides(&config);
            assert!(!serde_json::to_string(&config).unwrap().contains(CANARY));
            let identity = config.identity();
            canonical(&identity);
            let again = C::from_uri(&identity).unwrap_or_else(|e| panic!("{identity} has no meaning: {e}"));
            assert_eq!(again.identity(), identity, "an identity is its own identity");
        }
        Err(error) => check::teaches(&error),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let uris = [
        "redis://app:hunter2@Cache.example:6379/0?prefix=jobs&timeout=500ms&bulk=8",
        "redis+cluster://a:7000,b:7001,[::1]/0?connect_timeout=3s",
        "redis+sentinel://s1,s2:26379/1?master=main",
        "redis+unix:///run/redis.sock?db=3",
        "rediss://user:${PASSWORD}@[2001:db8::1]:1/?ca=/etc/ca.pem",
        "file:///var/lib/ob%20jects/%C3%A9?durability=power&sweep=1h",
        "local:///images",
        "multi://ram,far?ram=local:///near&far=redis://app:${PW}@h/0%3Fprefix=p&far.near=ram&far.keep=5m&far.min=10",
        "multi://a,b?a=local:///a&b=file:///b&a.max=65536&b.subset=x,y&b.superset=z&b.hosts=n.*%20m&fallback=yes",
        "local://process/images/",
        "x+y-z.0://a_b@h/%41?%26=%3D&c=1:2,3@4",
    ];
    let long = format!("file:///{}", "é/".repeat(600));
    let hosts = format!("redis+cluster://{}", vec!["h"; 900].join(","));
    uris.iter().map(|uri| (*uri).to_owned()).chain([long, hosts]).map(String::into_bytes).collect()
}
