// An object has one owner. Another object with the same value is `owned.clone_object().await?`.
async fn two(store: proxystore::Store) -> proxystore::Result<()> {
    let owned = store.owned_proxy(1u8).await?;
    drop(owned.clone());
    Ok(())
}

fn main() {}
