//! Objects: which methods proxies have, and how values come and go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use futures_util::stream::{self, Stream};
use proxystore_manager::{
    Access, CallError, Context, Manager, Object, ObjectProxy, Remote, RemoteError, RemoteErrorKind,
    RemoteStream, object,
};
use serde::{Deserialize, Serialize};

use crate::both;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Shelf {
    books: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Full(usize);

#[object(typeid = "library.Shelf", value)]
impl Shelf {
    const SIZE: usize = 3;

    #[ctor]
    fn new(books: Vec<String>) -> Self {
        Self { books }
    }

    #[ctor]
    async fn sized(manager: usize, name: &str) -> Result<Shelf, Full> {
        if manager > Self::SIZE {
            Err(Full(Self::SIZE))
        } else {
            Ok(Self { books: vec![name.into(); manager] })
        }
    }

    /// Puts a book there.
    async fn put(&mut self, book: &str) -> Result<usize, Full> {
        if self.books.len() == Self::SIZE {
            return Err(Full(Self::SIZE));
        }
        self.books.push(book.into());
        Ok(self.books.len())
    }

    const fn count(&self) -> usize {
        self.books.len()
    }

    #[rename = "books"]
    #[idempotent]
    fn all(&self) -> Vec<String> {
        self.books.clone()
    }

    fn r#type(&self, r#in: u8) -> u8 {
        r#in
    }

    fn lent(
        &self,
        text: &str,
        bytes: &[u8],
        path: &Path,
        shelf: &Self,
        number: &u64,
    ) -> (usize, usize, PathBuf, u64) {
        (text.len(), bytes.len(), path.join(shelf.books.concat()), *number)
    }

    async fn split(&mut self, at: usize, context: &Context) -> Result<Remote<Self>, RemoteError> {
        context.host(Self::new(self.books.split_off(at)))
    }

    fn twice(&self) -> (Self, Option<Self>) {
        (self.clone(), Some(self.clone()))
    }

    async fn with(&self, _: &Context, mut others: Vec<ShelfProxy>) -> Result<usize, RemoteError> {
        let mut count = self.books.len();
        for other in others.drain(..) {
            count += other.count().await?;
        }
        Ok(count)
    }

    fn each(&self) -> impl Stream<Item = String> + use<> {
        stream::iter(self.books.clone())
    }

    async fn taken(&mut self, count: &usize) -> impl Stream<Item = String> + Send + use<> {
        stream::iter(self.books.split_off(*count))
    }

    /// Arguments with the names that the generated code uses for itself.
    #[allow(clippy::too_many_arguments)]
    fn names(
        &mut self,
        method: u8,
        object: u8,
        call: u8,
        home: u8,
        direct: u8,
        manager: u8,
        name: u8,
        result: u8,
        base: u8,
    ) -> Vec<u8> {
        vec![method, object, call, home, direct, manager, name, result, base]
    }

    #[cfg(not(test))]
    fn absent(&self) -> NoSuchType {}

    #[cfg(test)]
    fn present(&self) {}

    #[hidden]
    fn for_itself(self: Arc<Self>) -> usize {
        self.books.len()
    }

    fn make() -> Self {
        Self::default()
    }
}

async fn on_both(test: impl AsyncFn(Manager)) {
    let [manager, client] = both(Manager::builder().register::<Shelf>()).await;
    test(manager.clone()).await;
    test(client).await;
}

fn books(books: &[&str]) -> Vec<String> {
    books.iter().map(|book| book.to_string()).collect()
}

#[test]
fn a_method_is_in_the_table_unless_it_is_hidden_or_not_there() {
    let named = |name: &str| ShelfProxy::METHODS.iter().find(|method| method.name == name);
    assert_eq!(ShelfProxy::TYPEID, "library.Shelf");
    assert_eq!(
        named("put").map(|method| (method.access, method.idempotent)),
        Some((Access::Exclusive, false))
    );
    assert_eq!(named("books").map(|method| (method.access, method.idempotent)), Some((Access::Shared, true)));
    assert_eq!(named("sized").map(|method| method.access), Some(Access::Create));
    assert!(named("present").is_some() && named("type").is_some());
    assert!(["all", "absent", "for_itself", "make", "SIZE"].into_iter().all(|name| named(name).is_none()));
    assert_eq!((Arc::new(Shelf::make()).for_itself(), Shelf::SIZE), (0, 3));
}

#[tokio::test]
async fn constructors_make_objects_and_say_why_not() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, books(&["a", "b"])).await.unwrap();
        assert_eq!(shelf.count().await, Ok(2));
        assert_eq!(ShelfProxy::sized(&manager, 2, "x").await.unwrap().all().await, Ok(books(&["x", "x"])));
        assert_eq!(ShelfProxy::sized(&manager, 4, "x").await, Err(CallError::App(Full(3))));
        let named = ShelfProxy::get_or_sized(&manager, "named", 1, "x").await.unwrap();
        assert_eq!(ShelfProxy::get_or_create(&manager, "named", Vec::new()).await, Ok(named));
    })
    .await;
}

#[tokio::test]
async fn results_and_errors_are_those_of_the_method() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, books(&["a", "b"])).await.unwrap();
        assert_eq!(shelf.put("c").await, Ok(3));
        assert_eq!(shelf.put("d").await, Err(CallError::App(Full(3))));
        assert_eq!(shelf.all().await, Ok(books(&["a", "b", "c"])));
        let copy = Shelf::new(books(&["a", "b", "c"]));
        assert_eq!(shelf.twice().await, Ok((copy.clone(), Some(copy.clone()))));
        assert_eq!(shelf.base().get_value::<Shelf>().await, Ok(copy));
    })
    .await;
}

#[tokio::test]
async fn references_are_lent_on_both_sides() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, Vec::new()).await.unwrap();
        let lent = shelf.lent("four", &[1, 2], Path::new("/x"), &Shelf::new(books(&["y"])), &7).await;
        assert_eq!(lent, Ok((4, 2, PathBuf::from("/x/y"), 7)));
    })
    .await;
}

#[tokio::test]
async fn objects_come_and_go_as_proxies() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, books(&["a", "b", "c"])).await.unwrap();
        let second: ShelfProxy = shelf.split(1).await.unwrap();
        assert_eq!(second.all().await, Ok(books(&["b", "c"])));
        assert_eq!(shelf.with(vec![second.clone(), second]).await, Ok(5));
    })
    .await;
}

#[tokio::test]
async fn a_stream_comes_item_by_item() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, books(&["a", "b", "c"])).await.unwrap();
        let each: RemoteStream<String> = shelf.each().await.unwrap();
        assert_eq!(shelf.taken(&1).await.unwrap().try_collect::<Vec<_>>().await, Ok(books(&["b", "c"])));
        assert_eq!(each.try_collect::<Vec<_>>().await, Ok(books(&["a", "b", "c"])));
        assert_eq!(shelf.all().await, Ok(books(&["a"])));
    })
    .await;
}

#[tokio::test]
async fn arguments_may_have_any_name() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, Vec::new()).await.unwrap();
        assert_eq!(shelf.names(1, 2, 3, 4, 5, 6, 7, 8, 9).await, Ok(vec![1, 2, 3, 4, 5, 6, 7, 8, 9]));
        assert_eq!(shelf.r#type(5).await, Ok(5));
        assert_eq!(shelf.present().await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn what_is_hidden_or_renamed_is_not_called_by_its_name() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, Vec::new()).await.unwrap();
        for name in ["all", "for_itself", "make", "absent", "new"] {
            let called = shelf.base().call_method::<_, (), ()>(name, &()).await;
            assert_eq!(
                called.unwrap_err().remote().map(RemoteError::kind),
                Some(RemoteErrorKind::NoSuchMethod),
                "{name}"
            );
        }
        assert_eq!(shelf.base().call_method::<_, Vec<String>, ()>("books", &()).await, Ok(Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_is_a_value() {
    on_both(async |manager| {
        let shelf = ShelfProxy::create(&manager, Vec::new()).await.unwrap();
        let other = ShelfProxy::create(&manager, Vec::new()).await.unwrap();
        let wire = serde_json::to_string(&shelf).unwrap();
        let again: <Shelf as Object>::Proxy = serde_json::from_str(&wire).unwrap();
        assert_eq!(again, shelf);
        assert_eq!(std::collections::HashSet::from([again, shelf.clone(), shelf.clone(), other]).len(), 2);
        assert!(format!("{shelf:?}").starts_with("ShelfProxy("));
        manager.publish("shelf", &shelf).await.unwrap();
        let wrong = manager.lookup::<BareProxy>("shelf").await.unwrap_err();
        assert_eq!(wrong.kind(), RemoteErrorKind::NoSuchType);
        assert!(
            serde_json::from_str::<BareProxy>(&wire).unwrap_err().to_string().contains("`library.Shelf`")
        );
        manager.unpublish("shelf").await.unwrap();
    })
    .await;
}

/// The usual names mean something else here.
#[allow(dead_code)]
mod shadows {
    struct Box;
    struct Vec;
    struct String;
    struct Ok;
    struct Err;
    struct Some;
    enum Result {}
    enum Option {}
    trait Send {}
    trait Sync {}
    trait Clone {}
    trait Serialize {}
    trait ToOwned {}
    mod core {}
    mod std {}
    mod serde {}
    mod proxystore_manager {}

    pub(super) struct Bare;

    #[::proxystore_manager::object]
    impl Bare {
        #[ctor]
        fn new() -> Self {
            Self
        }

        async fn length(&mut self, text: &str) -> usize {
            text.len()
        }
    }

    #[::proxystore_manager::interface(crate = "super::elsewhere", typeid = "bare")]
    pub(super) trait BareApi {
        async fn length(&mut self, text: &str) -> usize;
    }
}

/// As a crate that exports everything under another path.
mod elsewhere {
    pub(super) use proxystore_manager::*;
}

use shadows::{BareApiProxy, BareProxy};

#[tokio::test]
async fn generated_code_does_not_care_about_the_names_around_it() {
    let [manager, client] = both(Manager::builder().register::<shadows::Bare>()).await;
    for manager in [manager, client] {
        let bare = BareProxy::create(&manager).await.unwrap();
        assert_eq!(bare.length("four").await, Ok(4));
    }
    assert_eq!((BareProxy::TYPEID, BareApiProxy::TYPEID), ("Bare", "bare"));
}
