use super::*;

fn config(uri: &str) -> Result<S3Config> {
    S3Config::from_uri(&uri.parse().unwrap())
}

fn identity(uri: &str) -> String {
    config(uri).unwrap().identity().to_string()
}

#[test]
fn an_identity_says_what_others_need_and_no_more() {
    for (uri, of) in [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b?profile=x&timeout=1s&checksum=required&sweep=off", "s3://bucket/a/b"),
        ("s3://bucket/a?anonymous=true&region=eu-west-1", "s3://bucket/a?region=eu-west-1"),
        ("s3://bucket?endpoint=https://Minio.example:443/", "s3://bucket?endpoint=https://minio.example"),
        ("s3://bucket?endpoint=http://h:9000&path_style=true", "s3://bucket?endpoint=http://h:9000"),
        ("s3://bucket?endpoint=http://h&path_style=false", "s3://bucket?endpoint=http://h&path_style=false"),
        ("s3://bucket?path_style=true", "s3://bucket?path_style=true"),
        ("s3://bucket?path_style=false", "s3://bucket"),
    ] {
        assert_eq!(identity(uri), of);
        assert_eq!(identity(of), of);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (uri, why) in [
        ("s3:///prefix", "one bucket"),
        ("s3://a,b/prefix", "one bucket"),
        ("s3://bucket:80/prefix", "one bucket"),
        ("s3://key:secret@bucket/prefix", "profile=<name>"),
        ("s3://bu/prefix", "3 to 63"),
        ("s3://bucket/a%20b", "prefix"),
        ("s3://bucket?region=EU!", "region"),
        ("s3://bucket?endpoint=ftp://h", "endpoint"),
        ("s3://bucket?endpoint=http://user@h", "endpoint"),
        ("s3://bucket?profile=a&anonymous=true", "exclude"),
        ("s3://bucket?checksum=crc", "checksum"),
        ("s3://bucket?timeout=0s", "timeout"),
        ("s3://bucket?regoin=a", "did you mean `region`"),
    ] {
        let error = config(uri).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains(why) && !text.contains("secret"), "{uri}: {text}");
    }
    let longest = vec!["a".repeat(127); 4].join("/");
    assert!(config(&format!("s3://bucket/{longest}")).is_ok());
    assert!(config(&format!("s3://bucket/{longest}a")).unwrap_err().to_string().contains("511 bytes"));
}

#[test]
fn a_config_is_data() {
    let config = config("s3://bucket/a?profile=x&endpoint=http://h:1&checksum=supported&sweep=off").unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<S3Config>(&text).unwrap(), config);
    let least: S3Config = serde_json::from_str(r#"{"bucket": "b-1"}"#).unwrap();
    assert_eq!(least.identity().to_string(), "s3://b-1");
}
