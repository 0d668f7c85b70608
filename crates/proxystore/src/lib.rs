//! Pass references instead of values: a Proxy that resolves anywhere
