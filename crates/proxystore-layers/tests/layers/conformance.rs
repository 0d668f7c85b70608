//! The contract of a connector holds with any policy around it.

use std::sync::Arc;

use proxystore_core::{Key, Policy, WithPolicy};
use proxystore_local::LocalConnector;
use proxystore_testkit::conformance::Harness;

fn around<P: Policy>(make: impl Fn() -> P) -> Harness {
    let name = Key::random().unwrap().to_string();
    let open = |name: &str| Arc::new(WithPolicy::new(Arc::new(LocalConnector::named(name)), make(), "test"));
    Harness::new(open(&name)).with_second(open(&name)).with_neighbour(open(&format!("{name}-neighbour")))
}

mod retry {
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(proxystore_layers::Retry::default)
    );
}

mod limit {
    // Tight, so that calls wait for each other.
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(|| proxystore_layers::Limit::new(2, 1 << 20))
    );
}

mod timeout {
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(proxystore_layers::Timeout::default)
    );
}

#[cfg(feature = "metrics")]
mod metrics {
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(proxystore_layers::Metrics::default)
    );
}

#[cfg(feature = "tracing")]
mod trace {
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(proxystore_layers::Trace::default)
    );
}

mod standard {
    proxystore_testkit::conformance!(
        connector = crate::conformance::around(proxystore_layers::Policies::standard)
    );
}
