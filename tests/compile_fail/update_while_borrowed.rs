// What somebody reads is not replaced.
async fn update(store: proxystore::Store) -> proxystore::Result<()> {
    let mut owned = store.owned_proxy(1u8).await?;
    let borrowed = owned.borrow();
    owned.update(2).await?;
    borrowed.resolve_async().await?;
    Ok(())
}

fn main() {}
