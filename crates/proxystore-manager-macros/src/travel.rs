//! Types that travel: they borrow nothing, have a name, and mean the same outside of the block.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Error, Result, Type};

/// What `Self` is.
#[derive(Clone, Copy)]
pub(crate) enum Object<'a> {
    Known(&'a Ident),
    /// In a trait.
    Any,
}

impl Object<'_> {
    /// Whether a type is the object's.
    pub(crate) fn is(self, ty: &Type) -> bool {
        let Type::Path(path) = ty else { return false };
        let Some(ident) = path.path.get_ident() else { return false };
        ident == "Self" || matches!(self, Self::Known(name) if ident == name)
    }
}

/// The type with a name instead of `Self`, which means the proxy where the type goes. `why` is the message about what
/// must not be in it.
pub(crate) fn travels(ty: &Type, object: Object<'_>, why: &str) -> Result<Type> {
    if let Type::Infer(_) = ty {
        return Err(Error::new_spanned(ty, why));
    }
    syn::parse2(named(ty.to_token_stream(), object, why)?)
}

fn named(tokens: TokenStream, object: Object<'_>, why: &str) -> Result<TokenStream> {
    let mut result = TokenStream::new();
    let mut lifetime = false;
    for token in tokens {
        let after = std::mem::take(&mut lifetime);
        match token {
            TokenTree::Ident(ident) if after && ident != "static" => {
                return Err(Error::new(ident.span(), why));
            }
            TokenTree::Ident(ident) if ident == "impl" => return Err(Error::new(ident.span(), why)),
            TokenTree::Ident(ident) if ident == "Self" => match object {
                Object::Known(name) => result.extend(with_place(name, &ident)),
                Object::Any => {
                    let why =
                        "an interface does not know its objects: write the name of a type instead of `Self`";
                    return Err(Error::new(ident.span(), why));
                }
            },
            TokenTree::Punct(punct) if punct.as_char() == '&' => return Err(Error::new(punct.span(), why)),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), named(group.stream(), object, why)?);
                inner.set_span(group.span());
                result.extend([TokenTree::Group(inner)]);
            }
            token => {
                lifetime = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
                result.extend([token]);
            }
        }
    }
    Ok(result)
}

/// The name, where `Self` stood.
fn with_place(name: &Ident, place: &Ident) -> TokenStream {
    let mut name = name.clone();
    name.set_span(name.span().located_at(place.span()));
    quote!(#name)
}
