// Either the first reader evicts the object, or the scope does.
async fn both(store: proxystore::Store) {
    let _ = store.proxy(1u8).ephemeral().lifetime(&proxystore::Scope::new()).await;
}

fn main() {}
