use proxystore::Store;

async fn produce(store: Store) -> proxystore::Result<()> {
    let future = store.future::<u32>().await?;
    future.set(&1).await?;
    future.set(&2).await
}

fn main() {
    let _ = produce;
}
