// What is lent to another task or process is not replaced before that is done.
async fn update(store: proxystore::Store) -> proxystore::Result<()> {
    let mut owned = store.owned_proxy(1u8).await?;
    let lend = owned.lend(async |lent| lent.resolve_async().await.copied());
    owned.update(2).await?;
    lend.await??;
    Ok(())
}

fn main() {}
