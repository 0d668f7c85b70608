//! Typed objects over one connector: Store, codecs, cache, references, trust
