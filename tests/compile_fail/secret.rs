// A secret is not printed and not serialized.
fn show(secret: proxystore::Secret) {
    println!("{secret}");
    let _ = serde_json::to_string(&secret);
}

fn main() {}
