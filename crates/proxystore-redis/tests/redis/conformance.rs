//! The suite that all connectors pass.

use proxystore_testkit::conformance::Harness;
use proxystore_testkit::redis::RedisServer;

use crate::connect;

async fn harness(over: impl Fn(&RedisServer) -> String) -> Option<Harness> {
    let server = RedisServer::start().await?;
    let uri = over(&server);
    let at = async |rest: &str| connect(&format!("{uri}{rest}")).await.unwrap();
    Some(
        Harness::new(at("prefix=app").await)
            .with_second(at("prefix=app").await)
            .with_neighbour(at("prefix=app2").await)
            .keeping(server),
    )
}

mod tcp {
    proxystore_testkit::conformance!(
        connector = crate::conformance::harness(|server| format!("{}?", server.uri())).await
    );
}

mod unix {
    proxystore_testkit::conformance!(
        connector =
            crate::conformance::harness(|server| format!("redis+unix://{}?db=3&", server.socket().display()))
                .await
    );
}
