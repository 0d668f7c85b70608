//! Writes the seeds of every target below a folder, one file each, for libFuzzer to begin with:
//! `cargo run -p proxystore-fuzz --example corpus -- tests/fuzz/cargo-fuzz/corpus`

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let root: PathBuf = std::env::args_os().nth(1).ok_or_else(|| Error::other("name a folder"))?.into();
    for target in proxystore_fuzz::TARGETS {
        let folder = root.join(target.name);
        fs::create_dir_all(&folder)?;
        for (i, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{i:02}")), seed)?;
        }
    }
    Ok(())
}
