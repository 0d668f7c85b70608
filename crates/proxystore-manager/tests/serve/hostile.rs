//! Those who have a session, or a reference, and want more than that.

use std::time::Duration;

use proxystore_manager::{AuthKey, Limits, ManagerId, ObjectProxy, RemoteErrorKind, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;

use crate::common::{Counter, CounterProxy, KEY, builder, client, kind, limits, told};

/// Reads a number that it may read, and adds to it, which it may not: with each reference that it is given.
#[tokio::test]
async fn holder() {
    role!("hostile::holder");
    let id: ManagerId = process::hear().await.unwrap().parse().unwrap();
    trust(id, AuthKey::new(KEY).unwrap());
    while let Some(reference) = process::hear().await {
        let Ok(counter) = serde_json::from_str::<CounterProxy>(&reference) else {
            process::say("no reference");
            continue;
        };
        let read = told(counter.get().await);
        let added = counter.base().call_method::<_, i64, String>("add", &(1,)).await;
        let added = match added {
            Ok(sum) => sum.to_string(),
            Err(error) => kind(error.remote().unwrap().kind()),
        };
        process::say(&format!("{read} {added}"));
    }
}

/// More proxies than fit into a message beside its bytes: the connection would break, and each one after it.
#[tokio::test]
async fn what_does_not_fit_into_a_message_is_not_sent() {
    let limits = Limits { max_frame: 1 << 20, ..limits() };
    let manager = builder().limits(limits).in_process().unwrap();
    let client = client(&manager).await;
    let counter = CounterProxy::create(&client, 7).await.unwrap();
    let call = async |count: usize| {
        let proxies = (0..count).map(|_| counter.clone()).collect::<Vec<_>>();
        let called = counter.base().call_method::<_, Vec<CounterProxy>, ()>("same", &(proxies,)).await;
        called.map(|same| same.len()).map_err(|error| error.remote().unwrap().kind())
    };
    assert_eq!(call(500).await, Ok(500));
    assert_eq!(call(100_000).await, Err(RemoteErrorKind::TooLarge));
    let many = counter.base().call_method::<_, Vec<CounterProxy>, ()>("many", &(100_000,)).await;
    assert_eq!(many.unwrap_err().remote().unwrap().kind(), RemoteErrorKind::TooLarge);
    let long = "x".repeat(3 << 20);
    let named = client.lookup::<CounterProxy>(&long).await.unwrap_err();
    assert_eq!(named.kind(), RemoteErrorKind::BadArguments);
    assert_eq!(counter.get().await, Ok(7));
}

/// The same reference with other digits at the end of its token.
fn forged(reference: &str) -> String {
    let end = reference.len() - 3;
    let digit = if &reference[end..=end] == "0" { "1" } else { "0" };
    [&reference[..end], digit, &reference[end + 1..]].concat()
}

#[tokio::test]
async fn forged_expired_and_unknown_references_are_refused_alike() {
    let manager = builder().serve_anywhere().await.unwrap();
    let counter = manager.host(Counter { count: 7 }).unwrap();
    let other = manager.host(Counter { count: 8 }).unwrap();
    let id = manager.id().await.unwrap().to_string();
    let mut holder = Role::spawn("hostile::holder", &[]);
    holder.say(&id).await;
    let mut hear = async |reference: &str| {
        holder.say(reference).await;
        holder.hear().await.unwrap()
    };
    let text = |proxy: &proxystore_manager::ProxyBase| serde_json::to_string(proxy).unwrap();
    let whole = text(counter.base());
    assert_eq!(hear(&whole).await, "7 8");

    let gone = "ObjectGone ObjectGone";
    assert_eq!(hear(&forged(&whole)).await, gone);
    // Its token for another object, and for one that there never was.
    let at = |object: &str| whole.replace(&format!("/{}?", counter.base().object()), &format!("/{object}?"));
    assert_eq!(hear(&at(&other.base().object().to_string())).await, gone);
    assert_eq!(hear(&at("18446744073709551615")).await, gone);

    let read_only = counter.base().read_only().unwrap();
    assert_eq!(hear(&text(&read_only)).await, "8 PermissionDenied");
    assert_eq!(hear(&text(&counter.base().only_methods(&["add"]).unwrap())).await, "PermissionDenied 9");
    // Its holder can see that its time is over, and to the manager it is as good as none.
    let over = counter.base().expires_in(Duration::ZERO).unwrap();
    assert_eq!(hear(&text(&over)).await, "PermissionDenied ObjectGone");
    // Without its restriction, the MAC of a weaker token opens nothing: one byte says that there is one caveat, the
    // next which.
    let weak = text(&read_only);
    let (start, token) = weak.split_once("k=").unwrap();
    assert_eq!(&token[..4], "0100");
    assert_eq!(hear(&format!("{start}k=00{}", &token[4..])).await, gone);
    assert_eq!(hear("\"psm://\"").await, "no reference");

    // A reference of a time before this start, and of a manager that nobody here knows.
    let epoch = whole.split_once('.').unwrap().1.split_once('@').unwrap().0;
    let before = whole.replace(epoch, "00000000000000ab");
    assert_eq!(hear(&before).await, "ManagerRestarted ManagerRestarted");
    let stranger = whole.replace(&id, &ManagerId::of(b"stranger").to_string());
    assert_eq!(hear(&stranger).await, "DialRefused DialRefused");
    assert_eq!(counter.get().await, Ok(9));
}
