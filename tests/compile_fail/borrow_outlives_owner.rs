// A borrow lives no longer than the owner, who may have evicted the object.
async fn outlive(store: proxystore::Store) -> proxystore::Result<()> {
    let owned = store.owned_proxy(1u8).await?;
    let borrowed = owned.borrow();
    drop(owned);
    borrowed.resolve_async().await?;
    Ok(())
}

fn main() {}
