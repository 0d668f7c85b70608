//! The annotated blocks: what they may be, and what becomes of them.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, ImplItem, Item, ItemImpl, Result, ReturnType, Signature, TraitItem, TraitItemFn, Type,
};

use crate::method::{Access, Method};
use crate::options::Options;
use crate::proxy::Proxy;
use crate::travel::Object;

/// `#[object]` on an inherent `impl`.
pub(crate) fn object(home: TokenStream, options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut block = match syn::parse2(item)? {
        Item::Impl(block) => block,
        other => return Err(Error::new_spanned(other, "`#[object]` stands on the `impl` of a type")),
    };
    let name = object_name(&block)?;
    let functions = block.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(function) => Some((&mut function.attrs, &function.sig)),
        _ => None,
    });
    let methods = match methods(functions, Object::Known(&name)) {
        Ok(methods) => methods,
        Err(error) => return Ok(beside(&block, error)),
    };
    let proxy = Proxy {
        home: options.home.as_ref().map_or(home, |path| quote!(#path)),
        ident: format_ident!("{name}Proxy"),
        vis: syn::parse_quote!(pub),
        object: tokens!(#name),
        bounds: None,
        callee: tokens!(<#name>),
        is_known: true,
        name,
        options,
        methods,
    };
    let generated = proxy.emit();
    Ok(quote!(#block #generated))
}

/// The name of the type, if its block is as it must be.
fn object_name(block: &ItemImpl) -> Result<syn::Ident> {
    if let Some((path, _)) = &block.trait_ {
        let why = "`#[object]` stands on an `impl` without a trait; for a trait with `#[interface]`, write \
                   `impl Object for …` with `type Proxy = …Proxy`";
        return Err(Error::new_spanned(path, why));
    }
    if !block.generics.params.is_empty() {
        let why = "an object has no generic parameters: a typeid names one type";
        return Err(Error::new_spanned(&block.generics, why));
    }
    match &*block.self_ty {
        Type::Path(path) if let Some(name) = path.path.get_ident() => Ok(name.clone()),
        ty => Err(Error::new_spanned(ty, "`#[object]` stands on the `impl` of a type with a plain name")),
    }
}

/// `#[interface]` on a trait.
pub(crate) fn interface(home: TokenStream, options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut item = match syn::parse2(item)? {
        Item::Trait(item) => item,
        other => return Err(Error::new_spanned(other, "`#[interface]` stands on a trait")),
    };
    if !item.generics.params.is_empty() {
        let why = "an interface has no generic parameters: a typeid names one type";
        return Err(Error::new_spanned(&item.generics, why));
    }
    let misplaced = item.items.iter().filter_map(misplaced).reduce(joined);
    let functions = item.items.iter_mut().filter_map(|item| match item {
        TraitItem::Fn(function) => Some((&mut function.attrs, &function.sig)),
        _ => None,
    });
    let methods = match (methods(functions, Object::Any), misplaced) {
        (Ok(methods), None) => methods,
        (Err(error), None) | (Ok(_), Some(error)) => return Ok(beside(&item, error)),
        (Err(error), Some(misplaced)) => return Ok(beside(&item, joined(misplaced, error))),
    };
    for item in &mut item.items {
        if let TraitItem::Fn(function) = item {
            send(function);
        }
    }
    let name = item.ident.clone();
    let object = tokens!(__Object);
    let proxy = Proxy {
        home: options.home.as_ref().map_or(home, |path| quote!(#path)),
        ident: format_ident!("{name}Proxy"),
        vis: item.vis.clone(),
        bounds: Some(tokens!(#name + ::core::marker::Send + ::core::marker::Sync + 'static)),
        callee: tokens!(<#object as #name>),
        object,
        is_known: false,
        name,
        options,
        methods,
    };
    let generated = proxy.emit();
    Ok(quote!(#item #generated))
}

/// What does not stand in an interface.
fn misplaced(item: &TraitItem) -> Option<Error> {
    match item {
        TraitItem::Fn(TraitItemFn { sig, default: Some(_), .. }) => {
            let why = "an interface says what can be called: the body stands in the object's `impl`";
            Some(Error::new(sig.ident.span(), why))
        }
        TraitItem::Fn(_) => None,
        other => {
            Some(Error::new_spanned(other, "an interface has functions only: proxies can do nothing else"))
        }
    }
}

/// The methods that proxies have, or everything that is wrong with them. Our attributes are gone afterwards.
fn methods<'a>(
    functions: impl Iterator<Item = (&'a mut Vec<Attribute>, &'a Signature)>,
    object: Object<'_>,
) -> Result<Vec<Method>> {
    let (mut methods, mut errors) = (Vec::new(), Vec::new());
    for (attributes, signature) in functions {
        match Method::read(attributes, signature, object) {
            Ok(method) => methods.extend(method),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(twice(&methods));
    errors.into_iter().reduce(joined).map_or(Ok(methods), Err)
}

/// Names that two methods have. Those that are there under conditions may exclude each other.
fn twice(methods: &[Method]) -> Vec<Error> {
    let (mut names, mut functions, mut errors) = (HashSet::new(), HashSet::new(), Vec::new());
    for method in methods.iter().filter(|method| method.cfg.is_empty()) {
        let (name, span) = &method.name;
        if !names.insert(name) {
            errors.push(Error::new(
                *span,
                format!("another method has the name `{name}`: `#[rename = \"…\"]` one of them"),
            ));
        }
        for function in method.functions().into_iter().filter(|function| !functions.insert(function.clone()))
        {
            let why = format!(
                "the proxy has a function `{function}` already: `create` and `get_or_…` are for constructors"
            );
            errors.push(Error::new(method.ident.span(), why));
        }
    }
    errors
}

fn joined(mut first: Error, second: Error) -> Error {
    first.combine(second);
    first
}

/// The block and the errors: so nothing else is missing but the proxy.
fn beside(block: &impl quote::ToTokens, error: Error) -> TokenStream {
    let errors = error.into_compile_error();
    quote!(#block #errors)
}

/// `async fn` in a trait says nothing of `Send`; what stands behind it does.
fn send(function: &mut TraitItemFn) {
    if function.sig.asyncness.take().is_none() {
        return;
    }
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    function.sig.output = syn::parse_quote!(
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    );
}

impl Method {
    /// What the proxy calls its functions for this method.
    fn functions(&self) -> Vec<String> {
        match self.access {
            Access::Create => self.constructors().into_iter().map(|name| name.to_string()).collect(),
            _ => vec![self.ident.to_string()],
        }
    }
}
