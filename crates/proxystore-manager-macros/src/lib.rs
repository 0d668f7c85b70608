//! Attributes that generate typed proxies: see `proxystore-manager`.
