//! The command line of a manager: serve one, look into one, call its objects, end it.
//!
//! `proxystore-manager` is this with no types of its own. A program with types has the same commands:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use proxystore_manager::{Manager, cli, object};
//!
//! struct Counter(i64);
//!
//! #[object]
//! impl Counter {
//!     #[ctor]
//!     fn new(start: i64) -> Self {
//!         Self(start)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     cli::run(Manager::builder().register::<Counter>(), std::env::args_os()).await
//! }
//! ```

mod ask;
mod json;
mod preload;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use proxystore_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::auth::AuthKey;
use crate::builder::Builder;
use crate::manager::Manager;
use crate::secret_file;

/// Names the authkey itself, in hexadecimal digits.
const KEY: &str = "PROXYSTORE_AUTHKEY";

/// Live shared objects: serve a manager, look into one, call its objects.
///
/// What is printed is JSON, one object or value per line. Errors are one line on standard error, and the exit code 1.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a manager until it is shut down or gets SIGTERM or SIGINT. The first line says where it listens.
    Serve(serve::Serve),
    /// Lists the objects, one per line.
    Ls(Connect),
    /// Shows an object: its methods, who holds it, and its text if it has one.
    Inspect {
        #[command(flatten)]
        connect: Connect,
        /// A name, a number as `ls` shows it, or a reference `psm://…`.
        target: String,
    },
    /// Calls a method, and prints what it returns.
    Call {
        #[command(flatten)]
        connect: Connect,
        /// A name, a number as `ls` shows it, or a reference `psm://…`.
        target: String,
        /// The method's name.
        method: String,
        /// The arguments, a JSON array.
        #[arg(default_value = "[]")]
        args: String,
    },
    /// How many objects, names and sessions there are.
    Stats(Connect),
    /// Ends the manager: calls that run have its grace time.
    Shutdown(Connect),
}

#[derive(Args)]
struct Key {
    /// A file with the authkey in hexadecimal digits, which not everybody can read. Without one, the key is taken from
    /// the environment variable PROXYSTORE_AUTHKEY.
    #[arg(long, value_name = "FILE", env = "PROXYSTORE_AUTHKEY_FILE")]
    authkey_file: Option<PathBuf>,
}

impl Key {
    async fn read(self) -> Result<AuthKey> {
        if let Some(path) = self.authkey_file {
            let text = secret_file::read(path.clone()).await?;
            return AuthKey::from_hex(&text).map_err(|error| error.with("path", path.display()));
        }
        match std::env::var(KEY) {
            Ok(text) => AuthKey::from_hex(&text).map_err(|error| error.with("variable", KEY)),
            Err(_) => Err(Error::new(ErrorKind::Config, "there is no authkey").hint(
                "name a file with --authkey-file, or set PROXYSTORE_AUTHKEY; make one with `openssl rand -hex 32`",
            )),
        }
    }
}

/// The manager that is meant.
#[derive(Args)]
struct Connect {
    /// Its address, as the ready line of `serve` has it.
    #[arg(long, value_name = "ADDRESS", env = "PROXYSTORE_MANAGER")]
    manager: String,
    #[command(flatten)]
    key: Key,
}

impl Connect {
    async fn connect(self) -> Result<Manager> {
        Manager::connect(&self.manager, self.key.read().await?).await
    }

    /// Does something with the manager, and takes leave.
    async fn with(self, work: impl AsyncFnOnce(&Manager) -> Result<()>) -> Result<()> {
        let manager = self.connect().await?;
        let done = work(&manager).await;
        manager.disconnect().await;
        done
    }
}

/// Does what the arguments say, of which the first is the name of the program. `serve` serves a manager that `builder`
/// describes.
///
/// With other arguments than it knows, it tells so and ends the process, as it does for `--help`. It prints JSON on standard output, errors on standard error. Dropping the future ends what it serves at once.
pub async fn run(builder: Builder, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = match Cli::parse_from(args).command {
        Command::Serve(serve) => serve.run(builder).await,
        Command::Ls(connect) => ask::ls(connect).await,
        Command::Inspect { connect, target } => ask::inspect(connect, &target).await,
        Command::Call { connect, target, method, args } => ask::call(connect, &target, &method, &args).await,
        Command::Stats(connect) => ask::stats(connect).await,
        Command::Shutdown(connect) => ask::shutdown(connect).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads it, the exit code says enough.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line of JSON, at once.
fn print(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Codec, format!("no JSON: {error}")))?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    let printed = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|error| Error::new(ErrorKind::Closed, format!("nobody reads the output: {error}")))
}

/// A whole number with `ms`, `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let millis = number.parse().ok().and_then(|number: u64| number.checked_mul(millis));
    millis
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "write a duration such as 500ms or 30s".into())
}
