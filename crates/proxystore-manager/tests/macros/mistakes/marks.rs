use proxystore_manager::object;

struct Marked;

#[object]
impl Marked {
    #[ctor]
    fn with_self(&self) -> Self {
        Self
    }

    #[ctor]
    #[idempotent]
    fn marked() -> Self {
        Self
    }

    #[cancel]
    fn shared(&self) {}

    #[hidden]
    #[idempotent]
    fn local(&self) {}

    #[rename = "other"]
    fn function() {}

    #[rename(other)]
    fn renamed(&self) {}

    #[rename = ""]
    fn nameless(&self) {}

    #[rename = "__get_value"]
    fn reserved(&self) {}

    #[cancel]
    #[cancel]
    fn twice(&mut self) {}

    #[hidden = true]
    fn hidden(&self) {}

    #[no_cancel]
    fn exclusive(&mut self) {}

    #[poison = "ignore"]
    fn harmless(&self) {}

    #[poison = "always"]
    fn poisonous(&mut self) {}

    #[timeout = "soon"]
    fn late(&self) {}

    #[timeout]
    fn never(&self) {}

    #[ctor]
    #[timeout = "5s"]
    fn slowly() -> Self {
        Self
    }
}

struct Misspelt;

#[object]
impl Misspelt {
    #[idempotnt]
    fn get(&self) {}
}

fn main() {}
