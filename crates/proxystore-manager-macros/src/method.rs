//! A method, as proxies have it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Pat, PatType, PathArguments, ReceiverKind, Result, ReturnType,
    Safety, Signature, Type, TypeParamBound,
};

use crate::options::Marks;
use crate::travel::{Object, travels};

/// The three ways to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Shared,
    Exclusive,
    Create,
}

/// An argument that travels.
pub(crate) struct Arg {
    pub(crate) name: Ident,
    /// What travels, or what is lent of it.
    pub(crate) ty: Type,
    /// Whether the method takes `&ty`.
    pub(crate) lent: bool,
}

/// What a method returns.
pub(crate) struct Returns {
    /// The value, or one item of the stream.
    pub(crate) value: Type,
    /// If it returns a `Result`.
    pub(crate) error: Option<Type>,
    pub(crate) is_stream: bool,
}

/// A method that proxies have.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    /// Its name on the wire, and where that stands.
    pub(crate) name: (String, Span),
    /// What the proxy's method says of itself, too.
    pub(crate) docs: Vec<Attribute>,
    /// When the method is there at all.
    pub(crate) cfg: Vec<Attribute>,
    pub(crate) access: Access,
    pub(crate) idempotent: bool,
    /// If a mark says so: whether it ends when nobody waits.
    pub(crate) cancel: Option<bool>,
    pub(crate) is_unpoisoned: bool,
    /// Milliseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) is_async: bool,
    pub(crate) args: Vec<Arg>,
    /// Where among the parameters `&Context` stands.
    pub(crate) context: Option<usize>,
    pub(crate) returns: Returns,
}

impl Method {
    /// Reads a method and takes our attributes off it. `None` if proxies do not have it.
    pub(crate) fn read(
        attributes: &mut Vec<Attribute>,
        signature: &Signature,
        object: Object<'_>,
    ) -> Result<Option<Self>> {
        let marks = Marks::take(attributes)?;
        let Some(access) = access(signature, &marks)? else {
            return match marks.of_calls() {
                None => Ok(None),
                Some(span) => Err(Error::new(
                    span,
                    "proxies do not have this function: a mark of a method says nothing here",
                )),
            };
        };
        if let Safety::Unsafe(token) = &signature.safety {
            return Err(Error::new(
                token.span,
                "a proxy cannot promise what an `unsafe fn` asks of its caller",
            ));
        }
        if let Some(parameter) = signature.generics.params.first() {
            let why = "a method of an object has no generic parameters: a proxy calls one function";
            return Err(Error::new_spanned(parameter, why));
        }
        let (args, context) = args(signature, object)?;
        let name = match &marks.rename {
            Some(name) => (name.value(), name.span()),
            None => (signature.ident.unraw().to_string(), signature.ident.span()),
        };
        if name.0.starts_with("__") {
            return Err(Error::new(
                name.1,
                "names that begin with `__` are taken: `#[rename = \"…\"]` the method",
            ));
        }
        let having = |names: &[&str]| {
            let wanted = |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
            attributes.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        Ok(Some(Self {
            name,
            docs: having(&["doc", "deprecated"]),
            cfg: having(&["cfg"]),
            access,
            idempotent: marks.idempotent.is_some(),
            cancel: marks.cancel.map(|_| true).or(marks.no_cancel.map(|_| false)),
            is_unpoisoned: marks.unpoisoned.is_some(),
            timeout: marks.timeout.map(|(millis, _)| millis),
            is_async: signature.asyncness.is_some(),
            args,
            context,
            returns: returns(signature, access, object)?,
            ident: signature.ident.clone(),
        }))
    }
}

/// `None` for functions that are none of a proxy's business.
fn access(signature: &Signature, marks: &Marks) -> Result<Option<Access>> {
    let access = match (signature.receiver(), marks.ctor) {
        (Some(receiver), Some(_)) => {
            return Err(Error::new_spanned(receiver, "a constructor makes the object: it takes no `self`"));
        }
        _ if marks.hidden.is_some() => return Ok(None),
        (None, None) => return Ok(None),
        (None, Some(_)) => Access::Create,
        (Some(receiver), None) => match &receiver.kind {
            ReceiverKind::Reference(_, _, None) => Access::Shared,
            ReceiverKind::Reference(_, _, Some(_)) => Access::Exclusive,
            _ => {
                let why = "objects are shared: take `&self` or `&mut self`, or mark the method `#[hidden]`";
                return Err(Error::new_spanned(receiver, why));
            }
        },
    };
    let timeout = marks.timeout.map(|(_, span)| span);
    let wrong = match access {
        Access::Shared => [
            (marks.cancel, "a `&self` method ends anyway when nobody waits: `#[cancel]` is for `&mut self`"),
            (marks.unpoisoned, "a `&self` method poisons nothing: `#[poison]` is for `&mut self`"),
        ],
        Access::Exclusive => [
            (marks.no_cancel, "a `&mut self` method runs to its end anyway: `#[no_cancel]` is for `&self`"),
            (None, ""),
        ],
        Access::Create => {
            let mark = marks.idempotent.or(marks.cancel).or(marks.no_cancel).or(marks.unpoisoned).or(timeout);
            [(mark, "this mark is for methods, not for constructors"), (None, "")]
        }
    };
    match wrong.into_iter().find_map(|(mark, why)| Some((mark?, why))) {
        Some((span, why)) => Err(Error::new(span, why)),
        None => Ok(Some(access)),
    }
}

/// The arguments that travel, and where the context stands.
fn args(signature: &Signature, object: Object<'_>) -> Result<(Vec<Arg>, Option<usize>)> {
    let mut args = Vec::new();
    let mut context = None;
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (at, input) in typed.enumerate() {
        if !is_context(&input.ty) {
            args.push(arg(input, object)?);
        } else if context.replace(at).is_some() {
            return Err(Error::new_spanned(
                &input.ty,
                "the context is one: a second parameter says nothing new",
            ));
        }
    }
    match args.get(12) {
        Some(arg) => {
            Err(Error::new(arg.name.span(), "a method has at most 12 arguments: make them a struct"))
        }
        None => Ok((args, context)),
    }
}

fn arg(input: &PatType, object: Object<'_>) -> Result<Arg> {
    let Pat::Ident(pattern) = &*input.pat else {
        return Err(Error::new_spanned(
            &input.pat,
            "an argument of a proxy has a name: take it apart inside",
        ));
    };
    let (ty, lent) = match &*input.ty {
        Type::Reference(reference) if let Some(mutability) = &reference.mutability => {
            let why =
                "arguments travel as copies, so a change would be lost: take a value and return the new one";
            return Err(Error::new_spanned(mutability, why));
        }
        Type::Reference(reference) if reference.lifetime.is_none() => (&*reference.elem, true),
        ty => (ty, false),
    };
    let why = "arguments travel between processes: take an owned type with a name, or one reference to such";
    Ok(Arg { name: pattern.ident.clone(), ty: travels(ty, object, why)?, lent })
}

/// `&Context`.
fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Context" && last.arguments.is_empty())
}

fn returns(signature: &Signature, access: Access, object: Object<'_>) -> Result<Returns> {
    let made = "a constructor returns `Self` or `Result<Self, E>`";
    let ty = match &signature.output {
        ReturnType::Default if access == Access::Create => {
            return Err(Error::new(signature.ident.span(), made));
        }
        ReturnType::Default => {
            return Ok(Returns { value: syn::parse_quote!(()), error: None, is_stream: false });
        }
        ReturnType::Type(_, ty) => &**ty,
    };
    let why =
        "results travel between processes: return an owned type with a name, or `impl Stream<Item = T>`";
    if access != Access::Create
        && let Some(item) = item(ty)?
    {
        return Ok(Returns { value: travels(item, object, why)?, error: None, is_stream: true });
    }
    let (value, error) = match result(ty)? {
        Some((value, error)) => (value, Some(travels(error, object, why)?)),
        None => (ty, None),
    };
    let value = if access == Access::Create {
        if !object.is(value) {
            return Err(Error::new_spanned(value, made));
        }
        value.clone()
    } else {
        travels(value, object, why)?
    };
    Ok(Returns { value, error, is_stream: false })
}

/// `T` of `impl Stream<Item = T>`.
fn item(ty: &Type) -> Result<Option<&Type>> {
    let Type::ImplTrait(ty) = ty else { return Ok(None) };
    let streams = ty.bounds.iter().filter_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().filter(|last| last.ident == "Stream"),
        _ => None,
    });
    let Some(stream) = streams.last() else { return Ok(None) };
    let is_free = ty.bounds.iter().any(|bound| match bound {
        TypeParamBound::PreciseCapture(_) => true,
        TypeParamBound::Lifetime(lifetime) => lifetime.ident == "static",
        _ => false,
    });
    if !is_free {
        let why = "a stream outlives its call, so it borrows nothing: add `+ use<>`, in a trait `+ 'static`";
        return Err(Error::new_spanned(ty, why));
    }
    let item = match &stream.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
                _ => None,
            })
        }
        _ => None,
    };
    item.map(Some).ok_or_else(|| Error::new_spanned(stream, "write what it consists of: `Stream<Item = T>`"))
}

/// The two types of a `Result`.
fn result(ty: &Type) -> Result<Option<(&Type, &Type)>> {
    let Type::Path(path) = ty else { return Ok(None) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Result") else { return Ok(None) };
    let types: Vec<_> = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().collect(),
        _ => Vec::new(),
    };
    match types[..] {
        [GenericArgument::Type(value), GenericArgument::Type(error)] => Ok(Some((value, error))),
        _ => Err(Error::new_spanned(ty, "write both types, `Result<T, E>`: the error travels, too")),
    }
}

impl Arg {
    /// As it travels.
    pub(crate) fn owned(&self) -> TokenStream {
        let ty = &self.ty;
        let owned = quote_spanned!(here(ty)=> <#ty as ::std::borrow::ToOwned>::Owned);
        if self.lent { owned } else { ty.to_token_stream() }
    }

    /// As the proxy's method takes it.
    pub(crate) fn parameter(&self) -> TokenStream {
        let (name, ty) = (&self.name, &self.ty);
        let and = self.lent.then(|| tokens!(&));
        tokens!(#name: #and #ty)
    }

    /// From what the proxy's method takes to what travels.
    pub(crate) fn own(&self) -> TokenStream {
        let (name, ty) = (&self.name, &self.ty);
        let owned = quote_spanned!(here(ty)=> <#ty as ::std::borrow::ToOwned>::to_owned(#name));
        if self.lent { owned } else { tokens!(#name) }
    }

    /// From what travels to what the object's method takes.
    pub(crate) fn lend(&self) -> TokenStream {
        let name = &self.name;
        if self.lent { tokens!(&#name) } else { tokens!(#name) }
    }
}

/// Our names, at the place of something of the source: messages point there.
pub(crate) fn here(place: &impl Spanned) -> Span {
    Span::mixed_site().located_at(place.span())
}

impl Returns {
    /// What the method returns.
    pub(crate) fn ty(&self) -> TokenStream {
        let Self { value, error, .. } = self;
        match error {
            Some(error) => tokens!(::core::result::Result<#value, #error>),
            None => value.to_token_stream(),
        }
    }
}
