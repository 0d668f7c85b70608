//! Addresses that hold the right to read one object for some time.

use std::fmt;
use std::time::Duration;

use object_store::signer::{Method, Url};
use proxystore_core::{Error, ErrorKind, Key, Result, Secret, Uri};

use crate::ObjectStoreConnector;
use crate::error::Effect;

/// The longest time that all of the clouds sign for.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The address of one object, with a signature that lets everybody read it who has it, until its time is over.
///
/// The signature is a secret: `Debug` does not show it. [`uri`](Self::uri) is for references, see `Stored::presigned` of
/// the store; [`url`](Self::url) for browsers and other programs.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    uri: Uri,
    url: Secret,
}

impl Presigned {
    /// The place of the object, with the signature as its password, which is not shown.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The whole address, as a browser takes it.
    pub fn url(&self) -> &Secret {
        &self.url
    }
}

impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presigned({})", self.uri)
    }
}

impl ObjectStoreConnector {
    /// An address by which everybody can read the object of `key` for `time`, in whole seconds up to 7 days, without
    /// credentials: the object that is there then, also if it is put later or replaced.
    ///
    /// Whoever reads by it does not see the object's time to live: let the signature be over before it.
    /// It cannot be called back, but by changing the keys that sign it or evicting the object. Where the credentials
    /// themselves are for a time, it is over when they are.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use proxystore_core::Key;
    /// # use proxystore_object_store::ObjectStoreConnector;
    /// # async fn hand_out(connector: ObjectStoreConnector, key: Key) -> proxystore_core::Result<()> {
    /// let address = connector.presign(&key, Duration::from_secs(600)).await?;
    /// println!("curl '{}'", address.url().expose());
    /// # Ok(()) }
    /// ```
    ///
    /// Errors: `Unsupported` if the store does not sign, `Config` if the time is too long or there is none, `Denied` or
    /// `Unavailable` if the credentials cannot be had or may not sign. Makes at most a request for credentials. Dropping
    /// the future leaves nothing.
    pub async fn presign(&self, key: &Key, time: Duration) -> Result<Presigned> {
        let sign = async |bucket: std::sync::Arc<crate::bucket::Bucket>, path| {
            let Some(signer) = &self.signer else {
                return Err(Error::new(ErrorKind::Unsupported, "this store signs no addresses").hint(
                    "open it by s3+object://, gs:// or az:// with credentials, or give it `with_signer`",
                ));
            };
            if time.as_secs() == 0 || time > LONGEST {
                return Err(Error::new(ErrorKind::Config, "the time is not between a second and 7 days"));
            }
            let url = signer.signed_url(Method::GET, &path, Duration::from_secs(time.as_secs()));
            let url = bucket.send(Effect::Read, Duration::ZERO, url).await?;
            Ok(Presigned { uri: uri(&url)?, url: Secret::new(url) })
        };
        self.on("presign", key, sign).await
    }

    /// The same with what signs its addresses, for a store of yours.
    #[must_use]
    pub fn with_signer(mut self, signer: std::sync::Arc<dyn object_store::signer::Signer>) -> Self {
        self.signer = Some(signer);
        self
    }
}

/// The place of an address, with its query as the password.
fn uri(url: &Url) -> Result<Uri> {
    let unfit = || Error::new(ErrorKind::Unsupported, "the signed address does not fit into a reference");
    let query: String = url.query().ok_or_else(unfit)?.bytes().map(escaped).collect();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().ok_or_else(unfit)?;
    let text = format!("{}://:{query}@{host}{port}{}", url.scheme(), url.path());
    text.parse::<Uri>().ok().filter(Uri::is_signed).ok_or_else(unfit)
}

fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~=&".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests;
