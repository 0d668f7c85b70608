// An owner does not travel as a copy of itself: it is lent, or handed over.
async fn send(store: proxystore::Store) -> proxystore::Result<String> {
    let owned = store.owned_proxy(1u8).await?;
    Ok(serde_json::to_string(&owned).unwrap())
}

fn main() {}
