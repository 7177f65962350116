//! A folder on disk as the source of a trust directory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use trustdir::{FileEntry, FileKind, Files, FilesError};
use types::limits;

/// A folder on disk. Symbolic links are listed and never followed; folders whose names start with a dot are left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirFiles {
    root: PathBuf,
}

impl DirFiles {
    /// Nothing is opened yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Adds what stands in one folder, in order of names, until there is more than will be read.
    fn walk(&self, below: &str, depth: usize, found: &mut Vec<FileEntry>) -> Result<(), FilesError> {
        let folder = self.root.join(below);
        let shown = if below.is_empty() { folder.display().to_string() } else { below.to_owned() };
        let failed = |error: io::Error| FilesError(format!("`{shown}`: {error}"));
        let most = limits::FOLDER_DEPTH.default_usize();
        if depth > most {
            return Err(FilesError(format!("`{shown}` is more than {most} folders deep")));
        }
        let mut entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            let path = join(below, &name.to_string_lossy());
            if kind.is_dir() {
                if !name.as_encoded_bytes().starts_with(b".") {
                    self.walk(&path, depth.saturating_add(1), found)?;
                }
                continue;
            }
            let size = entry.metadata().map_err(failed)?.len();
            let kind = match name.to_str() {
                _ if kind.is_symlink() => FileKind::Symlink,
                Some(_) if kind.is_file() => FileKind::Regular,
                _ => FileKind::Other,
            };
            found.push(FileEntry { path, kind, size });
            if found.len() > limits::DIRECTORY_FILES.default_usize() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The texts of a folder as they go into a publication: every file that belongs to a revision or might, by path.
///
/// # Errors
/// When the folder or a file cannot be read, is a symbolic link or is no text: what `check` would tell of it.
pub fn texts(dir: &Path) -> Result<BTreeMap<String, String>, FilesError> {
    let files = DirFiles::new(dir);
    let mut texts = BTreeMap::new();
    for FileEntry { path, kind, .. } in files.list()?.into_iter().filter(|entry| !is_ignored(&entry.path)) {
        if kind != FileKind::Regular {
            return Err(FilesError(format!("`{path}` is not a regular file")));
        }
        let failed = |what: String| FilesError(format!("`{path}`: {what}"));
        let content = files.read(&path).map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8(content).map_err(|_| failed("it is not UTF-8 text".to_owned()))?;
        texts.insert(path, text);
    }
    Ok(texts)
}

/// What a revision never holds: the node's own file, words for people, and whatever starts with a dot.
fn is_ignored(path: &str) -> bool {
    path == "node.yaml" || path.ends_with(".md") || path.split('/').any(|part| part.starts_with('.'))
}

fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

impl Files for DirFiles {
    fn list(&self) -> Result<Vec<FileEntry>, FilesError> {
        let mut found = Vec::new();
        self.walk("", 0, &mut found)?;
        Ok(found)
    }

    /// Reads one byte more than a file may have, so that the reader sees that it is too long.
    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        read_bounded(&self.root.join(path)).map_err(|error| FilesError(error.to_string()))
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // a link or a pipe that took the file's place since it was listed is not followed and not waited for
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(limits::FILE_BYTES.default.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_in_order_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("domains/hr")).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        for path in ["countersign.yaml", "domains/hr/domain.yaml", ".git/config", "b"] {
            fs::write(dir.path().join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let files = DirFiles::new(dir.path());
        let listed: Vec<_> = files.list().unwrap().into_iter().map(|entry| (entry.path, entry.kind)).collect();
        assert_eq!(
            listed,
            [
                ("b".to_owned(), FileKind::Regular),
                ("countersign.yaml".to_owned(), FileKind::Regular),
                ("domains/hr/domain.yaml".to_owned(), FileKind::Regular),
                ("etc".to_owned(), FileKind::Symlink),
            ]
        );
        assert_eq!(files.read("domains/hr/domain.yaml").unwrap(), b"domains/hr/domain.yaml");
        std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
        assert!(files.read("link").is_err());
        assert!(files.read("domains").is_err());
        assert!(files.read("nothing").is_err());
    }

    #[test]
    fn of_a_file_that_is_too_long_one_byte_more_than_allowed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let length = limits::FILE_BYTES.default_usize();
        fs::write(dir.path().join("big"), vec![b'x'; length + 100]).unwrap();
        assert_eq!(DirFiles::new(dir.path()).read("big").unwrap().len(), length + 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_in_words() {
        let error = DirFiles::new("/nowhere/at/all").list().unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
