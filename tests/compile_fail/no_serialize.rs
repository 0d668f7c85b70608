// A type that cannot be encoded cannot be put.
struct Frame;

async fn put(store: proxystore::Store) {
    let _ = store.proxy(Frame).await;
}

fn main() {}
