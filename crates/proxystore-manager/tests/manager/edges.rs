//! What goes wrong seldom, and must not then.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use proxystore_manager::builtin::{Dict, List, Namespace};
use proxystore_manager::sync::LockProxy;
use proxystore_manager::{
    CallError, Context, Interfaces, Limits, Manager, Object, ObjectProxy, Remote, RemoteError,
    RemoteErrorKind, interface, object,
};
use serde::Serialize;

use crate::common::{Counter, CounterProxy, client, limits, objects, pair};

const PATIENCE: Duration = Duration::from_secs(3);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, Box::pin(future)).await.unwrap()
}

struct Odd;

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as asked");
    }
}

#[object(typeid = "test.Odd")]
impl Odd {
    #[ctor]
    fn new() -> Self {
        Self
    }

    fn one(&self) -> i64 {
        1
    }

    /// Calls another shared method of the same object, after a while.
    async fn inner(&self, this: Remote<Odd>) -> Result<i64, RemoteError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        this.one().await
    }

    async fn alone(&mut self) -> i64 {
        2
    }

    fn bombs(&self) -> impl Stream<Item = i64> + use<> {
        let bomb = Bomb;
        stream::repeat(1).take(100_000).map(move |item| {
            let _ = &bomb;
            item
        })
    }

    fn fails(&self) -> impl Stream<Item = i64> + use<> {
        stream::iter([1, 2]).map(|item| if item == 2 { panic!("as asked") } else { item })
    }

    fn bomb(&self, context: &Context) -> Vec<u8> {
        context.on_discard(|| panic!("as asked"));
        vec![0; 1 << 20]
    }
}

#[tokio::test]
async fn a_shared_method_may_call_another_while_an_exclusive_one_waits() {
    let manager = Manager::builder().register::<Odd>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let odd = OddProxy::create(manager).await.unwrap();
        let outer = odd.inner(odd.clone());
        let writer = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            odd.alone().await
        };
        let (outer, writer) = soon(futures_util::future::join(Box::pin(outer), writer)).await;
        assert_eq!((outer, writer), (Ok(1), Ok(2)));
    }
}

#[tokio::test]
async fn streams_that_were_read_to_their_end_are_forgotten() {
    let limits = Limits { max_calls: 500, ..limits() };
    let manager = Manager::builder().limits(limits).in_process().unwrap();
    let client = client(&manager).await;
    let list = List::<u8>::from_items(&client, [1, 2]).await.unwrap();
    for _ in 0..600 {
        let items: Vec<_> = list.snapshot().await.unwrap().collect().await;
        assert_eq!(items, [Ok(1), Ok(2)]);
    }
}

#[tokio::test]
async fn what_panics_when_a_session_ends_does_not_keep_others() {
    let limits = Limits { lease: Duration::from_millis(150), ..limits() };
    let manager = Manager::builder().register::<Odd>().limits(limits).serve_anywhere().await.unwrap();
    let address = manager.addresses().unwrap()[0].to_string();
    for with_stream in [true, false] {
        let (address, key) = (address.clone(), manager.authkey().unwrap());
        // The client has a runtime of its own, which stops without a word.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let held = runtime.spawn(async move {
            let client = Manager::connect(&address, key).await.unwrap();
            let odd = OddProxy::create(&client).await.unwrap();
            let mut bombs = odd.bombs().await.unwrap();
            if with_stream {
                assert_eq!(bombs.next().await, Some(Ok(1)));
            }
            (odd, bombs)
        });
        let held = held.await.unwrap();
        runtime.shutdown_background();
        objects(&manager, 0).await;
        drop(held);
    }
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_panics_when_it_is_undone_keeps_nothing() {
    let manager = Manager::builder().register::<Odd>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    let odd = OddProxy::create(&client).await.unwrap();
    for _ in 0..20 {
        // The result is made at once, and takes its time.
        let _ = tokio::time::timeout(Duration::from_micros(300), odd.bomb()).await;
    }
    assert_eq!(odd.one().await, Ok(1));
    let other = OddProxy::create(&manager).await.unwrap();
    drop(other);
    drop((odd, client));
    objects(&manager, 0).await;
}

#[tokio::test]
async fn a_client_ends_a_manager_that_nobody_waits_for() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&manager, 1).await.unwrap();
    client.shutdown().await.unwrap();
    let ended = async {
        while counter.get().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(ended).await;
    assert_eq!(counter.get().await.unwrap_err().kind(), RemoteErrorKind::ShuttingDown);
    assert_eq!(manager.stats().await.unwrap().objects, 0);
}

#[tokio::test]
async fn errors_hold_no_argument() {
    // What the codec itself says does.
    let encoded = rmp_serde::to_vec("hunter2").unwrap();
    let wrong = rmp_serde::from_slice::<Duration>(&encoded).unwrap_err();
    assert!(wrong.to_string().contains("hunter2"), "{wrong}");
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 1).await.unwrap();
        let lock = LockProxy::create(manager).await.unwrap();
        let calls = [(counter.base(), "add"), (lock.base(), "acquire_within")];
        for (object, method) in calls {
            let wrong = object.call_method::<_, i64, ()>(method, &("hunter2",)).await.unwrap_err();
            let CallError::Remote(wrong) = wrong else { panic!("{wrong:?}") };
            assert_eq!(wrong.kind(), RemoteErrorKind::BadArguments);
            assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
        }
        let wrong =
            counter.base().call_method::<_, Duration, String>("echo", &("hunter2",)).await.unwrap_err();
        assert!(wrong.to_string().contains("expected struct Duration"), "{wrong}");
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    }
}

#[tokio::test]
async fn a_proxy_may_expire_in_less_than_a_second() {
    let (manager, _client) = pair().await;
    let counter = manager.host(Counter::at(1)).unwrap();
    for time in [300, 900] {
        let time = Duration::from_millis(time);
        let short = CounterProxy::from_base(counter.base().expires_in(time).unwrap());
        assert_eq!(short.get().await, Ok(1));
        tokio::time::sleep(time).await;
        assert!(short.get().await.is_err());
    }
}

#[tokio::test]
async fn a_name_in_a_text_is_no_place_for_another_text() {
    let (manager, _client) = pair().await;
    let names = Namespace::create(&manager).await.unwrap();
    names.set("a\u{f8ff}b", &1).await.unwrap();
    let inner = List::<i64>::from_items(&manager, [7]).await.unwrap();
    names.set("list", &inner).await.unwrap();
    assert_eq!(names.display().await, "Namespace(a\\u{f8ff}b=1, list=[7])");
}

#[tokio::test]
async fn keys_without_types_are_the_same_as_those_with() {
    #[derive(Serialize)]
    struct Backwards {
        y: u8,
        x: u8,
    }
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let dict = Dict::<Vec<std::collections::BTreeMap<String, u8>>, u8>::create(manager).await.unwrap();
        let args = (vec![Backwards { y: 2, x: 1 }], 5);
        dict.base().call_method::<_, Option<u8>, ()>("insert", &args).await.unwrap();
        let key = vec![[("x".to_owned(), 1), ("y".to_owned(), 2)].into()];
        assert_eq!(dict.get(&key).await, Ok(Some(5)));
    }
}

#[interface(typeid = "test.Shop")]
trait Shop {
    #[ctor]
    fn open(number: u32) -> Self
    where
        Self: Sized;

    fn number(&self) -> u32;
}

#[interface(typeid = "test.Shutter")]
trait Shutter {
    fn open(&self) -> String;
}

struct Corner(u32);

impl Shop for Corner {
    fn open(number: u32) -> Self {
        Self(number)
    }

    fn number(&self) -> u32 {
        self.0
    }
}

impl Shutter for Corner {
    fn open(&self) -> String {
        format!("{} is open", self.0)
    }
}

impl Object for Corner {
    type Proxy = ShopProxy;

    fn interfaces() -> Interfaces<Self> {
        Interfaces::none().and::<ShutterProxy>()
    }
}

#[tokio::test]
async fn a_method_may_have_the_name_of_a_constructor_of_another_interface() {
    let manager = Manager::builder().register::<Corner>().limits(limits()).in_process().unwrap();
    let shop = manager.host(Corner(7)).unwrap();
    let shutter: ShutterProxy = shop.base().cast().await.unwrap();
    assert_eq!(shutter.open().await.unwrap(), "7 is open");
}

#[tokio::test]
async fn a_name_is_looked_up_by_any_interface_of_its_object() {
    let manager = Manager::builder().register::<Corner>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    let shop = manager.host(Corner(7)).unwrap();
    let shutter: ShutterProxy = shop.base().cast().await.unwrap();
    manager.publish("corner", &shutter).await.unwrap();
    for manager in [&manager, &client] {
        assert_eq!(manager.lookup::<ShutterProxy>("corner").await.unwrap(), shutter);
        assert_eq!(manager.lookup::<ShopProxy>("corner").await.unwrap().number().await, Ok(7));
        let wrong = manager.lookup::<CounterProxy>("corner").await.unwrap_err();
        assert_eq!(wrong.kind(), RemoteErrorKind::NoSuchType);
    }
}

#[tokio::test]
async fn a_socket_takes_the_place_of_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    std::fs::write(&path, "precious").unwrap();
    let served = Manager::builder().serve(&format!("unix:{}", path.display())).await;
    assert!(served.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_stream_that_panics_ends_with_an_error_at_home_too() {
    let manager = Manager::builder().register::<Odd>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let odd = OddProxy::create(manager).await.unwrap();
        let items: Vec<_> = odd.fails().await.unwrap().collect().await;
        assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), RemoteErrorKind::Panicked);
    }
}
