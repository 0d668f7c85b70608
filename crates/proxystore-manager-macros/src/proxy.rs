//! The generated proxy.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::Visibility;
use syn::ext::IdentExt;

use crate::method::{Access, Method, Returns, here};
use crate::options::Options;

/// What a proxy is generated from.
pub(crate) struct Proxy {
    /// The crate that the generated code uses.
    pub(crate) home: TokenStream,
    /// The name of the type or of the trait.
    pub(crate) name: Ident,
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    /// The type of the object.
    pub(crate) object: TokenStream,
    /// What the object's type must be, if it is a parameter.
    pub(crate) bounds: Option<TokenStream>,
    /// Where the object's functions are.
    pub(crate) callee: TokenStream,
    /// Whether `object` is one type.
    pub(crate) is_known: bool,
    pub(crate) options: Options,
    pub(crate) methods: Vec<Method>,
}

impl Proxy {
    pub(crate) fn emit(&self) -> TokenStream {
        let Self { home, ident, vis, name, .. } = self;
        let typeid =
            self.options.typeid.as_ref().map_or_else(|| name.unraw().to_string(), |typeid| typeid.value());
        let methods = self.methods.iter().map(|method| {
            let (cfg, entry) = (&method.cfg, self.entry(method));
            tokens!(#(#cfg)* #entry)
        });
        let own = [(&self.options.value, "GET_VALUE"), (&self.options.display, "DISPLAY")];
        let own = own.into_iter().filter(|(wanted, _)| wanted.is_some()).map(|(_, name)| {
            let name = Ident::new(name, Span::mixed_site());
            tokens!(#home::Method::new(#home::generated::#name, #home::Access::Shared).idempotent())
        });
        let table = methods.chain(own);
        let functions = self.methods.iter().map(|method| match method.access {
            Access::Create => self.create(method),
            _ => self.call(method),
        });
        let doc = format!(
            "A proxy of `{name}`: cheap to clone, serializable in any format, equal to those of the same object."
        );
        let object = self.is_known.then(|| {
            tokens! {
                #[automatically_derived]
                impl #home::Object for #name {
                    type Proxy = #ident;
                }
            }
        });
        let (arguments, dispatch) = (self.arguments(), self.dispatch());
        tokens! {
            #[doc = #doc]
            #[allow(dead_code, unreachable_pub)]
            #[derive(
                ::core::clone::Clone,
                ::core::fmt::Debug,
                ::core::cmp::PartialEq,
                ::core::cmp::Eq,
                ::core::hash::Hash,
            )]
            #vis struct #ident(#home::ProxyBase);

            const _: () = ::core::assert!(
                #home::generated::distinct(<#ident as #home::ObjectProxy>::METHODS),
                "the names of two methods have the same hash: `#[rename = \"…\"]` one of them"
            );

            #[automatically_derived]
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

            #[automatically_derived]
            impl #home::generated::serde::Serialize for #ident {
                fn serialize<S: #home::generated::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    #home::generated::serde::Serialize::serialize(&self.0, serializer)
                }
            }

            #[automatically_derived]
            impl<'de> #home::generated::serde::Deserialize<'de> for #ident {
                fn deserialize<D: #home::generated::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    #home::generated::deserialize(deserializer)
                }
            }

            #object

            const _: () = {
                #arguments

                #[allow(dead_code, deprecated, private_interfaces, unreachable_pub, clippy::too_many_arguments)]
                impl #ident {
                    #(#functions)*
                }

                #dispatch
            };
        }
    }

    /// What arguments must be, so that a message about one that is not points at its type.
    fn arguments(&self) -> TokenStream {
        let home = &self.home;
        let checks = self.methods.iter().map(|method| {
            let cfg = &method.cfg;
            let checks = method.args.iter().map(|arg| {
                let owned = arg.owned();
                quote_spanned!(here(&arg.ty)=> __travels::<#owned>();)
            });
            tokens!(#(#cfg)* { #(#checks)* })
        });
        tokens! {
            #[allow(dead_code)]
            fn __arguments() {
                fn __travels<T>()
                where
                    T: #home::generated::serde::Serialize
                        + #home::generated::serde::de::DeserializeOwned
                        + ::core::marker::Send
                        + ::core::marker::Sync,
                {
                }
                #(#checks)*
            }
        }
    }

    /// The method in the table.
    fn entry(&self, method: &Method) -> TokenStream {
        let home = &self.home;
        let name = &method.name.0;
        let access = match method.access {
            Access::Shared => tokens!(Shared),
            Access::Exclusive => tokens!(Exclusive),
            Access::Create => tokens!(Create),
        };
        let idempotent = method.idempotent.then(|| tokens!(.idempotent()));
        let cancel = method.cancel.map(|cancel| tokens!(.cancel(#cancel)));
        let unpoisoned = method.is_unpoisoned.then(|| tokens!(.unpoisoned()));
        let timeout = method.timeout.map(|millis| tokens!(.timeout(#millis)));
        tokens!(#home::Method::new(#name, #home::Access::#access) #idempotent #cancel #unpoisoned #timeout)
    }

    /// The method of the proxy: straight to the object if that is here.
    fn call(&self, method: &Method) -> TokenStream {
        let Self { home, .. } = self;
        let Method { ident, cfg, args, returns, .. } = method;
        let docs = method.docs(&format!("Calls `{ident}` of the object."));
        let entry = self.entry(method);
        let parameters = args.iter().map(|arg| arg.parameter());
        let names = args.iter().map(|arg| &arg.name);
        let Returns { value, error, is_stream } = returns;
        let (result, failure, call) = match error {
            _ if *is_stream => (
                tokens!(#home::RemoteStream<#value>),
                tokens!(#home::RemoteError),
                quote_spanned!(here(ident)=> call_stream::<_, #value>),
            ),
            None => (
                value.to_token_stream(),
                tokens!(#home::RemoteError),
                quote_spanned!(here(ident)=> call_plain::<_, #value>),
            ),
            Some(error) => (
                value.to_token_stream(),
                tokens!(#home::CallError<#error>),
                quote_spanned!(here(ident)=> call::<_, #value, #error>),
            ),
        };
        let call = quote_spanned!(here(ident)=> self.0.#call(method, &(#(#names,)*)).await);
        // The items of a stream are encoded at home, too.
        let direct = (self.is_known && !is_stream).then(|| self.direct(method));
        tokens! {
            #(#cfg)*
            #docs
            pub async fn #ident(&self, #(#parameters),*) -> ::core::result::Result<#result, #failure> {
                let method = const { &#entry };
                #direct
                #call
            }
        }
    }

    /// The call without codec. A function of its own, with a boxed future: methods may call each other in circles.
    fn direct(&self, method: &Method) -> TokenStream {
        let Self { home, object, .. } = self;
        let Method { ident, args, returns, .. } = method;
        let names: Vec<_> = args.iter().map(|arg| &arg.name).collect();
        let types = args.iter().map(|arg| arg.owned());
        let values = args.iter().map(|arg| arg.own());
        let ty = returns.ty();
        let run = self.run(method);
        let (access, mutability) = match method.access {
            Access::Exclusive => (tokens!(exclusive), tokens!(mut)),
            _ => (tokens!(shared), tokens!()),
        };
        let result = match &returns.error {
            None => tokens!(direct.await),
            Some(_) => tokens!(direct.await?.map_err(#home::CallError::App)),
        };
        let direct = quote_spanned! {here(ident)=>
            home.direct::<#object, _, _, _>(method, move |#mutability object, context| async move {
                let _ = &context;
                let object = object.#access()?;
                ::core::result::Result::Ok(#run)
            })
        };
        let begin = quote_spanned!(here(ident)=> let direct = __direct(home, method, #(#values),*););
        tokens! {
            fn __direct(
                home: &#home::generated::Home,
                method: &'static #home::Method,
                #(#names: #types,)*
            ) -> #home::generated::BoxFuture<'static, ::core::result::Result<#ty, #home::RemoteError>> {
                #direct
            }
            if let ::core::option::Option::Some(home) = self.0.referent::<#object>() {
                self.0.allows(method)?;
                #begin
                return #result;
            }
        }
    }

    /// The functions that make objects.
    fn create(&self, method: &Method) -> TokenStream {
        let Self { home, .. } = self;
        let Method { ident, cfg, args, returns, .. } = method;
        let docs = method.docs(&format!("Makes an object with `{ident}`."));
        let entry = self.entry(method);
        let names: Vec<_> = args.iter().map(|arg| &arg.name).collect();
        let parameters: Vec<_> = args.iter().map(|arg| arg.parameter()).collect();
        let given = quote_spanned!(here(ident)=> &(#(#names,)*));
        let made = quote_spanned!(here(ident)=> manager.create(const { &#entry }, #given).await);
        let found =
            quote_spanned!(here(ident)=> manager.get_or_create(name, const { &#entry }, #given).await);
        let [create, get_or_create] = method.constructors();
        let named = format!(
            "The object of this name; if there is none, it is made as by [`{create}`](Self::{create})."
        );
        let (failure, convert) = match &returns.error {
            None => (tokens!(#home::RemoteError), Some(tokens!(.map_err(#home::generated::only_remote)))),
            Some(error) => (tokens!(#home::CallError<#error>), None),
        };
        tokens! {
            #(#cfg)*
            #docs
            pub async fn #create(
                manager: &#home::Manager,
                #(#parameters),*
            ) -> ::core::result::Result<Self, #failure> {
                #made #convert
            }

            #(#cfg)*
            #[doc = #named]
            pub async fn #get_or_create(
                manager: &#home::Manager,
                name: &str,
                #(#parameters),*
            ) -> ::core::result::Result<Self, #failure> {
                #found #convert
            }
        }
    }
}

impl Method {
    /// What the proxy calls its two functions for a constructor.
    pub(crate) fn constructors(&self) -> [Ident; 2] {
        let ident = &self.ident;
        if ident == "new" {
            ["create", "get_or_create"].map(|name| Ident::new(name, ident.span()))
        } else {
            [ident.clone(), format_ident!("get_or_{ident}")]
        }
    }

    /// What the source says, or else the `usual`.
    fn docs(&self, usual: &str) -> TokenStream {
        let written = self.docs.iter().any(|attribute| attribute.path().is_ident("doc"));
        let usual = (!written).then(|| tokens!(#[doc = #usual]));
        let docs = self.docs.iter().map(ToTokens::to_token_stream);
        tokens!(#usual #(#docs)*)
    }
}
