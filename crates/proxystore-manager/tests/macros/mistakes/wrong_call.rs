use proxystore_manager::object;

struct Counter(i64);

#[object]
impl Counter {
    #[ctor]
    fn new(count: i64) -> Self {
        Self(count)
    }

    fn add(&mut self, k: i64) -> i64 {
        self.0 += k;
        self.0
    }

    #[hidden]
    fn audit(&self) {}
}

async fn call(counter: CounterProxy) {
    let _: i64 = counter.add("1").await.unwrap();
    counter.audit().await;
}

fn main() {
    let _ = (call, Counter::audit);
}
