//! A test binary that starts itself again, as another process with a role to play.
//!
//! The role is a test function of its own: as a test of the suite it does nothing, as a child it plays.
//!
//! ```no_run
//! use proxystore_testkit::{process, process::Role, role};
//!
//! # mod hidden { use super::*;
//! #[tokio::test]
//! async fn greeter() {
//!     role!("greeter"); // returns at once unless this process was spawned to play it
//!     while let Some(name) = process::hear().await {
//!         process::say(&format!("hello, {name}"));
//!     }
//! }
//!
//! #[tokio::test]
//! async fn greets() {
//!     let mut child = Role::spawn("greeter", &[]);
//!     child.say("world").await;
//!     assert_eq!(child.hear().await.as_deref(), Some("hello, world"));
//!     child.kill().await;
//! }
//! # }
//! ```
//!
//! # Killing at a named point
//!
//! A role marks the places where its death matters with [`point`]. The parent says at which of them it is to be killed,
//! so that the same thing happens in every run. A [`FaultConnector`](crate::fault::FaultConnector) has points before
//! and after an operation: `Fault::Point` and `Fault::PointAfter`.
//!
//! ```standalone_crate
//! use proxystore_testkit::process::{self, Role};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let directory = tempfile::tempdir().unwrap();
//! # let file = std::env::var("FILE").unwrap_or_else(|_| format!("{}/state", directory.path().display()));
//! # let file = &file;
//! if process::is_role("writer") {
//!     process::say("I shall write");
//!     std::fs::write(file, "half a w").unwrap();
//!     process::point("half-written"); // does nothing, unless the parent stops the role here
//!     std::fs::write(file, "half a whole").unwrap();
//!     return;
//! }
//! let mut writer = Role::spawn_until("writer", "half-written", &[("FILE", file)]);
//! writer.kill_at_point().await; // it is dead now, and got no further
//! assert_eq!(writer.hear().await.as_deref(), Some("I shall write"));
//! assert_eq!(std::fs::read_to_string(file).unwrap(), "half a w");
//!
//! assert!(Role::spawn("writer", &[("FILE", file)]).wait().await.success());
//! assert_eq!(std::fs::read_to_string(file).unwrap(), "half a whole");
//! # }
//! ```

use std::collections::VecDeque;
use std::io::Write;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Names the role in the child's environment.
const ROLE: &str = "PROXYSTORE_ROLE";
/// Names, in the child's environment, the point where it stops.
const POINT: &str = "PROXYSTORE_POINT";
/// Begins what the child says, amid what the test harness prints.
const MARK: &str = "@say ";
/// What the child prints when it has stopped at its point.
const STOPPED: &str = "@stopped";
/// How long [`Role::hear`], [`Role::kill_at_point`] and [`Role::wait`] wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// A child process that runs one test function of this binary; killed when dropped.
#[derive(Debug)]
pub struct Role {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it has said and nobody has heard yet.
    unheard: VecDeque<String>,
    stopped: bool,
}

impl Role {
    /// Starts this test binary again to run the test function `name` alone, with these variables in its
    /// environment.
    ///
    /// `name` is the function's path as the test harness lists it: `writer` at the top of `tests/x.rs`,
    /// `tests::writer` in a module. Panics if the process cannot be started.
    pub fn spawn(name: &str, environment: &[(&str, &str)]) -> Self {
        let binary = std::env::current_exe().expect("the path of the test binary");
        let mut child = Command::new(binary)
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, name)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the role {name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a piped stdout")).lines();
        Self { name: name.into(), child, stdin, stdout, unheard: VecDeque::new(), stopped: false }
    }

    /// As [`spawn`](Self::spawn); the role stops for ever when it comes to this [`point`] for the first time, and
    /// [`kill_at_point`](Self::kill_at_point) kills it there.
    pub fn spawn_until(name: &str, point: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn(name, &[environment, &[(POINT, point)]].concat())
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it one line, which it gets from [`hear`]. Panics if it is gone.
    pub async fn say(&mut self, line: &str) {
        let Some(stdin) = &mut self.stdin else { panic!("the input of {} is closed", self.name) };
        let line = format!("{line}\n");
        let sent = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.flush().await
        };
        sent.await.unwrap_or_else(|error| panic!("the role {} does not listen: {error}", self.name));
    }

    /// The next line that it [`say`]s, or `None` when it has ended. Panics after 60 seconds of silence.
    /// Cancel-safe: a dropped call loses no line.
    pub async fn hear(&mut self) -> Option<String> {
        let listen = async { while self.unheard.is_empty() && self.listen().await {} };
        if timeout(DEADLINE, listen).await.is_err() {
            panic!("the role {} says nothing", self.name);
        }
        self.unheard.pop_front()
    }

    /// Waits until it has stopped at the point that [`spawn_until`](Self::spawn_until) named, and kills it there with
    /// SIGKILL. What it has said before can still be [`hear`](Self::hear)d. Panics if it ends elsewhere, or does not
    /// come there within 60 seconds.
    pub async fn kill_at_point(&mut self) {
        let listen = async {
            while !self.stopped {
                assert!(self.listen().await, "the role {} ended before it came to its point", self.name);
            }
        };
        if timeout(DEADLINE, listen).await.is_err() {
            panic!("the role {} does not come to its point", self.name);
        }
        self.kill().await;
    }

    /// Reads one line of its output. `false` when there is no more.
    async fn listen(&mut self) -> bool {
        let Some(line) = self.stdout.next_line().await.expect("the role's output") else { return false };
        if let Some((_, said)) = line.split_once(MARK) {
            self.unheard.push_back(said.to_owned());
        }
        self.stopped |= line.ends_with(STOPPED);
        true
    }

    /// Closes its input, so that its [`hear`] gives `None`, and waits for its end. Panics after 60 seconds.
    pub async fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        let drain = async {
            // A child whose output nobody reads would never end.
            while self.stdout.next_line().await.is_ok_and(|line| line.is_some()) {}
            self.child.wait().await.expect("the role's end")
        };
        timeout(DEADLINE, drain).await.unwrap_or_else(|_| panic!("the role {} does not end", self.name))
    }

    /// Kills it with SIGKILL and waits until it is gone. What it has said before can still be [`hear`](Self::hear)d.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap_or_else(|error| panic!("cannot kill the role {}: {error}", self.name));
    }
}

/// Whether this process was spawned to play the role `name`. See [`role!`](crate::role!).
pub fn is_role(name: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|role| role == name)
}

/// Returns from the function unless this process was [`spawn`](Role::spawn)ed to play the role of that name.
#[macro_export]
macro_rules! role {
    ($name:expr) => {
        if !$crate::process::is_role($name) {
            return;
        }
    };
}

/// In a role: one line to the parent's [`Role::hear`].
pub fn say(line: &str) {
    print(&format!("{MARK}{line}"));
}

/// In a role: a place where the parent may kill it. Does nothing, unless the role was spawned to stop here: then it
/// tells the parent, and blocks this thread for ever.
pub fn point(name: &str) {
    if std::env::var(POINT).is_ok_and(|point| point == name) {
        print(STOPPED);
        loop {
            std::thread::park();
        }
    }
}

fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // A parent that is gone does not listen; the role finds out when it hears.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// In a role: the next line from the parent's [`Role::say`], or `None` when the parent is done or gone.
/// Not cancel-safe: a dropped call may lose a line.
pub async fn hear() -> Option<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end_matches('\n').to_owned())
    });
    read.await.ok().flatten()
}
