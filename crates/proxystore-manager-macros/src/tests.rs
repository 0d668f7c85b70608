//! What the generated code consists of, where only its text tells.

use quote::{ToTokens, quote};
use syn::{Attribute, File, ImplItem, Item, ItemImpl, LitStr, Visibility};

type Tokens = proc_macro2::TokenStream;

fn object(options: Tokens, item: Tokens) -> File {
    syn::parse2(crate::block::object(quote!(::home), options, item).unwrap()).unwrap()
}

/// The blocks of methods, also those in constants.
fn inherent(items: &[Item]) -> Vec<&ItemImpl> {
    let blocks = items.iter().flat_map(|item| match item {
        Item::Impl(block) if block.trait_.is_none() => vec![block],
        Item::Const(constant) => match &*constant.expr {
            syn::Expr::Block(block) => {
                let inside = block.block.stmts.iter().filter_map(|statement| match statement {
                    syn::Stmt::Item(Item::Impl(block)) if block.trait_.is_none() => Some(block),
                    _ => None,
                });
                inside.collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    });
    blocks.collect()
}

/// The documentation of each public function of the proxy.
fn documentation(file: &File) -> Vec<(String, String)> {
    let [_, proxy] = inherent(&file.items)[..] else { panic!("the block and that of the proxy") };
    let functions = proxy.items.iter().filter_map(|item| match item {
        ImplItem::Fn(function) if matches!(function.vis, Visibility::Public(_)) => Some(function),
        _ => None,
    });
    functions.map(|function| (function.sig.ident.to_string(), text(&function.attrs))).collect()
}

fn text(attributes: &[Attribute]) -> String {
    let docs = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let lines = docs.filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) => syn::parse2::<LitStr>(pair.value.to_token_stream()).ok(),
        _ => None,
    });
    lines.map(|line| line.value()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_function_of_a_proxy_is_documented_and_in_the_words_of_the_source_if_there_are_any() {
    let file = object(
        quote!(),
        quote! {
            impl Lamp {
                #[ctor]
                fn new() -> Self {}
                /// Makes a light one.
                #[ctor]
                fn light() -> Self {}
                /// Whether it is on.
                ///
                /// Or not.
                fn is_on(&self) -> bool {}
                fn switch(&mut self) {}
            }
        },
    );
    let named = |function| {
        format!(
            "The object of this name; if there is none, it is made as by [`{function}`](Self::{function})."
        )
    };
    let expected = [
        ("create", "Makes an object with `new`.".to_owned()),
        ("get_or_create", named("create")),
        ("light", " Makes a light one.".to_owned()),
        ("get_or_light", named("light")),
        ("is_on", " Whether it is on.\n\n Or not.".to_owned()),
        ("switch", "Calls `switch` of the object.".to_owned()),
    ];
    assert_eq!(documentation(&file), expected.map(|(name, text)| (name.to_owned(), text)));
}

#[test]
fn the_block_stays_as_it_is_without_our_marks() {
    let block = quote! {
        impl Lamp {
            const WATTS: u8 = 5;
            #[inline]
            fn new() -> Self { Lamp }
            pub(crate) async fn switch(&mut self, #[allow(unused)] on: bool) {}
            fn local(self) {}
        }
    };
    let marked = quote! {
        impl Lamp {
            const WATTS: u8 = 5;
            #[ctor]
            #[inline]
            fn new() -> Self { Lamp }
            #[rename = "turn"]
            #[idempotent]
            #[cancel]
            pub(crate) async fn switch(&mut self, #[allow(unused)] on: bool) {}
            #[hidden]
            fn local(self) {}
        }
    };
    let file = object(quote!(), marked);
    assert_eq!(file.items[0].to_token_stream().to_string(), block.to_string());
}

#[test]
fn every_path_begins_at_the_crate_that_was_named() {
    let block = quote! {
        impl Lamp {
            fn switch(&mut self, on: &str) -> Result<u8, u8> {}
        }
    };
    let usual = object(quote!(value, display), block.clone()).to_token_stream().to_string();
    let named =
        object(quote!(value, display, crate = "crate::elsewhere"), block).to_token_stream().to_string();
    assert!(usual.contains(":: home ::") && !named.contains("home ::"), "{named}");
    assert_eq!(usual.replace(":: home ::", "crate :: elsewhere ::"), named);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let block = quote! {
        impl Lamp {
            fn one(self) {}
            fn two(&self, _: u8) {}
            fn three(&self) -> &str {}
        }
    };
    let generated = crate::block::object(quote!(::home), quote!(), block).unwrap().to_string();
    assert_eq!(generated.matches("compile_error").count(), 3, "{generated}");
}
