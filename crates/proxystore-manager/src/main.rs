//! A manager as a program: see `proxystore_manager::cli`.

use std::process::ExitCode;

use proxystore_manager::{Manager, cli};

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Manager::builder(), std::env::args_os()).await
}
