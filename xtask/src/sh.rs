//! Other programs, run at the root of the workspace.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a verb returns: `Err` holds the sentence that the user reads.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A file of the workspace, by its path from the root.
pub(crate) fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("cannot read {path}: {error}"))
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
}

/// A program with its arguments, without standard input.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs it, after showing it.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed: {status}")) }
}

/// What it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{shown}` failed: {}", why.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{shown}` printed no UTF-8"))
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> =
        [program].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The first of these programs on the search path.
pub(crate) fn find(programs: &[&str]) -> Option<PathBuf> {
    find_on(&env::var_os("PATH")?, programs)
}

/// The first of these programs on this search path: what cannot be executed is none.
fn find_on(path: &OsStr, programs: &[&str]) -> Option<PathBuf> {
    let folders: Vec<_> = env::split_paths(path).collect();
    let named = |program: &&str| {
        folders
            .iter()
            .map(|folder| folder.join(format!("{program}{}", env::consts::EXE_SUFFIX)))
            .find(executable)
    };
    programs.iter().find_map(named)
}

fn executable(path: &PathBuf) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    #[cfg(unix)]
    let may = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may = true;
    metadata.is_file() && may
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `find_on` says, as a path below two folders: `first` has a plain file `server`, `second` these programs.
    #[cfg(unix)]
    fn found(programs: &[&str]) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let put = |folder: &str, file: &str, mode| {
            let path = base.path().join(folder);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(file), "").unwrap();
            fs::set_permissions(path.join(file), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("first", "server", 0o644);
        programs.iter().for_each(|program| put("second", program, 0o755));
        let path =
            env::join_paths(["first", "second", "absent"].map(|folder| base.path().join(folder))).unwrap();
        let found = find_on(&path, &["server", "other"])?;
        Some(found.strip_prefix(base.path()).unwrap().to_owned())
    }

    #[cfg(unix)]
    #[test]
    fn the_preferred_program_is_found_before_the_other() {
        assert_eq!(found(&["server", "other"]), Some("second/server".into()));
        assert_eq!(found(&["other"]), Some("second/other".into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_executed_is_no_program() {
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        assert_eq!(show(&command("/some/where/cargo", &["test", "--doc"])), "cargo test --doc");
    }
}
