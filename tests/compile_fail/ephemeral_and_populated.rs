// A populated proxy is never resolved, so an ephemeral object would never be evicted.
async fn both(store: proxystore::Store) {
    let _ = store.proxy(1u8).ephemeral().populate(true).await;
}

fn main() {}
