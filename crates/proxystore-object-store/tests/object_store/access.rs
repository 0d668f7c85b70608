//! Who signs.

use proxystore_core::{Connector, ConnectorConfig, Error, Key, Origin, Payload, Uri};
use proxystore_object_store::{ObjectStoreConfig, ObjectStoreConnector};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use proxystore_testkit::s3::{ACCESS_KEY, S3Server, SECRET_KEY};

async fn open(uri: &str, origin: Origin) -> Result<ObjectStoreConnector, Error> {
    ObjectStoreConfig::from_uri(&uri.parse::<Uri>().unwrap())?.connect(origin).await
}

/// Opens the stores that it is told of, by a program's own URI or by a reference, and says how a get ends.
#[tokio::test]
async fn reader() {
    role!("access::reader");
    let key = Key::parse("a").unwrap();
    while let Some(line) = process::hear().await {
        let (origin, uri) = line.split_once(' ').unwrap();
        let origin = if origin == "reference" { Origin::Reference } else { Origin::Program };
        let ended = match open(uri, origin).await {
            Ok(connector) => connector.get(&key).await,
            Err(error) => Err(error),
        };
        process::say(&match ended {
            Ok(object) => format!("{} bytes", object.as_ref().map_or(0, Payload::len)),
            Err(error) => error.to_string(),
        });
    }
}

/// The environment's credentials sign what the program opens, and nothing that a reference names, unless a trust rule
/// says so. The environment's endpoint is nobody's.
#[tokio::test]
async fn references_are_not_signed() {
    let server = S3Server::start().await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        // Would lead astray.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_REGION", "eu-nowhere-1"),
        ("AWS_SKIP_SIGNATURE", "true"),
    ];
    let mut reader = Role::spawn("access::reader", &environment);
    let uri = format!("s3+object://objects/app?endpoint={}", server.endpoint());
    let mut ask = async |line: String| {
        reader.say(&line).await;
        let seen = server.seen().len();
        let answer = reader.hear().await.unwrap();
        let signed = server.seen()[seen..].iter().map(|seen| seen.signed).collect::<Vec<_>>();
        assert!(!answer.contains(SECRET_KEY), "{answer}");
        (answer, signed)
    };
    let (answer, signed) = ask(format!("program {uri}")).await;
    assert_eq!((answer.as_str(), &signed[..]), ("0 bytes", &[true, true][..]));

    let (answer, signed) = ask(format!("reference {uri}")).await;
    assert!(answer.starts_with("denied") && signed == [false, false], "{answer} {signed:?}");

    let (answer, signed) = ask(format!("reference {uri}&credentials=environment")).await;
    assert_eq!((answer.as_str(), &signed[..]), ("0 bytes", &[true, true][..]));

    let (answer, signed) = ask(format!("program {uri}&credentials=anonymous")).await;
    assert!(answer.starts_with("denied") && signed == [false, false], "{answer} {signed:?}");

    let (answer, _) = ask(format!("program {}", uri.replace("objects/app", "nothing/app"))).await;
    assert!(answer.starts_with("bad configuration") && answer.contains("no such bucket"), "{answer}");
    let (answer, _) = ask("program s3+object://objects/app?endpoint=http://127.0.0.1:1".into()).await;
    assert!(answer.starts_with("backend unavailable"), "{answer}");
}

/// For a reference, Google's and Azure's stores look for no credentials, neither in the environment nor in files nor on
/// other servers.
#[cfg(all(feature = "gcp", feature = "azure", feature = "http"))]
#[tokio::test]
async fn other_clouds_are_not_signed_either() {
    let server = crate::web::Server::start().await;
    server.answer_all_by(403);
    let environment = [
        // Each would be an error where it is looked at.
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "c4n4ry"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/dev/null"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c4n4ry"),
        ("AZURE_STORAGE_SAS_TOKEN", "sig=c4n4ry"),
    ];
    let mut reader = Role::spawn("access::reader", &environment);
    for place in ["gs://bucket/app", "az://account/container/app"] {
        reader.say(&format!("reference {place}?endpoint={}", server.endpoint())).await;
        let answer = reader.hear().await.unwrap();
        assert!(answer.starts_with("denied"), "{answer}");
        reader.say(&format!("program {place}?endpoint={}", server.endpoint())).await;
        let answer = reader.hear().await.unwrap();
        assert!(answer.starts_with("bad configuration") && !answer.contains("c4n4ry"), "{answer}");
    }
    for request in server.seen() {
        assert!(!request.contains("authorization") && !request.contains("c4n4ry"), "{request}");
    }
    assert_eq!(server.seen().len(), 4);
}
