//! The program, as others start it.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::poll;
use proxystore_manager::builtin::{Dict, List, Queue};
use proxystore_manager::sync::SemaphoreProxy;
use proxystore_manager::{Manager, cli};
use proxystore_testkit::process::is_role;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::common::{Counter, CounterProxy, address, builder, key};

const PROGRAM: &str = env!("CARGO_BIN_EXE_proxystore-manager");
/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env("PROXYSTORE_AUTHKEY", key().to_hex().expose()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    timeout(PATIENCE, command.stdin(Stdio::null()).output()).await.unwrap().unwrap()
}

/// What it prints, line by line.
async fn printed(command: &mut Command) -> Vec<Value> {
    let output = run(command).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Why it fails: one line.
async fn failure(command: &mut Command) -> String {
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{error}");
    error
}

/// A manager as a process.
struct Served {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Served {
    async fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("a line that says that it is ready");
                // A test binary prints other lines, too.
                if let Some(at) = line.find("{\"") {
                    return serde_json::from_str::<Value>(&line[at..]).unwrap();
                }
            }
        };
        let ready = timeout(PATIENCE, ready).await.unwrap();
        assert_eq!((&ready["ready"], &ready["pid"]), (&json!(true), &json!(child.id().unwrap())));
        let address = ready["address"].as_str().unwrap().to_owned();
        Self { child, lines, address }
    }

    async fn connect(&self) -> Manager {
        Manager::connect(&self.address, key()).await.unwrap()
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().await.unwrap().success());
    }

    /// The code that it ends with.
    async fn end(&mut self) -> Option<i32> {
        let end = async {
            // A child whose output nobody reads might never end.
            while self.lines.next_line().await.unwrap().is_some() {}
            self.child.wait().await.unwrap().code()
        };
        timeout(PATIENCE, end).await.unwrap()
    }
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("m").join("socket");
        let listen = format!("unix:{}", socket.display());
        let mut served = Served::start(program(&["serve", "--listen", &listen])).await;
        assert_eq!(served.address, listen);
        assert_eq!(served.connect().await.stats().await.unwrap().sessions, 1);
        served.signal(signal).await;
        assert_eq!(served.end().await, Some(0), "{signal}");
        assert!(!socket.exists());
    }
}

/// The same commands with types of one's own.
#[tokio::test]
async fn own() {
    if is_role("cli::own") {
        let args = ["own", "serve", "--grace", "5s", "--lease", "10s"].map(OsString::from);
        let code = cli::run(Manager::builder().register::<Counter>(), args).await;
        assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
    }
}

async fn own_types() -> Served {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["cli::own", "--exact", "--nocapture", "--test-threads=1"])
        .env("PROXYSTORE_ROLE", "cli::own");
    command.env("PROXYSTORE_AUTHKEY", key().to_hex().expose()).kill_on_drop(true);
    Served::start(command).await
}

#[tokio::test]
async fn calls_that_run_when_a_signal_comes_have_the_grace_time() {
    let mut served = own_types().await;
    let client = served.connect().await;
    let counter = CounterProxy::create(&client, 7).await.unwrap();
    let mut call = Box::pin(counter.sleep(600));
    assert!(poll!(&mut call).is_pending());
    // It runs once another one has that was made later.
    counter.get().await.unwrap();
    served.signal("TERM").await;
    assert_eq!(call.await, Ok(7));
    assert_eq!(served.end().await, Some(0));
    assert!(CounterProxy::create(&client, 7).await.is_err());
}

#[tokio::test]
async fn what_is_there_is_listed_shown_called_and_ended() {
    let mut served = own_types().await;
    let client = served.connect().await;
    let counter = CounterProxy::create(&client, 40).await.unwrap();
    client.publish("hits", &counter).await.unwrap();
    let address = served.address.clone();
    let ask = |command: &str, args: &[&str]| {
        let mut command = program(&[command]);
        command.args(args).env("PROXYSTORE_MANAGER", &address);
        command
    };
    let listed = json!({
        "object": 1, "typeid": "test.Counter", "names": ["hits"], "sessions": 1, "locals": 1, "pinned": false,
    });
    assert_eq!(printed(&mut ask("ls", &[])).await, std::slice::from_ref(&listed));
    for target in ["hits", "1"] {
        let shown = &printed(&mut ask("inspect", &[target])).await[0];
        assert_eq!((&shown["info"]["names"], &shown["text"]), (&json!(["hits"]), &json!("Counter(40)")));
        let add = json!({ "name": "add", "access": "Exclusive", "idempotent": false });
        let methods = shown["methods"].as_array().unwrap();
        assert!(methods.contains(&add) && methods.len() == 7, "{shown}");
    }
    assert_eq!(printed(&mut ask("call", &["hits", "add", "[2]"])).await, [json!(42)]);
    assert_eq!(printed(&mut ask("call", &["1", "get"])).await, [json!(42)]);
    let reference = serde_json::to_value(&counter).unwrap();
    assert_eq!(printed(&mut ask("call", &[reference.as_str().unwrap(), "get"])).await, [json!(42)]);
    let child = &printed(&mut ask("call", &["hits", "child"])).await[0];
    let reference = child.as_str().unwrap();
    assert_eq!(printed(&mut ask("call", &[reference, "add", "[-2]"])).await, [json!(40)]);

    let most = i64::MAX.to_string();
    let text = failure(&mut ask("call", &["hits", "add", &format!("[{most}]")])).await;
    assert!(text.contains("the method says \"too many\""), "{text}");
    let text = failure(&mut ask("call", &["hits", "add", "two"])).await;
    assert!(text.contains("no JSON array"), "{text}");
    let text = failure(&mut ask("call", &["hits", "subtract", "[1]"])).await;
    assert!(text.contains("no such method"), "{text}");
    assert!(failure(&mut ask("inspect", &["misses"])).await.contains("no such name"));
    assert!(failure(&mut ask("inspect", &["77"])).await.contains("no such object"));

    // Those who asked have taken leave, and hold nothing.
    let stats = &printed(&mut ask("stats", &[])).await[0];
    assert_eq!((&stats["names"], &stats["sessions"]), (&json!(1), &json!(2)));
    assert_eq!(printed(&mut ask("shutdown", &[])).await, Vec::<Value>::new());
    assert_eq!(served.end().await, Some(0));
    assert!(failure(&mut ask("stats", &[])).await.contains("connection lost"));
}

#[tokio::test]
async fn a_program_at_a_tls_address_keeps_its_identity_and_its_key_to_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (identity, keyfile) = (path("identity"), path("key"));
    std::fs::write(&keyfile, key().to_hex().expose()).unwrap();
    std::fs::set_permissions(&keyfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let serve = |listen: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--listen", listen, "--identity", &identity, "--authkey-file", &keyfile]);
        command.kill_on_drop(true);
        command
    };
    let mut served = Served::start(serve("tls://127.0.0.1:0")).await;
    let stats = printed(&mut program(&["stats", "--manager", &served.address])).await;
    assert_eq!(stats[0]["objects"], 0);
    served.child.kill().await.unwrap();
    let mut again = Served::start(serve(&served.address)).await;
    assert_eq!(again.address, served.address);
    let second = failure(&mut serve(&again.address)).await;
    assert!(second.contains("cannot listen"), "{second}");
    again.connect().await.shutdown().await.unwrap();
    assert_eq!(again.end().await, Some(0));

    std::fs::set_permissions(&keyfile, std::fs::Permissions::from_mode(0o604)).unwrap();
    let text = failure(&mut serve("tls://127.0.0.1:0")).await;
    assert!(text.contains("chmod 600"), "{text}");
    let hex = key().to_hex().expose().to_owned();
    for wrong in ["", "no digits", &hex[1..]] {
        let mut command = program(&["serve"]);
        let text = failure(command.env("PROXYSTORE_AUTHKEY", wrong)).await;
        assert!(text.contains("PROXYSTORE_AUTHKEY") && !text.contains(&hex[1..]), "{text}");
    }
    let text = failure(program(&["serve"]).env_remove("PROXYSTORE_AUTHKEY")).await;
    assert!(text.contains("there is no authkey"), "{text}");
}

#[tokio::test]
async fn containers_are_there_from_the_beginning_and_take_json() {
    let preload = "dict:state,queue:jobs:2,counter:hits:40,lock:door,semaphore:seats:3,list:words";
    let mut served = Served::start(program(&["serve", "--preload", preload])).await;
    let address = served.address.clone();
    let ask = async |target: &str, method: &str, args: &str| {
        let mut command = program(&["call", "--manager", &address, target, method, args]);
        printed(&mut command).await
    };
    assert_eq!(
        ask("state", "insert", r#"["who", {"name": "Ada", "ages": [1, 2.5, null]}]"#).await,
        [json!(null)]
    );
    assert_eq!(ask("state", "get", r#"["who"]"#).await, [json!({"name": "Ada", "ages": [1, 2.5, null]})]);
    assert_eq!(ask("hits", "add", "[2]").await, [json!(42)]);
    assert_eq!(ask("words", "extend", r#"[["hello"]]"#).await, [json!(null)]);
    assert_eq!(ask("words", "iter", "[]").await, [json!("hello")]);

    // Those who have types read what was written without.
    let client = served.connect().await;
    let words: List<String> = client.lookup("words").await.unwrap();
    assert_eq!(words.get_value().await.unwrap(), ["hello"]);
    let state: Dict<String, Value> = client.lookup("state").await.unwrap();
    assert_eq!(state.get("who").await.unwrap().unwrap()["name"], "Ada");
    let jobs: Queue<u8> = client.lookup("jobs").await.unwrap();
    jobs.put(&1).await.unwrap();
    jobs.put(&2).await.unwrap();
    assert!(jobs.put_within(&3, Duration::ZERO).await.is_err());
    let seats: SemaphoreProxy = client.lookup("seats").await.unwrap();
    drop((seats.acquire().await.unwrap(), seats.acquire().await.unwrap(), seats.acquire().await.unwrap()));
    client.shutdown().await.unwrap();
    assert_eq!(served.end().await, Some(0));

    for wrong in ["dict", "dict:", "queue:jobs:many"] {
        let output = run(&mut program(&["serve", "--preload", wrong])).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("write TYPE:NAME"), "{wrong}");
    }
    for (wrong, why) in [
        ("dict:state:5", "its number is missing or too much"),
        ("barrier:gate", "its number is missing or too much"),
        ("cupboard:state", "no \"cupboard\" to preload"),
    ] {
        let text = failure(&mut program(&["serve", "--preload", wrong])).await;
        assert!(text.contains(why), "{wrong}: {text}");
    }
}

#[tokio::test]
async fn who_asks_leaves_nothing_behind() {
    let manager = builder().limits(proxystore_manager::Limits::default()).serve_anywhere().await.unwrap();
    let counter = manager.host(Counter { count: 1 }).unwrap();
    manager.publish("hits", &counter).await.unwrap();
    let start = Instant::now();
    let call = &mut program(&["call", "--manager", &address(&manager), "hits", "child"]);
    printed(call).await;
    assert_eq!(manager.stats().await.unwrap().sessions, 0, "after {:?}", start.elapsed());
}
