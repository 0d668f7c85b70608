//! A real Redis server for the length of a test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::skip;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(20);
/// How often another port is tried: a free port may be taken before the server binds it.
const PORTS: usize = 5;

/// A `redis-server` (or `valkey-server`) on a free port of 127.0.0.1 and on a unix socket, without persistence, in
/// a temporary directory. Killed when dropped, also when the test panics: do not keep it in a `static`.
///
/// ```no_run
/// use proxystore_testkit::redis::RedisServer;
///
/// # async fn test() {
/// let Some(mut server) = RedisServer::start().await else { return }; // recorded as skipped
/// println!("{}", server.uri());
/// server.kill();
/// server.restart().await;
/// # }
/// ```
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    program: PathBuf,
    args: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers. `None`, after a [recorded](skip::record) skip, where none is
    /// installed. Panics if it does not start.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// The same with more arguments, such as `["--requirepass", "secret"]`. In them, `{port}` stands for the
    /// server's port: `["--port", "0", "--tls-port", "{port}", …]`.
    pub async fn with(args: &[&str]) -> Option<Self> {
        if !skip::require("redis") {
            return None;
        }
        let program = skip::find("redis")?;
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        for _ in 0..PORTS {
            let folder = tempfile::Builder::new().prefix("redis-").tempdir().expect("a temporary directory");
            let port = free_port();
            let child = spawn(&program, port, folder.path(), &args);
            let mut server = Self { child, port, program: program.clone(), args: args.clone(), folder };
            if server.answers().await {
                return Some(server);
            }
        }
        panic!("{} ended at once on {PORTS} ports: see what it wrote above", program.display());
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:<port>`, the upstream for a [`TcpProxy`](crate::tcp_proxy::TcpProxy).
    pub fn addr(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn uri(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits until it is gone. All objects are lost.
    pub fn kill(&mut self) {
        // An error means that it has been waited for already.
        let _ = self.child.kill();
        self.child.wait().expect("the end of redis");
    }

    /// Kills it if it runs, starts an empty one on the same port, and waits until it answers.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.program, self.port, self.folder.path(), &self.args);
        assert!(self.answers().await, "redis did not start again on port {}", self.port);
    }

    /// Stops it with SIGSTOP: connections stay, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("a signal to redis");
    }

    /// Whether it answers; `false` if it ended instead.
    async fn answers(&mut self) -> bool {
        let start = Instant::now();
        loop {
            if self.child.try_wait().expect("the state of redis").is_some() {
                return false;
            }
            if timeout(Duration::from_secs(1), ping(&self.socket())).await.unwrap_or(false) {
                return true;
            }
            assert!(start.elapsed() < START, "redis does not answer within {START:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nothing to do about a failure here, and the usual one is that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    probe.local_addr().expect("the port of a bound socket").port()
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

fn spawn(program: &Path, port: u16, folder: &Path, args: &[String]) -> Child {
    let port = port.to_string();
    let args = args.iter().map(|arg| arg.replace("{port}", &port));
    // A socket file that a killed server left behind would look like this one's.
    let _ = std::fs::remove_file(socket(folder));
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
        .args(["--loglevel", "warning", "--unixsocket"])
        .arg(socket(folder))
        .arg("--dir")
        .arg(folder)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}

/// Whether it answers PING over its unix socket, which stays without TLS: with `+PONG`, or `-NOAUTH`.
async fn ping(socket: &Path) -> bool {
    let answer = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    answer.await.is_ok_and(|answer| &answer == b"+PONG\r\n" || answer.starts_with(b"-NOAUTH"))
}
