// A secret is not printed.
fn show(secret: proxystore::Secret) {
    println!("{secret}");
}

fn main() {}
