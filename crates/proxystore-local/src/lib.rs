//! local:// connector of proxystore: objects in this process, the reference implementation
