// Who has handed the object over has it no more.
async fn read(store: proxystore::Store) -> proxystore::Result<u8> {
    let owned = store.owned_proxy(1u8).await?;
    let _handover = owned.hand_over().await;
    owned.resolve_async().await.copied()
}

fn main() {}
