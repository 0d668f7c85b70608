//! `#[object]` and `#[interface]`: typed async proxies. They are documented where they are re-exported, in
//! `proxystore-manager`.

use proc_macro::TokenStream;
use quote::quote;

mod emit;
mod model;

/// See `proxystore_manager::object`.
#[proc_macro_attribute]
pub fn object(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(emit::object, quote!(::proxystore_manager), options, item)
}

/// See `proxystore_manager::interface`.
#[proc_macro_attribute]
pub fn interface(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(emit::interface, quote!(::proxystore_manager), options, item)
}

/// [`macro@object`] for programs that depend on `proxystore`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn facade_object(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(emit::object, quote!(::proxystore::manager), options, item)
}

/// [`macro@interface`] for programs that depend on `proxystore`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn facade_interface(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(emit::interface, quote!(::proxystore::manager), options, item)
}

type Tokens = proc_macro2::TokenStream;

/// `home` is the path of the crate that the generated code uses.
fn expand(
    emit: fn(&Tokens, Tokens, Tokens) -> syn::Result<Tokens>,
    home: Tokens,
    options: TokenStream,
    item: TokenStream,
) -> TokenStream {
    emit(&home, options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
