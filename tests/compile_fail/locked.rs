// A locked proxy must be unlocked first.
async fn resolve(store: proxystore::Store) -> proxystore::Result<()> {
    let locked = store.locked_proxy(1u8).await?;
    locked.resolve_async().await?;
    Ok(())
}

fn main() {}
