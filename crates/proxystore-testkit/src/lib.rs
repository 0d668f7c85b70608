//! Conformance suite, fault injection and real servers for testing proxystore connectors
