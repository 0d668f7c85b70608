use super::*;

#[test]
fn differences_in_words() {
    let case =
        |a: &str, b: &str, words: &str| assert_eq!(first_difference(a, b).as_deref(), Some(words), "{a} {b}");
    let frame = "struct Frame{id:u32,name:str}";
    case(frame, "struct Frame{id:u64,name:str}", "field `Frame.id`: u32, stored as u64");
    case(frame, "struct Frame{id:u32,title:str}", "field `Frame.name`: stored as `Frame.title`");
    case(frame, "struct Frame{id:u32}", "field `Frame.name`: not in the stored type");
    case("struct Frame{id:u32}", frame, "field `Frame.name`: only in the stored type");
    case(
        frame,
        "struct Image{id:u32}",
        "type: struct Frame{id:u32,name:str}, stored as struct Image{id:u32}",
    );
    case("u8", "i8", "type: u8, stored as i8");
    case("seq<u8>", "bytes", "type: seq<u8>, stored as bytes");
    case("struct A{b:option<seq<u8>>}", "struct A{b:option<seq<i8>>}", "field `A.b[]`: u8, stored as i8");
    case("struct A{b:[u8;16]}", "struct A{b:[u8;32]}", "field `A.b`: [u8;16], stored as [u8;32]");
    case("struct P(f64,f64)", "struct P(f64,f32)", "field `P.1`: f64, stored as f32");
    case("struct A{b:struct B{c:u8}}", "struct A{b:struct B{c:u16}}", "field `B.c`: u8, stored as u16");
    case("enum E{A,B(u8)}", "enum E{A,C(u8)}", "field `E::B`: stored as `E::C`");
    case("enum E{A,B(u8)}", "enum E{A,B(u16)}", "field `E::B.0`: u8, stored as u16");
    case("enum E{A,B(u8)}", "enum E{A,B{x:u8}}", "field `E::B`: B(u8), stored as B{x:u8}");
    case("enum E{A}", "enum E{A,B}", "field `E::B`: only in the stored type");
    case(r#"struct A{"x:{":u8}"#, r#"struct A{"x:{":u16}"#, r#"field `A."x:{"`: u8, stored as u16"#);
    assert_eq!(first_difference(frame, frame), None);
    for broken in
        ["", "{", "struct A{", "struct A{b", "a>b", "\"", &"<".repeat(100_000), &"a(".repeat(100_000)]
    {
        assert_eq!(first_difference(frame, broken), None, "{broken:.9}");
        assert_eq!(first_difference(broken, frame), None);
    }
    assert!(first_difference(&full::<Log>(), &full::<Expr>()).is_some());
}
