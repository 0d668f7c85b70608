// One mutable borrow, and no other beside it.
async fn twice(store: proxystore::Store) -> proxystore::Result<()> {
    let mut owned = store.owned_proxy(1u8).await?;
    let mut first = owned.borrow_mut();
    let mut second = owned.borrow_mut();
    first.update(2).await?;
    second.update(3).await
}

fn main() {}
