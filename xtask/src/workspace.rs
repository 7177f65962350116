//! What the commands know about the tree they run in: its root, its files, and cargo's view of its packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// One text file that is or will be committed.
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

/// The root of the workspace: the nearest folder upwards that holds xtask.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current directory")?;
    let found = here.ancestors().find(|folder| folder.join("xtask/Cargo.toml").is_file());
    found.map(Path::to_path_buf).with_context(|| format!("`{}` is not inside the workspace", here.display()))
}

/// Every text file that git tracks or would add. Binary files are left out.
pub fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    let listed = output(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(path);
        // a file deleted but still in git's index, or a link into nowhere, is no text
        let Ok(bytes) = fs::read(&full) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    ensure!(!files.is_empty(), "git lists no files in `{}`", root.display());
    Ok(files)
}

/// Runs a command in `root` and returns what it printed on standard output.
pub fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let command = || format!("{program} {}", arguments.join(" "));
    let ran = Command::new(program).args(arguments).current_dir(root).output();
    let ran = ran.with_context(|| format!("cannot run `{}`", command()))?;
    if !ran.status.success() {
        bail!("`{}` failed: {}", command(), String::from_utf8_lossy(&ran.stderr).trim());
    }
    String::from_utf8(ran.stdout).with_context(|| format!("`{}` printed something that is not UTF-8", command()))
}

/// The part of `cargo metadata` that the checks read.
#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    pub resolve: Resolve,
}

/// A package of the lockfile, ours or not.
#[derive(Deserialize, Clone)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub manifest_path: PathBuf,
}

/// The resolved graph.
#[derive(Deserialize)]
pub struct Resolve {
    pub nodes: Vec<Node>,
}

/// One package's dependencies.
#[derive(Deserialize)]
pub struct Node {
    pub id: String,
    pub deps: Vec<Dependency>,
}

/// An edge of the graph.
#[derive(Deserialize)]
pub struct Dependency {
    pub pkg: String,
    pub dep_kinds: Vec<DependencyKind>,
}

/// Why an edge exists: `None` normal, `dev` or `build`.
#[derive(Deserialize)]
pub struct DependencyKind {
    pub kind: Option<String>,
}

impl Dependency {
    /// Whether the product itself uses it, not only tests or build scripts.
    pub fn is_normal(&self) -> bool {
        self.dep_kinds.iter().any(|kind| kind.kind.is_none())
    }
}

impl Metadata {
    /// Reads the graph of all features for the platform that Countersign supports.
    pub fn load(root: &Path) -> Result<Self> {
        let arguments =
            ["metadata", "--format-version=1", "--all-features", "--filter-platform=x86_64-unknown-linux-gnu"];
        let text = output(root, "cargo", &arguments)?;
        serde_json::from_str(&text).context("cannot read what `cargo metadata` printed")
    }

    /// The package with this id.
    pub fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The dependencies of one package.
    pub fn dependencies(&self, id: &str) -> &[Dependency] {
        self.resolve.nodes.iter().find(|node| node.id == id).map_or(&[], |node| &node.deps)
    }
}
