//! Who signs, and what errors say of it.

use std::io::Write;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Uri};
use proxystore_s3::{S3Config, S3Connector};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use proxystore_testkit::s3::{ACCESS_KEY, S3Server, SECRET_KEY};

use crate::{get, key};

async fn open(uri: &str, origin: Origin) -> Result<S3Connector, Error> {
    S3Config::from_uri(&uri.parse::<Uri>().unwrap())?.connect(origin).await
}

/// Opens the stores that it is told of, by a program's own URI or by a reference, and says how a get ends.
#[tokio::test]
async fn reader() {
    role!("access::reader");
    while let Some(line) = process::hear().await {
        let (origin, uri) = line.split_once(' ').unwrap();
        let origin = if origin == "reference" { Origin::Reference } else { Origin::Program };
        let ended = match open(uri, origin).await {
            Ok(connector) => get(&connector, &key("a")).await,
            Err(error) => Err(error),
        };
        process::say(&match ended {
            Ok(None) => "none".into(),
            Ok(Some(_)) => "some".into(),
            Err(error) => error.to_string(),
        });
    }
}

/// The environment's credentials sign what the program opens, and nothing that a reference names, unless a trust rule
/// names a profile.
#[tokio::test]
async fn references_are_signed_by_a_named_profile_alone() {
    let server = S3Server::start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[default]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = x\n").unwrap();
    write!(
        file,
        "[profile reader]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let environment = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_CONFIG_FILE", path),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // Would lead astray.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ];
    let mut reader = Role::spawn("access::reader", &environment);
    let uri = format!("s3://objects/app?endpoint={}", server.endpoint());
    let mut ask = async |line: String| {
        reader.say(&line).await;
        let seen = server.seen().len();
        let answer = reader.hear().await.unwrap();
        let signed = server.seen()[seen..].iter().map(|seen| seen.signed).collect::<Vec<_>>();
        assert!(!answer.contains(SECRET_KEY), "{answer}");
        (answer, signed)
    };
    let (answer, signed) = ask(format!("program {uri}")).await;
    assert_eq!((answer.as_str(), &signed[..]), ("none", &[true, true][..]));

    let (answer, signed) = ask(format!("reference {uri}")).await;
    assert!(answer.starts_with("denied") && signed.iter().all(|signed| !signed), "{answer} {signed:?}");

    let (answer, signed) = ask(format!("reference {uri}&profile=reader")).await;
    assert_eq!((answer.as_str(), &signed[..]), ("none", &[true, true][..]));

    let (answer, signed) = ask(format!("program {uri}&anonymous=true")).await;
    assert!(answer.starts_with("denied") && signed.iter().all(|signed| !signed), "{answer} {signed:?}");

    // A profile is that profile, whatever else is set.
    let (answer, _) = ask(format!("program {uri}&profile=default")).await;
    assert!(answer.starts_with("denied"), "{answer}");
    let (answer, signed) = ask(format!("program {uri}&profile=nobody")).await;
    assert!(answer.starts_with("denied") && signed.is_empty(), "{answer}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let server = S3Server::start().await;
    let endpoint = server.endpoint();
    let config = S3Config { bucket: "nothing".into(), ..crate::config(&endpoint, "app") };
    let error = S3Connector::from_client(&crate::client(&endpoint), &config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("no such bucket"), "{error}");

    let nobody = "s3://objects/app?endpoint=http://127.0.0.1:1&anonymous=true";
    let error = open(nobody, Origin::Program).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_transient());

    // Without a connection, a write has not happened.
    let connector = crate::connect(&server, "app").await;
    drop(server);
    let error = crate::put(&*connector, &key("a"), vec![1, 2, 3]).await.unwrap_err();
    assert!(crate::is_outage(&error), "{error}");
    let error = crate::put(&*connector, &key("a"), vec![1, 2, 3]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
