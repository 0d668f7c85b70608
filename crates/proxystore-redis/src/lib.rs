//! redis:// connector of proxystore: Redis or Valkey, single, sentinel and cluster
