//! Children that cannot be opened, and who says so when.

use super::*;

/// Refuses the children of these names.
#[derive(Debug)]
struct Strict(Vec<(&'static str, Error)>);

#[async_trait]
impl Opener for Strict {
    async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
        match self.0.iter().find(|(name, _)| uri.path().ends_with(name)) {
            Some((_, error)) => Err(error.clone()),
            None => driver(uri)?.open(uri, Origin::Program).await,
        }
    }

    fn identity(&self, uri: &Uri) -> Result<Uri> {
        driver(uri)?.identity(uri)
    }
}

async fn open_as(origin: Origin, uri: &str, refused: &[(&'static str, Error)]) -> Result<MultiConnector> {
    let config = MultiConfig::from_uri(&uri.parse()?)?;
    config.connect_over(origin, Arc::new(Strict(refused.to_vec()))).await
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied, "no rule allows it")
}

const URI: &str = "multi://a,b?a=local:///places-a&b=local:///places-b&a.min=1&a.priority=1";

#[tokio::test]
async fn a_program_opens_all_of_its_children() {
    let error = open_as(Origin::Program, URI, &[("-b", denied())]).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Denied, Some("b")));
}

#[tokio::test]
async fn a_reference_uses_what_it_may_and_hears_of_the_rest_when_it_is_used() {
    let connector = open_as(Origin::Reference, URI, &[("-b", denied())]).await.unwrap();
    let own = open(URI).await;
    put(&own, &key("a~mine"), "x").await;
    assert!(get(&connector, &key("a~mine")).await.is_some());
    let error = connector.get(&key("mine")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Denied, Some("b")), "{error}");
    assert_eq!(connector.info().uri, own.info().uri, "it is the same store");
}

#[tokio::test]
async fn a_reference_that_may_use_nothing_opens_nothing() {
    let refused = [("-a", denied()), ("-b", denied())];
    let error = open_as(Origin::Reference, URI, &refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn an_outage_is_not_remembered() {
    let down = Error::new(ErrorKind::Unavailable, "down").transient();
    let error = open_as(Origin::Reference, URI, &[("-b", down)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn who_cannot_reach_the_near_child_reads_far() {
    let uri = "multi://n,f?n=local:///places-near&f=local:///places-far&f.near=n";
    let own = open(uri).await;
    let key = own.new_key(KeyHint::default()).unwrap();
    put(&own, &key, "x").await;
    own.flush().await.unwrap();
    for error in [denied(), Error::new(ErrorKind::Unavailable, "no such host").transient()] {
        let connector = open_as(Origin::Reference, uri, &[("-near", error)]).await.unwrap();
        assert!(get(&connector, &key).await.is_some());
        assert_eq!(connector.info().uri, own.info().uri);
        let key = connector.new_key(KeyHint::default()).unwrap();
        put(&connector, &key, "y").await;
        assert!(get(&own, &key).await.is_some());
    }
}

#[tokio::test]
async fn dormant_children_may_be_of_kinds_that_are_not_installed() {
    let uri = "multi://a,b?a=local:///places-kinds&b=gopher://far.example/x&b.hosts=no-such-host";
    let connector = open(uri).await;
    assert!(connector.info().uri.to_string().contains("b=gopher://far.example/x"));
    let awake = uri.replace("no-such-host", ".*");
    let error = open_with(&awake, Children::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Unsupported, Some("b")));
}

#[tokio::test]
async fn it_cannot_be_opened_by_a_driver_alone() {
    let uri: Uri = URI.parse().unwrap();
    let error = proxystore_multi::DRIVER.open(&uri, Origin::Program).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let children = proxystore_multi::DRIVER.children(&uri).unwrap();
    assert_eq!(children.len(), 2);
}
