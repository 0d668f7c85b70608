//! A typed proxy around one whose items are encoded.

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident $(<$($param:ident),+>)? ($proxy:ident)) => {
        $(#[$doc])*
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        #[serde(transparent, bound = "")]
        pub struct $name$(<$($param),+>)? {
            proxy: $proxy,
            types: ::std::marker::PhantomData<fn() -> ($($($param,)+)?)>,
        }

        impl$(<$($param),+>)? $name$(<$($param),+>)? {
            fn of(proxy: $proxy) -> Self {
                Self { proxy, types: ::std::marker::PhantomData }
            }

            /// The object's text, as Python writes it, with those of the objects in it: see
            /// [`ProxyBase::display`](crate::ProxyBase::display).
            pub async fn display(&self) -> String {
                $crate::ObjectProxy::base(&self.proxy).display().await
            }
        }

        impl$(<$($param),+>)? Clone for $name$(<$($param),+>)? {
            fn clone(&self) -> Self {
                Self::of(self.proxy.clone())
            }
        }

        impl$(<$($param),+>)? ::std::fmt::Debug for $name$(<$($param),+>)? {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt($crate::ObjectProxy::base(&self.proxy), f)
            }
        }

        impl$(<$($param),+>)? PartialEq for $name$(<$($param),+>)? {
            fn eq(&self, other: &Self) -> bool {
                self.proxy == other.proxy
            }
        }

        impl$(<$($param),+>)? Eq for $name$(<$($param),+>)? {}

        impl$(<$($param),+>)? ::std::hash::Hash for $name$(<$($param),+>)? {
            fn hash<H: ::std::hash::Hasher>(&self, state: &mut H) {
                self.proxy.hash(state);
            }
        }

        impl$(<$($param: 'static),+>)? $crate::ObjectProxy for $name$(<$($param),+>)? {
            const TYPEID: &'static str = <$proxy as $crate::ObjectProxy>::TYPEID;
            const METHODS: &'static [$crate::Method] = <$proxy as $crate::ObjectProxy>::METHODS;

            fn from_base(base: $crate::ProxyBase) -> Self {
                Self::of($crate::ObjectProxy::from_base(base))
            }

            fn base(&self) -> &$crate::ProxyBase {
                $crate::ObjectProxy::base(&self.proxy)
            }
        }
    };
}
