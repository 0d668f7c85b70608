//! The generated code.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Error, ImplItem, ItemImpl, ItemTrait, Result, TraitItem, Type};

use crate::model::{Access, Method, Options, Returns};

/// `#[object]` on an inherent `impl`.
pub(crate) fn object(home: &TokenStream, options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut block: ItemImpl = syn::parse2(item)?;
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(path.span(), "`#[object]` stands on an `impl` without a trait; `#[interface]` on a trait"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new(block.generics.span(), "an object has no generic parameters: a typeid names one type"));
    }
    let ty = (*block.self_ty).clone();
    let name = match &ty {
        Type::Path(path) if let Some(ident) = path.path.get_ident() => ident.clone(),
        _ => return Err(Error::new(ty.span(), "`#[object]` stands on the `impl` of a type with a plain name")),
    };
    let mut methods = Vec::new();
    for item in &mut block.items {
        if let ImplItem::Fn(function) = item {
            methods.extend(Method::read(&mut function.attrs, &function.sig)?);
        }
    }
    let proxy = Proxy { home, name: &name, ident: format_ident!("{name}Proxy"), options, methods, referent: Some(&ty) };
    let generated = proxy.emit(&quote!(#ty), &quote!());
    let ident = &proxy.ident;
    Ok(quote! {
        #block
        #generated
        impl #home::Object for #ty {
            type Proxy = #ident;
        }
    })
}

/// `#[interface]` on a trait.
pub(crate) fn interface(home: &TokenStream, options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut item: ItemTrait = syn::parse2(item)?;
    if !item.generics.params.is_empty() {
        return Err(Error::new(item.generics.span(), "an interface has no generic parameters: a typeid names one type"));
    }
    let mut methods = Vec::new();
    for item in &mut item.items {
        if let TraitItem::Fn(function) = item {
            methods.extend(Method::read(&mut function.attrs, &function.sig)?);
            send(function);
        }
    }
    let name = item.ident.clone();
    let proxy = Proxy { home, name: &name, ident: format_ident!("{name}Proxy"), options, methods, referent: None };
    let bounds = quote!(<T: #name + ::core::marker::Send + ::core::marker::Sync + 'static>);
    let generated = proxy.emit(&quote!(T), &bounds);
    Ok(quote! {
        #item
        #generated
    })
}

/// `async fn` in a trait says nothing of `Send`; what stands behind it does.
fn send(function: &mut syn::TraitItemFn) {
    if function.sig.asyncness.take().is_none() {
        return;
    }
    let output = match &function.sig.output {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, ty) => quote!(#ty),
    };
    function.sig.output = syn::parse_quote!(
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    );
    if let Some(body) = function.default.take() {
        function.default = Some(syn::parse_quote!({ async move #body }));
    }
}

struct Proxy<'a> {
    home: &'a TokenStream,
    name: &'a Ident,
    ident: Ident,
    options: Options,
    methods: Vec<Method>,
    /// The type of the object, where it is known.
    referent: Option<&'a Type>,
}

impl Proxy<'_> {
    fn emit(&self, object: &TokenStream, bounds: &TokenStream) -> TokenStream {
        let Self { home, ident, name, .. } = self;
        let typeid = self.options.typeid.clone().unwrap_or_else(|| name.to_string());
        let table = self.methods.iter().map(|method| self.entry(method));
        let value = self.options.value.then(|| {
            quote!(#home::Method::new(#home::generated::GET_VALUE, #home::Access::Shared).idempotent())
        });
        let display = self.options.display.then(|| {
            quote!(#home::Method::new(#home::generated::DISPLAY, #home::Access::Shared).idempotent())
        });
        let table: Vec<_> = table.chain(value).chain(display).collect();
        let calls = self.methods.iter().enumerate().map(|(at, method)| match method.access {
            Access::Create => self.create(at, method),
            _ => self.call(at, method),
        });
        let doc = format!("A proxy of `{name}`: cheap to clone, serializable in any format, equal if it means the same object.");
        let dispatch = self.dispatch(object, bounds);
        quote! {
            #[doc = #doc]
            #[allow(unreachable_pub)]
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct #ident(#home::ProxyBase);

            const _: () = ::core::assert!(
                #home::generated::distinct(<#ident as #home::ObjectProxy>::METHODS),
                "two methods have the same name, or names with the same hash: `#[rename = \"…\"]` one of them"
            );

            #[allow(private_interfaces, clippy::too_many_arguments, clippy::needless_pass_by_value)]
            impl #ident {
                #(#calls)*
            }

            impl #home::ObjectProxy for #ident {
                const TYPEID: &'static str = #typeid;
                const METHODS: &'static [#home::Method] = &[#(#table),*];

                fn from_base(base: #home::ProxyBase) -> Self {
                    Self(base)
                }

                fn base(&self) -> &#home::ProxyBase {
                    &self.0
                }
            }

            impl #home::generated::serde::Serialize for #ident {
                fn serialize<S: #home::generated::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    #home::generated::serde::Serialize::serialize(&self.0, serializer)
                }
            }

            impl<'de> #home::generated::serde::Deserialize<'de> for #ident {
                fn deserialize<D: #home::generated::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    #home::generated::deserialize(deserializer)
                }
            }

            #dispatch
        }
    }

    /// The method in the table.
    fn entry(&self, method: &Method) -> TokenStream {
        let home = self.home;
        let name = &method.name;
        let access = match method.access {
            Access::Shared => quote!(Shared),
            Access::Exclusive => quote!(Exclusive),
            Access::Create => quote!(Create),
        };
        let idempotent = method.idempotent.then(|| quote!(.idempotent()));
        let cancel = method.cancel.then(|| quote!(.cancel()));
        quote!(#home::Method::new(#name, #home::Access::#access) #idempotent #cancel)
    }

    /// The method of the proxy.
    fn call(&self, at: usize, method: &Method) -> TokenStream {
        let Self { home, .. } = self;
        let Method { ident, docs, args, returns, .. } = method;
        let (names, types): (Vec<_>, Vec<_>) = args.iter().map(|(name, ty)| (name, ty)).unzip();
        let (result, raw, call, unwrap) = match returns {
            Returns::Value(ty) => (
                quote!(::core::result::Result<#ty, #home::RemoteError>),
                quote!(#ty),
                quote!(self.0.call_plain(method, &(#(#names,)*)).await),
                quote!(::core::result::Result::Ok(direct.await?)),
            ),
            Returns::Result(ty, error) => (
                quote!(::core::result::Result<#ty, #home::CallError<#error>>),
                quote!(::core::result::Result<#ty, #error>),
                quote!(self.0.call(method, &(#(#names,)*)).await),
                quote!(direct.await?.map_err(#home::CallError::App)),
            ),
        };
        let direct = self.referent.map(|object| {
            let run = run(object, method);
            let (access, mutable) = match method.access {
                Access::Exclusive => (quote!(exclusive), quote!(mut)),
                _ => (quote!(shared), quote!()),
            };
            quote! {
                fn direct(
                    home: &#home::generated::Home,
                    method: &'static #home::Method,
                    #(#names: #types,)*
                ) -> #home::generated::BoxFuture<'static, ::core::result::Result<#raw, #home::RemoteError>> {
                    home.direct::<#object, _, _, _>(method, move |#mutable object, context| async move {
                        let _ = &context;
                        let object = object.#access()?;
                        ::core::result::Result::Ok(#run)
                    })
                }
                if let ::core::option::Option::Some(home) = self.0.referent::<#object>() {
                    self.0.allows(method)?;
                    let direct = direct(home, method, #(#names),*);
                    return #unwrap;
                }
            }
        });
        quote! {
            #(#docs)*
            pub async fn #ident(&self, #(#names: #types),*) -> #result {
                let method = &<Self as #home::ObjectProxy>::METHODS[#at];
                #direct
                #call
            }
        }
    }

    /// The functions that make objects.
    fn create(&self, at: usize, method: &Method) -> TokenStream {
        let Self { home, .. } = self;
        let Method { ident, docs, args, returns, .. } = method;
        let (names, types): (Vec<_>, Vec<_>) = args.iter().map(|(name, ty)| (name, ty)).unzip();
        let plain = ident == "new";
        let create = if plain { format_ident!("create") } else { ident.clone() };
        let named = if plain { format_ident!("get_or_create") } else { format_ident!("get_or_{ident}") };
        let (error, convert) = match returns {
            Returns::Value(_) => (quote!(#home::RemoteError), quote!(.map_err(#home::generated::only_remote))),
            Returns::Result(_, error) => (quote!(#home::CallError<#error>), quote!()),
        };
        quote! {
            #(#docs)*
            pub async fn #create(
                manager: &#home::Manager,
                #(#names: #types),*
            ) -> ::core::result::Result<Self, #error> {
                let ctor = &<Self as #home::ObjectProxy>::METHODS[#at];
                manager.create(ctor, &(#(#names,)*)).await #convert
            }

            /// The object of this name; if there is none, it is made.
            pub async fn #named(
                manager: &#home::Manager,
                name: &str,
                #(#names: #types),*
            ) -> ::core::result::Result<Self, #error> {
                let ctor = &<Self as #home::ObjectProxy>::METHODS[#at];
                manager.get_or_create(name, ctor, &(#(#names,)*)).await #convert
            }
        }
    }

    /// From a call to the object.
    fn dispatch(&self, object: &TokenStream, bounds: &TokenStream) -> TokenStream {
        let Self { home, ident, .. } = self;
        let arms = |access: Access| -> Vec<_> {
            let methods = self.methods.iter().filter(|method| method.access == access);
            methods.map(|method| self.arm(object, method)).collect()
        };
        let (shared, exclusive, create) = (arms(Access::Shared), arms(Access::Exclusive), arms(Access::Create));
        let value = self.options.value.then(|| quote! {
            if call.method() == const { #home::MethodId::of(#home::generated::GET_VALUE) } {
                return call.value(object);
            }
        });
        let display = self.options.display.then(|| quote! {
            if call.method() == const { #home::MethodId::of(#home::generated::DISPLAY) } {
                return call.value(&::std::string::ToString::to_string(object));
            }
        });
        quote! {
            impl #bounds #home::Interface<#object> for #ident {
                fn shared(object: &#object, call: #home::Call) -> #home::generated::BoxFuture<'_, #home::Outcome> {
                    ::std::boxed::Box::pin(async move {
                        let _ = &object;
                        #(#shared)*
                        #value
                        #display
                        ::core::result::Result::Err(call.unknown())
                    })
                }

                fn exclusive(
                    object: &mut #object,
                    call: #home::Call,
                ) -> #home::generated::BoxFuture<'_, #home::Outcome> {
                    ::std::boxed::Box::pin(async move {
                        let _ = &object;
                        #(#exclusive)*
                        ::core::result::Result::Err(call.unknown())
                    })
                }

                fn create(
                    call: #home::Call,
                ) -> #home::generated::BoxFuture<
                    'static,
                    ::core::result::Result<#home::Created<#object>, #home::RemoteError>,
                > {
                    ::std::boxed::Box::pin(async move {
                        #(#create)*
                        ::core::result::Result::Err(call.unknown())
                    })
                }
            }
        }
    }

    fn arm(&self, object: &TokenStream, method: &Method) -> TokenStream {
        let home = self.home;
        let name = &method.name;
        let (names, types): (Vec<_>, Vec<_>) = method.args.iter().map(|(name, ty)| (name, ty)).unzip();
        let run = run(object, method);
        let answer = match (&method.returns, method.access) {
            (Returns::Value(_), Access::Create) => quote!(call.created(result)),
            (Returns::Result(..), Access::Create) => quote!(call.created_result(result)),
            (Returns::Value(_), _) => quote!(call.value(&result)),
            (Returns::Result(..), _) => quote!(call.result(&result)),
        };
        quote! {
            if call.method() == const { #home::MethodId::of(#name) } {
                let (#(#names,)*): (#(#types,)*) = call.args()?;
                let context = call.context();
                let _ = context;
                let result = { #run };
                return #answer;
            }
        }
    }
}

/// The call itself: `object`, `context` and the arguments are there.
fn run(object: &impl quote::ToTokens, method: &Method) -> TokenStream {
    let ident = &method.ident;
    let mut args: Vec<_> = method.args.iter().map(|(name, _)| quote!(#name)).collect();
    if let Some(at) = method.context {
        args.insert(at, quote!(&context));
    }
    let wait = method.is_async.then(|| quote!(.await));
    match method.access {
        Access::Create => quote!(<#object>::#ident(#(#args),*) #wait),
        _ => quote!(<#object>::#ident(object, #(#args),*) #wait),
    }
}
