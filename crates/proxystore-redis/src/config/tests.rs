use super::*;

fn read(uri: &str) -> Result<RedisConfig> {
    RedisConfig::from_uri(&uri.parse()?)
}

fn identity(uri: &str) -> String {
    read(uri).unwrap().identity().to_string()
}

#[test]
fn identities_are_canonical() {
    assert_eq!(identity("redis://Cache.Example"), "redis://cache.example:6379/0");
    assert_eq!(
        identity("redis://u:p@h:1/2?prefix=app&timeout=1s&bulk=1&connect_timeout=1s"),
        "redis://h:1/2?prefix=app"
    );
    assert_eq!(identity("redis://h?prefix=proxystore"), identity("redis://h:6379/0"));
    assert_eq!(identity("redis://[::1]"), "redis://[::1]:6379/0");
    assert_eq!(identity("redis+unix:///run/r.sock"), "redis+unix:///run/r.sock?db=0");
    assert_eq!(identity("redis+sentinel://b,a:5/1?master=m"), "redis+sentinel://a:5,b:26379/1?master=m");
    #[cfg(feature = "tls")]
    assert_eq!(identity("rediss://h?ca=/etc/ca.pem"), "rediss://h:6379/0");
    #[cfg(feature = "cluster")]
    assert_eq!(identity("redis+cluster://b:7000,a,a"), "redis+cluster://a:6379,b:7000");
}

#[test]
fn an_identity_leads_to_itself() {
    for uri in ["redis://h:1/2?prefix=a/b", "redis+unix:///s?db=3", "redis+sentinel://a,b?master=m"] {
        let identity = read(uri).unwrap().identity();
        assert_eq!(RedisConfig::from_uri(&identity).unwrap().identity(), identity);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (uri, say) in [
        ("redis://", "no host"),
        ("redis://a,b", "redis+sentinel://"),
        ("redis://h/x", "number of a database"),
        ("redis://h/0/1", "number of a database"),
        ("redis://h?prefix=a:b", "not a key"),
        ("redis://h?prefix=", "not a key"),
        ("redis://h?prefx=a", "did you mean `prefix`"),
        ("redis://h?master=m", "no option `master`"),
        ("redis://h?bulk=0", "1 to 64"),
        ("redis://h?timeout=0s", "duration"),
        ("redis+unix://h/s", "has no host"),
        ("redis+unix://", "absolute path"),
        ("redis+sentinel://h", "master=<name>"),
        ("redis://u:${NO_SUCH_VARIABLE_HERE}@h", "NO_SUCH_VARIABLE_HERE"),
        #[cfg(not(feature = "tls"))]
        ("rediss://h", "`rediss://` needs the Cargo feature `redis-tls`"),
        #[cfg(not(feature = "cluster"))]
        ("redis+cluster://h", "needs the Cargo feature `redis-cluster`"),
        #[cfg(feature = "cluster")]
        ("redis+cluster://h/1", "no databases but 0"),
    ] {
        let error = read(uri).unwrap_err().to_string();
        assert!(error.contains(say), "{uri}: {error}");
    }
}

#[test]
fn a_config_shows_no_password() {
    let config = read("redis://app:canary-4711@h").unwrap();
    assert_eq!(config.password, Some(Secret::new("canary-4711")));
    let json = serde_json::to_string(&config).unwrap();
    for text in [format!("{config:?}"), json.clone(), config.identity().to_string()] {
        assert!(!text.contains("canary"), "{text}");
    }
    let back: RedisConfig = serde_json::from_str(&json).unwrap();
    assert_eq!(back, RedisConfig { password: None, ..config });
    assert_eq!(serde_json::from_str::<RedisConfig>("{}").unwrap(), RedisConfig::default());
}
