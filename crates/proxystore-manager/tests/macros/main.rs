//! What `#[object]` and `#[interface]` generate, and what they say about mistakes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod interfaces;
mod lints;
mod marks;
mod methods;

use proxystore_manager::{Builder, Manager};

/// A manager, and a client of it that goes through a session and the codec.
async fn both(builder: Builder) -> [Manager; 2] {
    let manager = builder.in_process().unwrap();
    let home = manager.clone();
    let open = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        let served = home.serve_stream(far).map_err(std::io::Error::other);
        async move { served.map(|()| near) }
    };
    let client = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap();
    [manager, client]
}

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/macros/mistakes/*.rs");
}
