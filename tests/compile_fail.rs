//! What must not happen does not compile, and the compiler says why.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}
