//! What stands in an annotated block: its options and its methods.

use proc_macro2::{Ident, Span};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Lit, Meta, Pat, PathArguments, ReceiverKind, Result, ReturnType, Signature,
    Token, Type,
};

/// What stands in the parentheses of the attribute.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) typeid: Option<String>,
    pub(crate) value: bool,
    pub(crate) display: bool,
}

impl Options {
    pub(crate) fn parse(tokens: proc_macro2::TokenStream) -> Result<Self> {
        let mut options = Self::default();
        let metas = syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)?;
        for meta in metas {
            match &meta {
                Meta::NameValue(pair) if pair.path.is_ident("typeid") => options.typeid = Some(text(&pair.value)?),
                Meta::Path(path) if path.is_ident("value") => options.value = true,
                Meta::Path(path) if path.is_ident("display") => options.display = true,
                _ => return Err(Error::new(meta.span(), "unknown option; there are `typeid = \"…\"`, `value` and `display`")),
            }
        }
        if options.typeid.as_ref().is_some_and(|typeid| typeid.is_empty() || typeid.len() > 128) {
            return Err(Error::new(Span::call_site(), "a typeid has 1 to 128 bytes"));
        }
        Ok(options)
    }
}

/// The three ways to be called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Shared,
    Exclusive,
    Create,
}

/// What a method returns.
pub(crate) enum Returns {
    Value(Type),
    Result(Type, Type),
}

/// A method that proxies have.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) access: Access,
    pub(crate) idempotent: bool,
    pub(crate) cancel: bool,
    pub(crate) is_async: bool,
    /// Names and types of what travels.
    pub(crate) args: Vec<(Ident, Type)>,
    /// Where among the parameters `&Context` stands.
    pub(crate) context: Option<usize>,
    pub(crate) returns: Returns,
}

impl Method {
    /// Reads a method and takes our attributes off it. `None` if proxies do not have it.
    pub(crate) fn read(attributes: &mut Vec<Attribute>, signature: &Signature) -> Result<Option<Self>> {
        let mut method = Marks::default();
        let mut failure = None;
        attributes.retain(|attribute| match method.mark(attribute) {
            Ok(ours) => !ours,
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let access = match access(signature, method.ctor)? {
            Some(access) if !method.hidden => access,
            _ => return Ok(None),
        };
        if let Some(parameter) = signature.generics.params.first() {
            return Err(Error::new(parameter.span(), "a method of an object has no generic parameters: a proxy calls one function"));
        }
        let (args, context) = args(signature)?;
        let name = method.rename.unwrap_or_else(|| signature.ident.to_string());
        if name.starts_with("__") {
            return Err(Error::new(signature.ident.span(), "names that begin with `__` are taken"));
        }
        Ok(Some(Self {
            name,
            docs: attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect(),
            access,
            idempotent: method.idempotent,
            cancel: method.cancel,
            is_async: signature.asyncness.is_some(),
            args,
            context,
            returns: returns(signature, access)?,
            ident: signature.ident.clone(),
        }))
    }
}

/// Our attributes on one method.
#[derive(Default)]
struct Marks {
    hidden: bool,
    ctor: bool,
    idempotent: bool,
    cancel: bool,
    rename: Option<String>,
}

impl Marks {
    /// Whether the attribute is one of ours.
    fn mark(&mut self, attribute: &Attribute) -> Result<bool> {
        let flag = match attribute.path().get_ident().map(Ident::to_string).as_deref() {
            Some("hidden") => &mut self.hidden,
            Some("ctor") => &mut self.ctor,
            Some("idempotent") => &mut self.idempotent,
            Some("cancel") => &mut self.cancel,
            Some("rename") => {
                self.rename = Some(text(&attribute.meta.require_name_value()?.value)?);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        attribute.meta.require_path_only()?;
        *flag = true;
        Ok(true)
    }
}

fn text(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(literal) if let Lit::Str(text) = &literal.lit => Ok(text.value()),
        _ => Err(Error::new(value.span(), "a string stands here")),
    }
}

/// `None` for functions that are none of a proxy's business.
fn access(signature: &Signature, ctor: bool) -> Result<Option<Access>> {
    let receiver = signature.inputs.iter().find_map(|input| match input {
        FnArg::Receiver(receiver) => Some(receiver),
        FnArg::Typed(_) => None,
    });
    let Some(receiver) = receiver else { return Ok(ctor.then_some(Access::Create)) };
    if ctor {
        return Err(Error::new(receiver.span(), "a constructor makes the object: it takes no `self`"));
    }
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => Ok(Some(Access::Shared)),
        ReceiverKind::Reference(_, None, Some(_)) => Ok(Some(Access::Exclusive)),
        _ => Err(Error::new(receiver.span(), "objects are shared: take `&self` or `&mut self`")),
    }
}

type Args = (Vec<(Ident, Type)>, Option<usize>);

fn args(signature: &Signature) -> Result<Args> {
    let mut args = Vec::new();
    let mut context = None;
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (at, input) in typed.enumerate() {
        if is_context(&input.ty) {
            context = Some(at);
            continue;
        }
        if let Type::Reference(_) | Type::ImplTrait(_) = &*input.ty {
            let why = "arguments travel between processes: take an owned type, such as `String` for `&str`";
            return Err(Error::new(input.ty.span(), why));
        }
        let Pat::Ident(pattern) = &*input.pat else {
            return Err(Error::new(input.pat.span(), "an argument of a proxy has a name: take it apart inside"));
        };
        args.push((pattern.ident.clone(), (*input.ty).clone()));
    }
    if args.len() > 12 {
        return Err(Error::new(signature.ident.span(), "a method has at most 12 arguments: make them a struct"));
    }
    Ok((args, context))
}

/// `&Context`.
fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if matches!(&*reference.elem, Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == "Context")))
}

fn returns(signature: &Signature, access: Access) -> Result<Returns> {
    let ty = match &signature.output {
        ReturnType::Default if access == Access::Create => {
            return Err(Error::new(signature.ident.span(), "a constructor returns `Self` or `Result<Self, E>`"));
        }
        ReturnType::Default => return Ok(Returns::Value(syn::parse_quote!(()))),
        ReturnType::Type(_, ty) => &**ty,
    };
    match ty {
        Type::Reference(_) => Err(Error::new(ty.span(), "results travel between processes: return an owned type")),
        Type::ImplTrait(_) => Err(Error::new(ty.span(), "results travel between processes: return a type with a name")),
        Type::Path(path) if let Some(last) = path.path.segments.last().filter(|last| last.ident == "Result") => {
            let types: Vec<_> = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().collect(),
                _ => Vec::new(),
            };
            match types[..] {
                [GenericArgument::Type(value), GenericArgument::Type(error)] => {
                    Ok(Returns::Result(value.clone(), error.clone()))
                }
                _ => Err(Error::new(ty.span(), "write both types, `Result<T, E>`: the error travels, too")),
            }
        }
        _ => Ok(Returns::Value(ty.clone())),
    }
}
