//! Where a trust directory comes from, and which of its files belong to it.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use types::{Label, limits};

use crate::{
    problem::{Problem, Sink, Text, quote},
    revision_id, suggest,
};

/// A folder of files, wherever it lies: on disk, in memory, in a store.
pub trait Files {
    /// All files below the folder, in any order. What lies in a folder whose name starts with a dot may be left out.
    /// A symbolic link is listed as one and never followed.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    fn list(&self) -> Result<Vec<FileEntry>, FilesError>;

    /// The content of one regular file that [`Files::list`] named.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError>;
}

/// One file of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Below the folder, with `/` between its parts, never starting with one.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes, as far as known; what is read is measured again.
    pub size: u64,
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A symbolic link, to a file or to a folder.
    Symlink,
    /// A device, a socket, a pipe, or a name that is not UTF-8.
    Other,
}

/// Why a folder or file could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct FilesError(
    /// In words, such as the operating system's.
    pub String,
);

/// A trust directory in memory: for tests, for the starter, for what was received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryFiles(BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    /// From paths and contents.
    pub fn new<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Self {
        Self(files.into_iter().map(|(path, content)| (path.into(), content.into())).collect())
    }

    /// Adds a file or replaces its content.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), content.into());
    }

    /// Takes a file out.
    pub fn remove(&mut self, path: &str) -> Option<Vec<u8>> {
        self.0.remove(path)
    }

    /// The files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }
}

impl Files for MemoryFiles {
    fn list(&self) -> Result<Vec<FileEntry>, FilesError> {
        let entry = |(path, content): (&str, &[u8])| {
            let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
            FileEntry { path: path.to_owned(), kind: FileKind::Regular, size }
        };
        Ok(self.iter().map(entry).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        self.0.get(path).cloned().ok_or_else(|| FilesError("there is no such file".to_owned()))
    }
}

/// The files that make a revision.
#[derive(Default)]
pub(crate) struct Collected {
    /// The text of every file, by path.
    pub(crate) texts: BTreeMap<String, Text>,
    /// What each file is for, by path.
    pub(crate) places: BTreeMap<String, Place>,
    /// SHA-256 of every file's content, by path.
    pub(crate) digests: BTreeMap<String, [u8; 32]>,
    /// What is there but was not read; that is reported.
    pub(crate) refused: BTreeSet<String>,
    /// The directory was not read at all; that is reported.
    pub(crate) is_unread: bool,
}

impl Collected {
    /// Whether something stands at a path, read or refused.
    pub(crate) fn is_there(&self, path: &str) -> bool {
        self.texts.contains_key(path) || self.refused.contains(path)
    }

    /// Whether a file that is missing may be a refused one: something with a similar name stands in the same `folder`.
    pub(crate) fn may_be_refused(&self, path: &str, folder: &str) -> bool {
        let beside = self.refused.iter().map(String::as_str).filter(|refused| refused.starts_with(folder));
        self.refused.contains(path) || suggest::nearest(path, beside).is_some()
    }

    /// The texts, for excerpts.
    pub(crate) fn into_sources(self) -> BTreeMap<String, String> {
        self.texts.into_iter().map(|(path, text)| (path, text.into_string())).collect()
    }
}

/// What a file of the trust directory is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Organisation,
    Guardrail,
    Admin,
    Domain(Label),
    Policy(Label),
    Api(Label),
    Test(Label),
    /// A first bundle of a federated trust domain, or the roots of its endpoint.
    Federation,
}

/// Reads everything that belongs to a revision; reports what should not be there.
pub(crate) fn collect(files: &impl Files, sink: &Sink) -> Collected {
    let mut collected = Collected::default();
    let mut entries = match files.list() {
        Ok(entries) => entries,
        Err(error) => {
            sink.push(Problem::error("file.unreadable", "", format!("the directory cannot be listed: {error}")));
            collected.is_unread = true;
            return collected;
        }
    };
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries.retain(|entry| !is_ignored(&entry.path));
    let most = limits::DIRECTORY_FILES.default_usize();
    if entries.len() > most {
        let message = format!("the directory holds {} files; at most {most} are read", entries.len());
        sink.push(Problem::error("file.too-many", "", message));
        collected.is_unread = true;
        return collected;
    }
    let mut room = limits::DIRECTORY_BYTES.default;
    for entry in entries {
        let read = accept(&entry, sink).and_then(|place| Some((place, read_text(files, &entry, &mut room, sink)?)));
        let Some((place, (digest, text))) = read else {
            collected.refused.insert(entry.path);
            continue;
        };
        collected.places.insert(entry.path.clone(), place);
        collected.digests.insert(entry.path.clone(), digest);
        collected.texts.insert(entry.path, Text::new(text));
    }
    collected
}

/// Not part of a revision: the node's own file, words for people, and whatever starts with a dot (`.git`).
pub fn is_ignored(path: &str) -> bool {
    path == "node.yaml" || path.ends_with(".md") || path.split('/').any(|part| part.starts_with('.') && part != "..")
}

fn accept(entry: &FileEntry, sink: &Sink) -> Option<Place> {
    let refuse = |code, message: &str, hint: &str| {
        sink.push(Problem::error(code, &entry.path, message).hint(hint));
        None
    };
    match entry.kind {
        FileKind::Regular => {}
        FileKind::Symlink => return refuse("file.symlink", "this is a symbolic link", "put the file itself here"),
        FileKind::Other => return refuse("file.kind", "this is not a regular file", "remove it"),
    }
    let place = place(&entry.path);
    if place.is_none() {
        return refuse("file.unexpected", "this file has no place in a trust directory", &what_may_stand(&entry.path));
    }
    place
}

/// What a path stands for; `None` where nothing may stand there.
pub(crate) fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.split('/').collect();
    let named = |name: &str, extensions: &[&str]| {
        name.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && extensions.contains(&extension))
    };
    match parts.as_slice() {
        ["countersign.yaml"] => Some(Place::Organisation),
        ["admin.cedar"] => Some(Place::Admin),
        ["policies", name] if named(name, &["cedar"]) => Some(Place::Guardrail),
        ["federation", name] if named(name, &["json", "pem"]) => Some(Place::Federation),
        ["domains", domain, rest @ ..] => {
            let domain = Label::parse(domain).ok()?;
            match rest {
                ["domain.yaml"] => Some(Place::Domain(domain)),
                ["policies", name] if named(name, &["cedar"]) => Some(Place::Policy(domain)),
                ["apis", name] if named(name, &["yaml", "yml", "json"]) => Some(Place::Api(domain)),
                ["tests", name] if named(name, &["yaml"]) => Some(Place::Test(domain)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn what_may_stand(path: &str) -> String {
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("domains"), Some(domain), Some(_)) if Label::parse(domain).is_err() => {
            format!(
                "{} is not a name for a domain: use 1 to 63 of a-z, 0-9 and dash, starting with a letter",
                quote(domain)
            )
        }
        (Some("domains"), Some(_), Some(_)) => "a domain's folder holds `domain.yaml`, `policies/*.cedar`, \
             `apis/*.yaml`, `apis/*.yml`, `apis/*.json` and `tests/*.yaml`; `*.md` is ignored"
            .to_owned(),
        (Some("domains"), ..) => "`domains` holds one folder for each domain".to_owned(),
        (Some("policies"), ..) => "`policies` holds `*.cedar` files, in no folders".to_owned(),
        (Some("federation"), ..) => {
            "`federation` holds bundles, `*.json`, and roots, `*.pem`, in no folders".to_owned()
        }
        _ => "a trust directory holds `countersign.yaml`, `admin.cedar`, `policies/*.cedar`, `federation/*` and \
             `domains/NAME/`; `node.yaml` and `*.md` are ignored"
            .to_owned(),
    }
}

fn read_text(files: &impl Files, entry: &FileEntry, room: &mut u64, sink: &Sink) -> Option<([u8; 32], String)> {
    let fail = |code, message: String| {
        sink.push(Problem::error(code, &entry.path, message));
        None
    };
    let most = limits::FILE_BYTES.default;
    let too_large = || fail("file.too-large", format!("the file is larger than {most} bytes"));
    if entry.size > most {
        return too_large();
    }
    let content = match files.read(&entry.path) {
        Ok(content) => content,
        Err(error) => return fail("file.unreadable", format!("the file cannot be read: {error}")),
    };
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if size > most {
        return too_large();
    }
    let Some(rest) = room.checked_sub(size) else {
        let all = limits::DIRECTORY_BYTES.default;
        return fail("file.too-large", format!("with this file the directory is larger than {all} bytes"));
    };
    *room = rest;
    let digest = revision_id::sha256(&content);
    match String::from_utf8(content) {
        Ok(text) => Some((digest, text)),
        Err(_) => fail("file.not-text", "the file is not UTF-8 text".to_owned()),
    }
}
