// A store needs a place.
async fn open() {
    let _ = proxystore::Store::builder("images").build().await;
}

fn main() {}
