//! TLS 1.3 with a manager that is known by its key: no certificates and no authorities.
//!
//! A manager's id is the hash of its public key, and stands in its address. It shows the bare key (RFC 7250), and proves
//! that it has the private one; who dials compares the hash. Clients have no keys here: they prove that they know the
//! authkey, in the handshake that follows, which is bound to this very connection.

use std::fmt;
use std::io;
use std::sync::Arc;

use proxystore_core::{Error, ErrorKind, Result};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_eddsa_type};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::ManagerId;
use crate::{hex, mac, secret_file};

/// What a private Ed25519 key begins with in PKCS #8; its 32 bytes follow.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What the bytes that bind a handshake to a connection are derived for.
const LABEL: &[u8] = b"EXPORTER-proxystore-manager";

/// Who a manager is to those who dial `tls://`: a key pair, of which nothing but the public half is ever shown.
#[derive(Clone)]
pub struct Identity {
    key: Arc<dyn SigningKey>,
    public: Vec<u8>,
}

impl Identity {
    /// A fresh one: the manager is another after each start.
    pub fn random() -> Result<Self> {
        Self::of(mac::random()?)
    }

    /// The one in this file, made if there is none, so that the manager is the same after each start. Who can read the
    /// file can pose as the manager: it is made for its owner alone.
    ///
    /// `Config` if the file is something else, `Denied` if it is open to everybody, `Unavailable` if it can be neither
    /// read nor made. Dropping the future leaves a whole file or none.
    pub async fn open(path: impl Into<std::path::PathBuf>) -> Result<Self> {
        let path = path.into();
        let fresh = Zeroizing::new(hex::write(&*Zeroizing::new(mac::random::<32>()?)));
        let text = secret_file::read_or_make(path.clone(), fresh).await?;
        let bytes = hex::read(text.trim()).map(Zeroizing::new);
        let private = bytes.and_then(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "the file holds no identity: 64 hexadecimal digits")
                .with("path", path.display())
                .hint("name a file that does not exist yet, and it will be made")
        })?;
        Self::of(private)
    }

    fn of(private: [u8; 32]) -> Result<Self> {
        let private = Zeroizing::new(private);
        let pkcs8 = Zeroizing::new([&PKCS8[..], &private[..]].concat());
        let bad = || Error::new(ErrorKind::Unexpected, "a private key that is none");
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8[..])).map_err(|_| bad())?;
        let public = key.public_key().ok_or_else(bad)?.to_vec();
        Ok(Self { key, public })
    }

    /// The id of the manager that has it.
    pub fn id(&self) -> ManagerId {
        ManagerId::of(&self.public)
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, ***)", self.id())
    }
}

/// Speaks TLS with clients.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    pub(crate) fn new(identity: &Identity) -> Result<Self> {
        let shown = vec![CertificateDer::from(identity.public.clone())];
        let certified = Arc::new(CertifiedKey::new(shown, identity.key.clone()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
        // Each connection proves everything anew.
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The stream, and what binds a handshake to it.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
        let stream = TlsStream::from(self.0.accept(stream).await?);
        let channel = channel(&stream)?;
        Ok((stream, channel))
    }
}

/// Speaks TLS with `manager`: the stream, and what binds a handshake to it. `AuthenticationFailed` if it is another.
pub(crate) async fn connect(
    stream: TcpStream,
    manager: ManagerId,
) -> Result<(TlsStream<TcpStream>, Vec<u8>), RemoteError> {
    let provider = default_provider();
    let pin = Pin { manager, algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| RemoteError::new(RemoteErrorKind::Unexpected, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    // Nobody looks at the name: the key is what counts.
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = TlsStream::from(connected.map_err(refused)?);
    let channel = channel(&stream).map_err(refused)?;
    Ok((stream, channel))
}

fn channel(stream: &TlsStream<TcpStream>) -> io::Result<Vec<u8>> {
    let exported = match stream {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None),
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, None),
    };
    exported.map(|bytes| bytes.to_vec()).map_err(io::Error::other)
}

fn unusable(error: rustls::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("TLS cannot be set up: {error}"))
}

fn refused(error: io::Error) -> RemoteError {
    use rustls::Error as Tls;
    let (kind, why) = match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(_)) => (
            RemoteErrorKind::AuthenticationFailed,
            "another manager than the one that is meant answers at this address".into(),
        ),
        Some(
            Tls::PeerIncompatible(PeerIncompatible::IncorrectCertificateTypeExtension)
            | Tls::InvalidMessage(_),
        ) => (RemoteErrorKind::VersionMismatch, "what answers at this address is no manager with TLS".into()),
        Some(error) => (RemoteErrorKind::VersionMismatch, format!("TLS: {error}")),
        None => (RemoteErrorKind::ConnectionLost, format!("TLS: {error}")),
    };
    RemoteError::new(kind, why)
}

/// One manager will do.
#[derive(Debug)]
struct Pin {
    manager: ManagerId,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if ManagerId::of(shown) == self.manager {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let public = SubjectPublicKeyInfoDer::from(&shown[..]);
        verify_tls13_signature_with_raw_key(message, &public, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
