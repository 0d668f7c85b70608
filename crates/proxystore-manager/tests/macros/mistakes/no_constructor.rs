use proxystore_manager::{Manager, RemoteError, object};

struct Made;

#[object]
impl Made {
    fn new() -> Self {
        Self
    }
}

async fn make(manager: &Manager) -> Result<MadeProxy, RemoteError> {
    MadeProxy::create(manager).await
}

fn main() {
    let _ = (make, Made::new);
}
