//! `test --with moto`: the connector of S3 on a server that others have written, in Python.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::provide;
use crate::sh::{Result, cargo, command, root, run};

const VERSION: &str = "5.2.5";
/// Starts it.
const PROGRAM: &str = include_str!("moto.py");
/// Where the tests find the server.
const ENDPOINT: &str = "PROXYSTORE_MOTO";
/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Installs the server unless it is there, starts it on a free port, and runs the tests that want it.
pub(crate) fn run_all() -> Result {
    let server = Server::start(&install()?)?;
    // As all tests are built, so that nothing is built again.
    let mut tests = cargo(&["test", "--workspace", "--all-features", "--test", "moto"]);
    run(tests.env(ENDPOINT, &server.endpoint))
}

/// The Python of an environment below `target` that has the server.
fn install() -> Result<String> {
    let folder = root().join("target").join(format!("moto-{VERSION}"));
    let path = folder.to_string_lossy();
    let (python, ready) = (format!("{path}/bin/python"), folder.join("ready"));
    if ready.exists() {
        return Ok(python);
    }
    provide::python()?;
    // What an interrupted run has left is made anew.
    run(&mut command("python3", &["-m", "venv", "--clear", &path]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "10"];
    run(&mut command(&python, &[&pip[..], &[&format!("moto[server]=={VERSION}")]].concat()))?;
    File::create(&ready).map_err(|error| format!("cannot make {}: {error}", ready.display()))?;
    Ok(python)
}

/// The server while it runs: it ends when this is dropped.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn start(python: &str) -> Result<Self> {
        let cannot = |error: std::io::Error| format!("cannot start moto: {error}");
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(cannot)?;
        let log = root().join("target/moto.log");
        let output = File::create(&log).map_err(cannot)?;
        let port = address.port().to_string();
        let mut server = command(python, &["-c", PROGRAM, &port]);
        server.stdout(output.try_clone().map_err(cannot)?).stderr(output);
        let child = server.spawn().map_err(cannot)?;
        let mut server = Self { child, endpoint: format!("http://{address}") };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait().map_err(cannot)?.is_some();
            if ended || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("moto did not start; it said:\n{}", said.trim_end()));
            }
            sleep(Duration::from_millis(100));
        }
        println!("moto {VERSION} serves {}; its log is {}", server.endpoint, log.display());
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
