use proptest::prelude::*;

use super::*;
use crate::reference::{Identity, Spec, hex};
use crate::{Handover, Lent, LentMut};

fn reference() -> Reference {
    Reference {
        store: "images".into(),
        spec: Spec::Name(Identity([1, 2, 3, 4, 5, 6, 7, 8])),
        key: Id::from_bytes([0xab; 16]).into(),
        codec: 1,
        fingerprint: Some([9; 8]),
        length: 3,
        ephemeral: false,
        future: None,
        traceparent: None,
        grant: None,
    }
}

fn wire(kind: Kind) -> Wire<Reference> {
    Wire { proxystore: VERSION, kind, ticket: Key::parse("ticket").unwrap(), reference: reference() }
}

const READABLE: &str = concat!(
    r#"{"proxystore":1,"kind":"handover","ticket":"ticket","reference":{"proxystore":1,"store":"images","#,
    r#""key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"postcard","type":"0909090909090909","length":3,"#,
    r#""identity":"0102030405060708"}}"#
);

#[test]
fn golden_bytes() {
    let golden = |kind: &str| {
        let reference = "2b01030103".to_owned()
            + "06696d61676573abababababababababababababababab09090909090909090102030405060708";
        format!("01{kind}067469636b6574{reference}")
    };
    for (kind, byte) in [(Kind::Lent, "00"), (Kind::LentMut, "01"), (Kind::Handover, "02")] {
        assert_eq!(hex(&postcard::to_allocvec(&wire(kind)).unwrap()), golden(byte));
    }
    assert_eq!(serde_json::to_string(&wire(Kind::Handover)).unwrap(), READABLE);
}

/// What lies in stores, and processes of different versions agree by.
#[test]
fn golden_records() {
    let manner = Manner { ttl: Duration::from_secs(60), tags: Tags::from(["a".into()]), populate: true };
    let ticket = Ticket::new(Kind::Handover, &Key::parse("k").unwrap(), Duration::from_millis(300), &manner);
    assert_eq!(hex(&Postcard::encode(&ticket).unwrap()), "02016bac02e0d403010161");
    assert_eq!(hex(&Postcard::encode(&Claim { by: [7; 16] }).unwrap()), "07".repeat(16));
    assert_eq!(hex(&Postcard::encode(&Updated { object: "k".into(), length: 300 }).unwrap()), "016bac02");
    let text = |schema: std::sync::Arc<crate::schema::Schema>| {
        assert!(schema.is_full());
        schema.text().to_owned()
    };
    assert_eq!(
        text(<Postcard as Codec<Ticket>>::schema().unwrap()),
        "struct Ticket{kind:enum Kind{lent,lent_mut,handover},object:str,valid_ms:u64,ttl_ms:u64,tags:seq<str>}"
    );
}

#[test]
fn both_forms_travel() {
    for kind in [Kind::Lent, Kind::LentMut, Kind::Handover] {
        let bytes = postcard::to_allocvec(&wire(kind)).unwrap();
        assert_eq!(postcard::from_bytes::<Wire<Reference>>(&bytes).unwrap(), wire(kind));
        let text = serde_json::to_string(&wire(kind)).unwrap();
        assert_eq!(serde_json::from_str::<Wire<Reference>>(&text).unwrap(), wire(kind));
        let packed = rmp_serde::to_vec(&wire(kind)).unwrap();
        assert_eq!(rmp_serde::from_slice::<Wire<Reference>>(&packed).unwrap(), wire(kind));
    }
    let handover: Handover<u8> = serde_json::from_str(READABLE).unwrap();
    assert_eq!(serde_json::to_string(&handover).unwrap(), READABLE);
    assert_eq!(handover.key(), &reference().key);
}

fn refusal<'a, T: serde::Deserialize<'a>>(text: &'a str) -> String {
    serde_json::from_str::<T>(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_is_not_of_the_form_is_refused() {
    let refused = |from: &str, to: &str| refusal::<Handover<u8>>(READABLE.replace(from, to).leak());
    assert!(refused(r#"{"proxystore":1,"kind""#, r#"{"proxystore":2,"kind""#).contains("newer version"));
    assert!(refused(r#""ticket":"ticket""#, r#""ticket":"../x""#).contains("not a key"));
    assert!(refused(r#""handover""#, r#""lent""#).contains("it is Lent, not Handover"));
    assert!(refused(r#""handover""#, r#""owner""#).contains("unknown variant"));
    assert!(refused(r#""length":3"#, r#""length":3,"ephemeral":true"#).contains("not ephemeral"));
    assert!(refused(r#""images""#, r#""im ages""#).contains("store name"));
    assert!(refused(r#""kind""#, r#""more":1,"kind""#).contains("unknown field"));
    assert!(refusal::<Lent<u8>>(READABLE).contains("not Lent"));
    assert!(refusal::<LentMut<u8>>(READABLE).contains("not LentMut"));
}

proptest! {
    #[test]
    fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = postcard::from_bytes::<Handover<u8>>(&bytes);
        let _ = rmp_serde::from_slice::<Lent<u8>>(&bytes);
        let _ = serde_json::from_slice::<LentMut<u8>>(&bytes);
    }

    #[test]
    fn altered_bytes_are_refused_or_whole(at in 0usize..64, byte in any::<u8>()) {
        let mut bytes = postcard::to_allocvec(&wire(Kind::Lent)).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(wire) = postcard::from_bytes::<Wire<Reference>>(&bytes) {
            prop_assert_eq!(postcard::to_allocvec(&wire).unwrap(), bytes);
        }
    }
}

async fn store() -> Store {
    Store::builder("tickets")
        .connector(proxystore_local::LocalConnector::new().unwrap())
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_first_claim_is_the_only_one() {
    let store = store().await;
    let key = Key::parse("ticket.claim").unwrap();
    let ttl = Duration::from_secs(60);
    let (first, second) = (Id::random().unwrap(), Id::random().unwrap());
    assert!(store.claim(&key, first, ttl).await.unwrap());
    assert!(!store.claim(&key, second, ttl).await.unwrap());
    // Whoever has it may ask again.
    assert!(store.claim(&key, first, ttl).await.unwrap());
}

#[tokio::test]
async fn a_ticket_is_for_one_use_of_one_object() {
    let store = store().await;
    let manner = Manner { ttl: Duration::from_secs(60), tags: Tags::new(), populate: false };
    let (ticket, object) = (Key::parse("ticket").unwrap(), Key::parse("object").unwrap());
    Ticket::new(Kind::Lent, &object, manner.ttl, &manner).issue(&store, &ticket).await.unwrap();
    let me = Id::random().unwrap();
    let admitted = async |kind, key: &Key, object: &Key| {
        Ticket::admit(&store, kind, key, object, me).await.map_err(|error| error.kind()).map(drop)
    };
    assert_eq!(admitted(Kind::Lent, &ticket, &object).await, Ok(()));
    assert_eq!(admitted(Kind::LentMut, &ticket, &object).await, Err(ErrorKind::Denied));
    assert_eq!(admitted(Kind::Lent, &ticket, &ticket).await, Err(ErrorKind::Denied));
    // A key of anything else, or of nothing.
    let other = store.put(&7u8).await.unwrap();
    assert_eq!(admitted(Kind::Lent, &other, &object).await, Err(ErrorKind::Corrupt));
    assert_eq!(admitted(Kind::Lent, &object, &object).await, Err(ErrorKind::Expired));
    // Somebody has claimed it, and the ticket is gone.
    store.evict(&ticket).await.unwrap();
    store.claim(&claim_key(&ticket).unwrap(), Id::random().unwrap(), manner.ttl).await.unwrap();
    assert_eq!(admitted(Kind::Lent, &ticket, &object).await, Err(ErrorKind::Conflict));
}
