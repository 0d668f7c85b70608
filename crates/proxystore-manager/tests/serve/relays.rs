//! Those between a client and a manager at `tls://`.

use std::sync::{Arc, Mutex};

use proxystore_manager::{Limits, Manager};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::{CounterProxy, address, builder, key, limits};

/// Whoever answers will do.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// TLS with whoever is there.
async fn tls(place: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.enable_sni = false;
    let stream = TcpStream::connect(place).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

fn place(manager: &Manager) -> String {
    address(manager).split_once('@').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_relay_that_ends_the_tls_lets_nobody_in() {
    let manager = builder().serve("tls://127.0.0.1:0").await.unwrap();
    // The client has the right key, and the relay carries every byte of it as it is. But the connection that the
    // client proves itself on is not the one that the manager hears of.
    let place = place(&manager);
    let open = move || {
        let place = place.clone();
        async move { tls(&place).await }
    };
    let refused = Manager::connect_over(open, key()).await.unwrap_err().to_string();
    assert!(refused.contains("authentication failed"), "{refused}");
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
}

/// Carries connections to `place`, and writes down what clients say. Returns where it listens.
async fn recorder(place: String, said: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_manager, mut to_manager) = TcpStream::connect(&place).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_manager, &mut to_client).await });
            let said = said.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    said.lock().unwrap().extend(&bytes[..count]);
                    to_manager.write_all(&bytes[..count]).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_recorded_connection_opens_nothing_and_shows_nothing() {
    let manager = builder().serve("tls://127.0.0.1:0").await.unwrap();
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let recorder = recorder(place(&manager), said.clone()).await;
    let id = manager.id().await.unwrap();
    let client = Manager::connect(&format!("tls://{id}@{recorder}"), key()).await.unwrap();
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    let secret = "nobody is to read this";
    assert_eq!(counter.echo(secret.into()).await.unwrap(), secret);
    let before = manager.stats().await.unwrap();

    let said = said.lock().unwrap().clone();
    assert!(!said.windows(secret.len()).any(|window| window == secret.as_bytes()));
    let mut replayed = TcpStream::connect(place(&manager)).await.unwrap();
    replayed.write_all(&said).await.unwrap();
    // The manager hangs up, and that ends in an error or not.
    let _ = replayed.read_to_end(&mut Vec::new()).await;
    assert_eq!(manager.stats().await.unwrap(), before);
}

#[tokio::test]
async fn those_who_say_nothing_are_in_nobodys_way_once_they_are_gone() {
    let limits = Limits { max_handshakes: 4, ..limits() };
    let manager = builder().limits(limits).serve("tls://127.0.0.1:0").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(place(&manager)).await.unwrap());
    }
    let first = Manager::connect(&address(&manager), key()).await.unwrap();
    for _ in 0..60 {
        silent.push(TcpStream::connect(place(&manager)).await.unwrap());
    }
    // Who is in stays in, and nobody else was let in.
    assert_eq!(first.stats().await.unwrap().sessions, 1);
    drop(silent);
    let second = Manager::connect(&address(&manager), key()).await.unwrap();
    assert_eq!(second.stats().await.unwrap().sessions, 2);
}

#[tokio::test]
async fn who_speaks_something_else_is_hung_up_on() {
    let manager = builder().serve("tls://127.0.0.1:0").await.unwrap();
    let alert: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    let endless: &[u8] = &[0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff];
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PSM\n", alert, endless, &[0; 4096]] {
        let mut stream = TcpStream::connect(place(&manager)).await.unwrap();
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 64, "an alert at most: {} bytes", answer.len());
    }
    // And inside of TLS.
    let mut stream = tls(&place(&manager)).await.unwrap();
    stream.write_all(b"\xff\xffGET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
    let client = Manager::connect(&address(&manager), key()).await.unwrap();
    assert_eq!(client.stats().await.unwrap().sessions, 1);
}
