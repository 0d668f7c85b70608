//! The programs that tests and benchmarks use: found, or installed where we may.

use std::path::Path;

use crate::sh::{Result, command, find, output, run};

/// What they need that is not a crate.
struct Need {
    /// Any of them will do; the tests look for the same.
    programs: &'static [&'static str],
    /// Debian's package of the first.
    package: &'static str,
    /// Where there is no apt-get.
    elsewhere: &'static str,
    /// The package starts a service of this name, which nobody asked for.
    service: Option<&'static str>,
    /// How to do without.
    without: &'static str,
}

const REDIS: Need = Need {
    programs: &["redis-server", "valkey-server"],
    package: "redis-server",
    elsewhere: if cfg!(target_os = "macos") {
        "`brew install redis`"
    } else {
        "Redis 6 or later, or Valkey, with your system's packages"
    },
    service: Some("redis-server"),
    without: "leave those tests out: `cargo xtask test --allow-skips`",
};

/// Wall clocks that jump.
const FAKETIME: Need = Need {
    programs: &["faketime"],
    package: "faketime",
    elsewhere: "libfaketime with your system's packages",
    service: None,
    without: "leave those tests out: `cargo xtask test --allow-skips`",
};

/// A server in Python, in an environment of its own.
const PYTHON: Need = Need {
    programs: &["python3"],
    package: "python3-venv",
    elsewhere: "Python 3.10 or later, with venv, with your system's packages",
    service: None,
    without: "leave out `--with moto`",
};

/// Counts instructions.
const VALGRIND: Need = Need {
    programs: &["valgrind"],
    package: "valgrind",
    elsewhere: "valgrind with your system's packages",
    service: None,
    without: "leave it to a machine that has it: nothing else counts instructions",
};

/// Makes sure that valgrind is on the search path.
pub(crate) fn valgrind() -> Result {
    VALGRIND.provide()
}

/// Makes sure that a Redis server is on the search path.
pub(crate) fn redis() -> Result {
    REDIS.provide()
}

/// Makes sure of everything that the tests use. Gives their names for `PROXYSTORE_REQUIRE`.
pub(crate) fn all() -> Result<&'static str> {
    REDIS.provide()?;
    FAKETIME.provide()?;
    Ok("redis,faketime")
}

/// Makes sure that `python3` can make environments, for which Debian has a package apart.
pub(crate) fn python() -> Result {
    PYTHON.provide_if(|| output(&mut command("python3", &["-c", "import ensurepip, venv"])).is_ok())
}

impl Need {
    fn provide(&self) -> Result {
        self.provide_if(|| true)
    }

    /// `complete` says whether what is found is all that is needed.
    fn provide_if(&self, complete: impl Fn() -> bool) -> Result {
        let found = || find(self.programs).filter(|_| complete());
        if let Some(program) = found() {
            println!("found: {}", program.display());
            return Ok(());
        }
        let apt = find(&["apt-get"]).is_some();
        if !may_install(Path::new("/etc/debian_version").exists(), apt, is_root()) {
            return Err(self.advice(apt));
        }
        self.install()?;
        found().map(drop).ok_or_else(|| self.advice(true))
    }

    fn advice(&self, apt: bool) -> String {
        let how =
            if apt { format!("`sudo apt-get install {}`", self.package) } else { self.elsewhere.into() };
        format!(
            "this needs {}, which is not on the search path, or not all of it.\n\
             Install {how}; or {}",
            self.programs.join(" or "),
            self.without,
        )
    }

    fn install(&self) -> Result {
        println!("there is no {} here: installing {} with apt-get", self.programs.join(" or "), self.package);
        let apt = |args: &[&str]| {
            let wait = ["-o", "DPkg::Lock::Timeout=300"];
            run(command("apt-get", &[&wait, args].concat()).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        apt(&["update", "--quiet"])?;
        apt(&["install", "--quiet", "--yes", "--no-install-recommends", self.package])?;
        self.service.into_iter().for_each(stop);
        Ok(())
    }
}

/// The tests start their own servers, so the system's would only be left behind.
fn stop(service: &str) {
    let stopped = if Path::new("/run/systemd/system").exists() {
        run(&mut command("systemctl", &["disable", "--now", service]))
    } else {
        run(&mut command("service", &[service, "stop"]))
    };
    if let Err(error) = stopped {
        println!("the system's {service} was not stopped, which the tests do not mind: {error}");
    }
}

fn may_install(debian: bool, apt: bool, root: bool) -> bool {
    debian && apt && root
}

fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
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
        for (need, without) in
            [(REDIS, "--allow-skips"), (FAKETIME, "--allow-skips"), (PYTHON, "--with moto")]
        {
            assert!(need.advice(true).contains(&format!("apt-get install {}", need.package)));
            assert!(need.advice(false).contains(without));
        }
    }
}
