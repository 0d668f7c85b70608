//! The generated way from a call to the object.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

use crate::method::{Access, Method, Returns, here};
use crate::proxy::Proxy;

impl Proxy {
    pub(crate) fn dispatch(&self) -> TokenStream {
        let Self { home, ident, object, .. } = self;
        let arms = |access: Access| {
            let methods = self.methods.iter().filter(move |method| method.access == access);
            methods.map(|method| self.arm(method))
        };
        let (shared, exclusive, create) =
            (arms(Access::Shared), arms(Access::Exclusive), arms(Access::Create));
        let own = self.own();
        let bounds = self.bounds();
        tokens! {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #bounds #home::Interface<#object> for #ident {
                fn shared(object: &#object, call: #home::Call) -> #home::generated::BoxFuture<'_, #home::Outcome> {
                    ::std::boxed::Box::pin(async move {
                        let _ = &object;
                        #(#shared)*
                        #own
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

    /// `<__Object: …>`, where the object's type is a parameter.
    fn bounds(&self) -> Option<TokenStream> {
        let Self { home, object, .. } = self;
        let bounds = self.bounds.as_ref()?;
        let value = self.options.value.map(|_| tokens!(+ #home::generated::serde::Serialize));
        let display = self.options.display.map(|_| tokens!(+ ::core::fmt::Display));
        Some(tokens!(<#object: #bounds #value #display>))
    }

    /// What `value` and `display` ask for. Errors point at these words.
    fn own(&self) -> TokenStream {
        let home = &self.home;
        let arm = |name: &str, answer: TokenStream| {
            let name = Ident::new(name, Span::mixed_site());
            tokens! {
                if call.method() == const { #home::MethodId::of(#home::generated::#name) } {
                    return #answer;
                }
            }
        };
        let value = self.options.value.map(|span| quote_spanned!(here(&span)=> call.value(object)));
        let value = value.map(|answer| arm("GET_VALUE", answer));
        let display = self.options.display.map(|span| {
            quote_spanned!(here(&span)=> call.text(|| ::std::string::ToString::to_string(object)).await)
        });
        let display = display.map(|answer| arm("DISPLAY", answer));
        tokens!(#value #display)
    }

    fn arm(&self, method: &Method) -> TokenStream {
        let (home, object) = (&self.home, &self.object);
        let (cfg, name) = (&method.cfg, &method.name.0);
        let names = method.args.iter().map(|arg| &arg.name);
        let types = method.args.iter().map(|arg| arg.owned());
        let args = quote_spanned!(here(&method.ident)=> let (#(#names,)*) = call.args::<(#(#types,)*)>()?;);
        let run = self.run(method);
        let Returns { value, error, is_stream } = &method.returns;
        let answer = match (method.access, error) {
            (Access::Create, None) => tokens!(call.created(result)),
            (Access::Create, Some(error)) => tokens!(call.created_result::<#object, #error>(result)),
            _ if *is_stream => quote_spanned!(here(&method.ident)=> call.stream(result)),
            (_, None) => tokens!(call.value::<#value>(&result)),
            (_, Some(error)) => tokens!(call.result::<#value, #error>(&result)),
        };
        tokens! {
            #(#cfg)*
            {
                if call.method() == const { #home::MethodId::of(#name) } {
                    #args
                    let context = call.context();
                    let _ = context;
                    let result = #run;
                    return #answer;
                }
            }
        }
    }

    /// The call itself: `object`, `context` and the arguments are there.
    pub(crate) fn run(&self, method: &Method) -> TokenStream {
        let callee = &self.callee;
        let ident = &method.ident;
        let mut args: Vec<_> = method.args.iter().map(|arg| arg.lend()).collect();
        if let Some(at) = method.context {
            args.insert(at, tokens!(&context));
        }
        if method.access != Access::Create {
            args.insert(0, tokens!(object));
        }
        let wait = method.is_async.then(|| tokens!(.await));
        tokens!(#callee::#ident(#(#args),*) #wait)
    }
}
