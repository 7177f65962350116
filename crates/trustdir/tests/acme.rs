//! The example organisation loads without a problem, and its tests pass.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use countersign_trustdir::{FileEntry, FileKind, Files, FilesError, line_column, load, node, run_tests};

struct Folder(PathBuf);

impl Folder {
    fn add(&self, folder: &Path, entries: &mut Vec<FileEntry>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add(&entry.path(), entries)?;
                continue;
            }
            let path = entry.path().strip_prefix(&self.0).map_err(io::Error::other)?.to_string_lossy().into_owned();
            let kind = if kind.is_symlink() { FileKind::Symlink } else { FileKind::Regular };
            entries.push(FileEntry { path, kind, size: entry.metadata()?.len() });
        }
        Ok(())
    }
}

impl Files for Folder {
    fn list(&self) -> Result<Vec<FileEntry>, FilesError> {
        let mut entries = Vec::new();
        self.add(&self.0, &mut entries).map_err(|error| FilesError(error.to_string()))?;
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        fs::read(self.0.join(path)).map_err(|error| FilesError(error.to_string()))
    }
}

fn acme() -> Folder {
    Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme"))
}

#[test]
fn the_example_organisation_loads_and_passes_its_tests() {
    let loaded = load(&acme());
    let told: Vec<_> = loaded
        .problems
        .iter()
        .map(|p| {
            let text = loaded.sources.get(&p.path).map(String::as_str).unwrap_or_default();
            let line = p.span.as_ref().map_or(0, |span| line_column(text, span.start).0);
            format!(
                "{:?} {} {}:{line} {} | {}",
                p.severity,
                p.code,
                p.path,
                p.message,
                p.hint.as_deref().unwrap_or("-")
            )
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    let revision = loaded.revision.expect("no problems");
    assert!(revision.domains().len() >= 4 && revision.services().len() >= 8 && revision.workloads().len() >= 10);
    let failed: Vec<_> = run_tests(&revision).into_iter().filter(|result| !result.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_example_node_is_read() {
    let revision = load(&acme()).revision.expect("a revision");
    let known = revision.domains().keys().cloned().collect();
    let text = String::from_utf8(acme().read("node.yaml").expect("node.yaml")).expect("UTF-8");
    let config = node::parse("node.yaml", &text, node::Kind::Up, Some(&known)).expect("no problems");
    assert!(!config.listeners.is_empty());
}
