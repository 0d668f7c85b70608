//! file:// connector of proxystore: one file per object, atomic and confined to its directory
