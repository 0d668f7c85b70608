//! Addresses on the web that hold a signature: the one secret that may travel in a reference.

use super::encode;
use crate::{Secret, Uri};

impl Uri {
    /// Whether this is an address on the web with the query of a presigned request as its password, and no user:
    /// whoever has it may read one object for some time. Only such a password is ever part of a reference, and only of one
    /// that was made with it.
    ///
    /// ```
    /// use proxystore_core::Uri;
    ///
    /// let uri: Uri = "https://:sig=c4n4ry&se=2026-11-21@store.example/a".parse()?;
    /// assert!(uri.is_signed());
    /// assert_eq!(uri.to_string(), "https://***@store.example/a");
    /// # Ok::<(), proxystore_core::Error>(())
    /// ```
    pub fn is_signed(&self) -> bool {
        // The name of a variable has no `=` in it.
        let query = |password: &Secret| password.expose().contains('=');
        matches!(self.scheme(), "http" | "https")
            && self.user.is_none()
            && self.password.as_ref().is_some_and(query)
    }

    /// The canonical text of an address that [is signed](Self::is_signed), with its signature.
    pub fn expose_signed(&self) -> Option<Secret> {
        let query = self.password.as_ref().filter(|_| self.is_signed())?;
        let mut user_info = String::from(":");
        encode(&mut user_info, query.expose(), b"=&");
        user_info.push('@');
        Some(Secret::new(self.text_with(&user_info)))
    }
}
