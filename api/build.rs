//! Puts the page's files, made by `make build` into `graphiql/dist`, into the program; or, where they have not been
//! made, a page that says so.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment where it works"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const DIST: &str = "graphiql/dist";
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Shop orders</title>\
    <p>This page was not built into the program: run <code>make build</code>. The endpoint itself is POST /graphql.</p></html>";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=graphiql"); // the folder around it: `dist` itself may not be there
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(DIST);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = files_of(&dist);
    if !files.iter().any(|(name, _)| name == "index.html") {
        println!("cargo:warning=the pages of the explorers are not built: run `make build`");
        let page = out.join("index.html");
        fs::write(&page, NOT_BUILT)?;
        files = ["index.html", "playground.html"]
            .map(|name| (name.to_owned(), page.clone()))
            .to_vec();
    }
    let mut code = String::from("&[\n");
    for (name, path) in files {
        let path = path.to_str().ok_or("a path is not Unicode")?;
        writeln!(code, "    ({name:?}, include_bytes!({path:?}) as &[u8]),")?;
    }
    code.push_str("]\n");
    fs::write(out.join("assets.rs"), code)?;
    Ok(())
}

/// The plain files of a folder, sorted, without hidden ones; none if there is no folder.
fn files_of(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    files.sort();
    files
}
