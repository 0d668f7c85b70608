//! A Redis server for the tests: found, or installed where we may.

use std::path::Path;

use crate::sh::{Result, command, find, output, run};

/// What serves; the tests look for the same.
const SERVERS: &[&str] = &["redis-server", "valkey-server"];

/// Makes sure that a server is on the search path.
pub(crate) fn provide() -> Result {
    if let Some(server) = find(SERVERS) {
        println!("the tests use {}; each starts its own on a free port", server.display());
        return Ok(());
    }
    if !may_install(Path::new("/etc/debian_version").exists(), find(&["apt-get"]).is_some(), is_root()) {
        return Err(advice(find(&["apt-get"]).is_some()));
    }
    install()?;
    find(SERVERS).map(drop).ok_or_else(|| advice(true))
}

fn may_install(debian: bool, apt: bool, root: bool) -> bool {
    debian && apt && root
}

fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}

fn advice(apt: bool) -> String {
    let how = match (apt, cfg!(target_os = "macos")) {
        (true, _) => "`sudo apt-get install redis-server`",
        (_, true) => "`brew install redis`",
        _ => "Redis 6 or later, or Valkey, with your system's packages",
    };
    format!(
        "the tests need {}, and neither is on the search path.\n\
         Install {how}; or leave those tests out: `cargo xtask test --allow-skips`",
        SERVERS.join(" or ")
    )
}

fn install() -> Result {
    println!("there is no {} here: installing redis-server with apt-get", SERVERS.join(" or "));
    let apt = |args: &[&str]| {
        let wait = ["-o", "DPkg::Lock::Timeout=300"];
        run(command("apt-get", &[&wait, args].concat()).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "--quiet"])?;
    apt(&["install", "--quiet", "--yes", "--no-install-recommends", "redis-server"])?;
    // The package starts a service. The tests start their own servers, so this one would only be left behind.
    let stopped = if Path::new("/run/systemd/system").exists() {
        run(&mut command("systemctl", &["disable", "--now", "redis-server"]))
    } else {
        run(&mut command("service", &["redis-server", "stop"]))
    };
    if let Err(error) = stopped {
        println!("the system's redis service was not stopped, which the tests do not mind: {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_on_debian_installs() {
        assert!(may_install(true, true, true));
        for (debian, apt, root) in [(false, true, true), (true, false, true), (true, true, false)] {
            assert!(!may_install(debian, apt, root));
        }
    }

    #[test]
    fn the_advice_names_a_command() {
        assert!(advice(true).contains("apt-get install redis-server"));
        assert!(advice(false).contains("--allow-skips"));
    }
}
