//! Generated code keeps the strictest rules of the crate that it stands in.
#![deny(missing_docs, missing_debug_implementations, unreachable_pub, unused, deprecated, rust_2018_idioms)]
#![deny(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::panic)]
#![expect(
    clippy::unused_self,
    clippy::needless_pass_by_value,
    clippy::many_single_char_names,
    reason = "the methods are ours"
)]

/// An object in a module of its own, with nothing in scope but its macro.
mod documented {
    /// A lamp, most of whose proxy nobody uses.
    #[derive(Debug)]
    struct Lamp(bool);

    #[proxystore_manager::object]
    impl Lamp {
        /// Makes a lamp.
        #[ctor]
        fn new(on: bool) -> Self {
            Self(on)
        }

        #[ctor]
        fn undocumented() -> Self {
            Self(false)
        }

        /// Whether it is on.
        fn is_on(&self) -> bool {
            self.0
        }

        fn switch(&mut self, on: bool) {
            self.0 = on;
        }

        #[deprecated(note = "switch it")]
        fn toggle(&mut self) {
            self.0 = !self.0;
        }

        #[expect(clippy::too_many_arguments)]
        fn many(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: String) -> String {
            format!("{a}{b}{c}{d}{e}{f}{g}{h}{}", self.0)
        }
    }

    /// A switch.
    #[proxystore_manager::interface]
    trait Switch {
        /// Presses it.
        async fn press(&mut self);

        /// How often it was pressed.
        async fn presses(&self) -> u64;
    }
}

mod hidden {
    struct Secret;

    #[proxystore_manager::object]
    impl Secret {
        fn tell(&self) -> Private {
            Private(String::new())
        }
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Private(String);

    #[proxystore_manager::interface]
    trait Teller {
        async fn tell(&self) -> Private;
    }
}
