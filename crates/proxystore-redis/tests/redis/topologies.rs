//! More than one server, and servers that speak TLS.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proxystore_testkit::cancel::eventually;
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::{sample, skip};

use crate::{connect, get, is_outage, put, raw};

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A sentinel that watches one master; killed when dropped.
struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(master: u16) -> Option<Self> {
        let program = skip::find("redis-server").or_else(|| skip::find("valkey-server"))?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = folder.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"
        );
        std::fs::write(&config, lines).unwrap();
        let child = Command::new(program)
            .arg(config)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port, _folder: folder })
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sentinels lead to the master, and to its heir when it dies.
#[tokio::test]
async fn sentinels_lead_to_the_master_and_its_heir() {
    let Some(mut master) = RedisServer::start().await else { return };
    let Some(replica) = RedisServer::start().await else { return };
    raw(replica.port(), &["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    let Some(sentinel) = Sentinel::start(master.port()) else { return };
    // The first of the two sentinels is dead.
    let uri = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/0?master=main", sentinel.port);
    eventually(Duration::from_secs(10), || async { connect(&uri).await.is_ok() }).await;
    let connector = connect(&uri).await.unwrap();
    put(&*connector, "a", sample::make(1, 100)).await.unwrap();
    let on_replica =
        || async { matches!(raw(replica.port(), &["EXISTS", "proxystore:a"]).await, redis::Value::Int(1)) };
    eventually(Duration::from_secs(10), on_replica).await;
    let knows = || async {
        let info = format!("{:?}", raw(sentinel.port, &["SENTINEL", "REPLICAS", "main"]).await);
        info.contains(&replica.port().to_string()) || info.contains("flags")
    };
    eventually(Duration::from_secs(15), knows).await;

    master.kill();
    let served = || async {
        match get(&*connector, "a").await {
            Ok(object) => {
                assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(1));
                true
            }
            Err(error) => {
                assert!(is_outage(&error), "{error}");
                false
            }
        }
    };
    eventually(Duration::from_secs(30), served).await;
    put(&*connector, "b", sample::make(2, 100)).await.unwrap();

    let unknown = format!("redis+sentinel://127.0.0.1:{}/0?master=other", sentinel.port);
    let error = connect(&unknown).await.unwrap_err();
    assert_eq!(error.kind(), proxystore_core::ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("whether they know the master"), "{error}");
}

#[cfg(feature = "cluster")]
mod cluster {
    use proxystore_testkit::conformance::Harness;

    use super::*;

    /// Three masters that share the slots.
    async fn harness() -> Option<Harness> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            nodes.push(RedisServer::with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await?);
        }
        for (node, slots) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            raw(node.port(), &["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).await;
        }
        let bus = |port: u16| async move {
            let redis::Value::BulkString(text) = raw(port, &["CLUSTER", "NODES"]).await else {
                panic!("no text")
            };
            let text = String::from_utf8(text).unwrap();
            let myself = text.lines().find(|line| line.contains("myself")).unwrap();
            myself.split(['@', ' ', ',']).nth(2).unwrap().to_owned()
        };
        for node in &nodes[1..] {
            let (port, bus) = (node.port().to_string(), bus(node.port()).await);
            raw(nodes[0].port(), &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for node in &nodes {
            let agreed = || async {
                let redis::Value::BulkString(info) = raw(node.port(), &["CLUSTER", "INFO"]).await else {
                    return false;
                };
                let info = String::from_utf8(info).unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            };
            eventually(Duration::from_secs(30), agreed).await;
        }
        let at = async |prefix: &str| {
            // One node is enough to find the others.
            connect(&format!("redis+cluster://127.0.0.1:{}?prefix={prefix}", nodes[1].port())).await.unwrap()
        };
        let harness =
            Harness::new(at("app").await).with_second(at("app").await).with_neighbour(at("app2").await);
        Some(harness.keeping(nodes))
    }

    proxystore_testkit::conformance!(connector = crate::topologies::cluster::harness().await);
}

#[cfg(feature = "tls")]
mod tls {
    use proxystore_core::ErrorKind;

    use super::*;

    /// A server with a certificate that it signed itself, and the path of that certificate.
    async fn server(folder: &std::path::Path) -> Option<(RedisServer, std::path::PathBuf)> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, signed.cert.pem()).unwrap();
        std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (cert_file, key_file) = (path(&cert), path(&key));
        let args = [
            "--tls-port",
            "{port}",
            "--port",
            "0",
            "--tls-auth-clients",
            "no",
            "--tls-cert-file",
            &cert_file,
            "--tls-key-file",
            &key_file,
            "--tls-ca-cert-file",
            &cert_file,
        ];
        Some((RedisServer::with(&args).await?, cert))
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let Some((server, cert)) = server(folder.path()).await else { return };
        let trusted = format!("rediss://localhost:{}/0?ca={}", server.port(), cert.display());
        let connector = connect(&trusted).await.unwrap();
        for (name, size) in [("a", 100), ("b", 3 << 20)] {
            put(&*connector, name, sample::make(5, size)).await.unwrap();
            assert_eq!(sample::seed(get(&*connector, name).await.unwrap().unwrap()), Ok(5));
        }
        let error = connect(&format!("rediss://localhost:{}/0", server.port())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        let error = connect(&format!("redis://localhost:{}/0", server.port())).await.unwrap_err();
        assert!(is_outage(&error), "{error}");
        let absent = format!("rediss://localhost:{}/0?ca=/no/such/file", server.port());
        assert_eq!(connect(&absent).await.unwrap_err().kind(), ErrorKind::Config);
    }
}
