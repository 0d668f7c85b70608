//! The interfaces of an object beside that of its own proxy.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::id::{Access, Method, MethodId};
use crate::object::{Call, Interface, Object, ObjectProxy, Outcome};

/// The interfaces that objects of type `T` have beside that of their own proxy: see [`Object::interfaces`].
pub struct Interfaces<T>(Vec<One<T>>);

struct One<T> {
    typeid: &'static str,
    methods: &'static [Method],
    shared: fn(&T, Call) -> BoxFuture<'_, Outcome>,
    exclusive: fn(&mut T, Call) -> BoxFuture<'_, Outcome>,
}

impl<T: Object> Interfaces<T> {
    /// No other than that of the proxy.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The same, and that of the proxy `P`. A method of `P` that the object's own proxy has by the same name, too,
    /// does not compile: a name means one method. Of several further interfaces the first answers.
    ///
    /// ```compile_fail,E0080
    /// # use proxystore_manager::{Interfaces, Manager, Object, interface};
    /// #[interface]
    /// trait Door {
    ///     fn open(&self);
    /// }
    ///
    /// #[interface]
    /// trait Bottle {
    ///     fn open(&self); // `#[rename = "uncork"]` would do
    /// }
    /// # struct Both;
    /// # impl Door for Both { fn open(&self) {} }
    /// # impl Bottle for Both { fn open(&self) {} }
    ///
    /// impl Object for Both {
    ///     type Proxy = DoorProxy;
    ///
    ///     fn interfaces() -> Interfaces<Self> {
    ///         Interfaces::none().and::<BottleProxy>()
    ///     }
    /// }
    /// # Manager::builder().register::<Both>();
    /// ```
    #[must_use]
    pub fn and<P: Interface<T>>(mut self) -> Self {
        const {
            assert!(
                disjoint(T::Proxy::METHODS, P::METHODS),
                "two interfaces of one object have methods of the same name: `#[rename = \"…\"]` one of them"
            );
        };
        self.0.push(One {
            typeid: P::TYPEID,
            methods: P::METHODS,
            shared: P::shared,
            exclusive: P::exclusive,
        });
        self
    }

    /// What there is, without the object's type.
    pub(crate) fn tables(&self) -> Box<[(&'static str, &'static [Method])]> {
        self.0.iter().map(|one| (one.typeid, one.methods)).collect()
    }

    /// Runs a `&self` method of the first interface that has it.
    pub(crate) fn shared<'a>(&self, object: &'a T, call: Call) -> BoxFuture<'a, Outcome> {
        match self.having(call.method) {
            None => T::Proxy::shared(object, call),
            Some(one) => (one.shared)(object, call),
        }
    }

    /// Runs a `&mut self` method of the first interface that has it.
    pub(crate) fn exclusive<'a>(&self, object: &'a mut T, call: Call) -> BoxFuture<'a, Outcome> {
        match self.having(call.method) {
            None => T::Proxy::exclusive(object, call),
            Some(one) => (one.exclusive)(object, call),
        }
    }

    /// `None` if it is the object's own proxy.
    fn having(&self, id: MethodId) -> Option<&One<T>> {
        let is_it = |method: &Method| method.id == id && method.access != Access::Create;
        let has = |methods: &[Method]| methods.iter().any(is_it);
        if self.0.is_empty() || has(T::Proxy::METHODS) {
            return None;
        }
        self.0.iter().find(|one| has(one.methods))
    }
}

impl<T> fmt::Debug for Interfaces<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| one.typeid)).finish()
    }
}

/// Whether no method of `a` has the id of one of `b`. Constructors, and what every object may have, are none.
const fn disjoint(a: &[Method], b: &[Method]) -> bool {
    let mut i = 0;
    while i < a.len() {
        let mut k = 0;
        while k < b.len() {
            if counts(&a[i]) && counts(&b[k]) && a[i].id.0 == b[k].id.0 {
                return false;
            }
            k += 1;
        }
        i += 1;
    }
    true
}

const fn counts(method: &Method) -> bool {
    let name = method.name.as_bytes();
    let is_ours = name.len() > 2 && name[0] == b'_' && name[1] == b'_';
    !is_ours && !matches!(method.access, Access::Create)
}
