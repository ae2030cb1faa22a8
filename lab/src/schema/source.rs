//! Where the two versions come from: files, or a git ref.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// The file of the contract in a git ref, from the directory the program was started in.
const FILE_IN_REF: &str = "./schema.graphql";

/// Reads the version that clients know: a file if there is one of that name, else `schema.graphql` as of a git ref.
///
/// # Errors
/// If it is neither.
pub fn read_base(base: &str) -> anyhow::Result<String> {
    if Path::new(base).is_file() {
        return read_file(base);
    }
    if base.is_empty() || base.starts_with('-') {
        bail!("base {base:?} is neither a file nor a git ref");
    }
    let output = Command::new("git")
        .args(["show", "--end-of-options", &format!("{base}:{FILE_IN_REF}")])
        .output()
        .context("failed to start git")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("nothing").trim();
        bail!("base {base:?} is neither a file nor a git ref with a schema.graphql (git: {said})");
    }
    String::from_utf8(output.stdout).with_context(|| format!("base {base:?} is not UTF-8"))
}

/// Reads a version from a file.
///
/// # Errors
/// If it can not be read.
pub fn read_file(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))
}
