//! Types that cannot be followed: they end in time, on a small stack, and say why.

use super::*;

/// There is no value of it.
#[derive(Serialize, Deserialize)]
pub(super) enum Never {}

/// Nor of this.
#[derive(Deserialize)]
struct Endless {
    _inner: Box<Endless>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Password;

impl TryFrom<String> for Password {
    type Error = &'static str;
    fn try_from(_: String) -> Result<Self, &'static str> {
        Err("not the password")
    }
}

#[derive(Deserialize)]
#[expect(dead_code)]
struct Wide {
    numbers: (u64, u64, u64, u64, u64, u64, u64, u64),
    texts: (String, String, String, String),
}

/// Refuses after all parts were accepted, so that all combinations are tried.
#[derive(Deserialize)]
#[serde(try_from = "Wide")]
struct Picky;

impl TryFrom<Wide> for Picky {
    type Error = &'static str;
    fn try_from(_: Wide) -> Result<Self, &'static str> {
        Err("never good enough")
    }
}

macro_rules! deserialize {
    ($type:ident, |$deserializer:ident| $body:expr) => {
        struct $type;
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>($deserializer: D) -> Result<Self, D::Error> {
                $body.map(|_| $type)
            }
        }
    };
}

deserialize!(Panics, |deserializer| u8::deserialize(deserializer).inspect(|n| assert!(*n > 9, "odd input")));
deserialize!(Huge, |deserializer| deserializer.deserialize_tuple(1_000_000, Drain::<u8>(0, PhantomData)));
// They contain themselves, and say no to a value that does not.
deserialize!(Deep, |deserializer| deserializer.deserialize_seq(Drain::<Deep>(1, PhantomData)));
deserialize!(Bottomless, |deserializer| deserializer
    .deserialize_tuple(1, Drain::<Bottomless>(1, PhantomData)));

/// Reads all elements; at least so many.
struct Drain<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Drain<T> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elements")
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut count = 0;
        while seq.next_element::<T>()?.is_some() {
            count += 1;
        }
        if count < self.0 { Err(de::Error::invalid_length(count, &self)) } else { Ok(()) }
    }
}

/// The first byte tells the type of the second.
struct Branching;

impl<'de> Deserialize<'de> for Branching {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Branching;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tag and a value")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Branching, A::Error> {
                let end = || de::Error::custom("too short");
                match seq.next_element::<NonZeroU8>()?.ok_or_else(end)?.get() {
                    1 => seq.next_element::<String>()?.map(|_| ()).ok_or_else(end)?,
                    _ => seq.next_element::<u8>()?.map(|_| ()).ok_or_else(end)?,
                }
                Ok(Branching)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap();
}

#[track_caller]
fn partial<T: DeserializeOwned>(place: &str, why: &str) {
    let schema = Schema::learn::<T>(false);
    match schema.outcome() {
        Outcome::Partial { path, reason } => {
            assert_eq!(path, place);
            assert!(reason.contains(why), "{reason}");
        }
        other => panic!("{}: {other:?}", type_name::<T>()),
    }
    assert_eq!(schema.needs_self_describing(), None);
    assert_eq!(schema.fingerprint(), Schema::learn::<T>(false).fingerprint());
}

#[test]
fn what_cannot_be_followed_says_so() {
    partial::<Never>("Never", "no variant that ends");
    partial::<Job<Option<Never>>>("Job.meta", "no variant that ends");
    partial::<Job<Password>>("Job.meta", "refuses the sample values (not the password)");
    partial::<Job<Panics>>("Job", "panics");
    partial::<Job<Branching>>("Job.meta[]", "depends on its content");
    partial::<Job<Picky>>("Job.meta", "never good enough");
    partial::<Job<Huge>>("Job.meta.19996", "more than 20000 steps");
    assert_eq!(Schema::learn::<Job<Huge>>(false).text().matches("u8").count(), 19_996);
}

#[test]
fn what_was_seen_tells_parts_apart() {
    fn text<T: DeserializeOwned>() -> String {
        Schema::learn::<T>(false).text().to_owned()
    }
    let job = "struct Job{id:u32,meta:enum Never{}}";
    assert_eq!(text::<Job<Never>>(), format!("only {job}"));
    assert_eq!(text::<Vec<Job<Never>>>(), format!("only seq<{job}>"));
    assert_eq!(text::<Option<Job<Never>>>(), format!("only option<{job}>"));
    assert_eq!(text::<(u8, Password)>(), "only (u8,str)");
    assert_eq!(text::<(u16, Password)>(), "only (u16,str)");
    // In any order, on any thread.
    let elsewhere = thread::spawn(|| (text::<Job<Picky>>(), text::<Job<Panics>>(), text::<Job<Branching>>()));
    let here = (text::<Job<Branching>>(), text::<Job<Panics>>(), text::<Job<Picky>>());
    assert_eq!(elsewhere.join().unwrap(), (here.2, here.1, here.0));
    let difference = first_difference(&text::<Job<Never>>(), &text::<Job<Password>>());
    assert_eq!(difference.unwrap(), "field `Job.meta`: enum Never{}, stored as str");
}

#[test]
fn nothing_overflows_a_small_stack() {
    on_a_small_stack(|| {
        partial::<Endless>("Endless._inner", "deeper than 64 levels");
        partial::<Bottomless>("Bottomless.0.0.0.0.0.0.0", "deeper than 64 levels");
        partial::<Deep>("Deep[][][][][][][]", "deeper than 64 levels");
    });
}

macro_rules! nested {
    ($type:ty;) => { $type };
    ($type:ty; $head:tt $($tail:tt)*) => { nested!(Option<Box<Job<$type>>>; $($tail)*) };
}

#[test]
fn depth_that_is_real_is_followed_to_its_limit() {
    on_a_small_stack(|| {
        let text = full::<
            nested!(u8; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30),
        >();
        assert_eq!(text.matches("struct Job").count(), 30);
        type TooDeep = nested!(u8; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33);
        assert!(!Schema::learn::<TooDeep>(false).is_full());
    });
}

macro_rules! chain {
    ($($name:ident)*) => {
        /// Many variants contain the type itself before one does not.
        #[derive(Deserialize)]
        #[expect(dead_code)]
        enum Chain {
            $($name(Box<Chain>),)*
            End,
        }
    };
}
chain!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9
    D0 D1 D2 D3 D4 D5 D6 D7 D8 D9 E0 E1 E2 E3 E4 E5 E6 E7 E8 E9 F0 F1 F2 F3 F4 F5 F6 F7 F8 F9
    G0 G1 G2 G3 G4 G5 G6 G7 G8 G9 H0 H1 H2 H3 H4 H5 H6 H7 H8 H9 I0 I1 I2 I3 I4 I5 I6 I7 I8 I9);

#[test]
fn the_way_out_of_an_enum_is_found() {
    on_a_small_stack(|| {
        let text = full::<Chain>();
        assert_eq!(text.matches("(Chain^0)").count(), 90);
        assert!(text.ends_with(",End}"));
    });
}
