//! `#[object]` and `#[interface]`: typed async proxies for `proxystore-manager`, which exports both.

use proc_macro::TokenStream;
use quote::quote;

/// Generated code. Its variables are its own, whatever arguments are called.
macro_rules! tokens {
    ($($token:tt)*) => { ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($token)*) };
}

mod block;
mod dispatch;
mod method;
mod options;
mod proxy;
#[cfg(test)]
mod tests;
mod travel;

#[doc = include_str!("object.md")]
#[proc_macro_attribute]
pub fn object(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(block::object, quote!(::proxystore_manager), options, item)
}

#[doc = include_str!("interface.md")]
#[proc_macro_attribute]
pub fn interface(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(block::interface, quote!(::proxystore_manager), options, item)
}

/// [`macro@object`] for programs that depend on `proxystore`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn facade_object(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(block::object, quote!(::proxystore::manager), options, item)
}

/// [`macro@interface`] for programs that depend on `proxystore`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn facade_interface(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(block::interface, quote!(::proxystore::manager), options, item)
}

type Tokens = proc_macro2::TokenStream;

/// `home` is the path of the crate that the generated code uses.
fn expand(
    block: fn(Tokens, Tokens, Tokens) -> syn::Result<Tokens>,
    home: Tokens,
    options: TokenStream,
    item: TokenStream,
) -> TokenStream {
    block(home, options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
