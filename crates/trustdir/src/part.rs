//! Revisions as they travel: by manifest and file, to enforcers that are given what they serve and no more.
//!
//! A manifest names every file of a revision by its SHA-256, and the revision is named after the manifest. So an enforcer
//! that holds a part of the files knows that they are of the revision that was published, and cannot be handed others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use types::{Label, RevisionId, limits};

use crate::{
    files::{Files, FilesError, MemoryFiles, Place, collect, is_ignored, place},
    load::{Served, build},
    problem::{Problem, Sink, quote},
    revision::Revision,
    revision_id,
};

/// SHA-256 of every file of a revision, by path.
pub type Manifest = BTreeMap<String, [u8; 32]>;

/// The manifest of files. What is no part of a revision is left out.
///
/// # Errors
/// Where the files cannot be listed or read.
pub fn manifest_of(files: &impl Files) -> Result<Manifest, FilesError> {
    let entries = files.list()?.into_iter().filter(|entry| !is_ignored(&entry.path));
    entries.map(|entry| Ok((revision_id::sha256(&files.read(&entry.path)?), entry.path))).map(swap).collect()
}

fn swap(read: Result<([u8; 32], String), FilesError>) -> Result<(String, [u8; 32]), FilesError> {
    read.map(|(digest, path)| (path, digest))
}

/// The name of the revision that a manifest makes.
pub fn revision_id_of(manifest: &Manifest) -> RevisionId {
    revision_id::of(manifest)
}

/// Whether an enforcer that serves these domains is not given this file. One that serves all of them (`None`) is given
/// every file. One that serves some is given `countersign.yaml` with the files of `federation`, the guardrails, every `domain.yaml`, since
/// consent has two sides, and of the domains it serves the policies and API descriptions.
pub fn withheld(path: &str, served: Option<&BTreeSet<Label>>) -> bool {
    let Some(served) = served else { return false };
    match place(path) {
        Some(Place::Organisation | Place::Guardrail | Place::Domain(_) | Place::Federation) => false,
        Some(Place::Policy(domain) | Place::Api(domain)) => !served.contains(&domain),
        Some(Place::Admin | Place::Test(_)) | None => true,
    }
}

/// Makes a revision of the files that an enforcer was given. It has the name that the manifest makes, whatever part of it
/// is here. Of a domain that is not served there is no route and no policy, so every call to it is refused; its name, its
/// hosts, its workloads and its consent are as in the whole.
///
/// # Errors
/// Every problem: a file that is not the one that the manifest names, one that is missing or not named, and whatever
/// [`crate::load`] finds.
pub fn load_part(
    files: &impl Files,
    manifest: &Manifest,
    served: Option<&BTreeSet<Label>>,
) -> Result<Arc<Revision>, Vec<Problem>> {
    let sink = Sink::default();
    let verified = verify(files, manifest, served, &sink);
    let revision = verified.filter(|_| !sink.has_errors()).and_then(|files| {
        let collected = collect(&files, &sink);
        let served = served.map_or(Served::All, Served::Only);
        if collected.is_unread { None } else { build(&collected, revision_id_of(manifest), served, &sink) }
    });
    match revision {
        Some(revision) if !sink.has_errors() => Ok(Arc::new(revision)),
        _ => Err(sink.into_problems()),
    }
}

/// The files that an enforcer of these domains works with, each held against the manifest.
fn verify(
    files: &impl Files,
    manifest: &Manifest,
    served: Option<&BTreeSet<Label>>,
    sink: &Sink,
) -> Option<MemoryFiles> {
    let most = limits::DIRECTORY_FILES.default_usize();
    if manifest.len() > most {
        let message = format!("the manifest names {} files; at most {most} are read", manifest.len());
        sink.push(Problem::error("part.too-many", "", message));
        return None;
    }
    for path in manifest.keys().filter(|path| is_ignored(path) || place(path).is_none()) {
        sink.push(Problem::error("part.path", path, format!("{} has no place in a revision", quote(path))));
    }
    let present = match files.list() {
        Ok(entries) => entries,
        Err(error) => {
            sink.push(Problem::error("file.unreadable", "", format!("the files cannot be listed: {error}")));
            return None;
        }
    };
    let mut verified = MemoryFiles::default();
    let mut missing: BTreeSet<&str> =
        manifest.keys().map(String::as_str).filter(|path| !withheld(path, served)).collect();
    for entry in present.iter().filter(|entry| !is_ignored(&entry.path)) {
        missing.remove(entry.path.as_str());
        let content =
            manifest.get(&entry.path).and_then(|digest| content(files, &entry.path, entry.size, digest, sink));
        if !manifest.contains_key(&entry.path) {
            let message = "the manifest of the revision does not name this file";
            sink.push(Problem::error("part.unexpected", &entry.path, message));
        }
        if let Some(content) = content.filter(|_| !withheld(&entry.path, served)) {
            verified.insert(entry.path.clone(), content);
        }
    }
    for path in missing {
        sink.push(Problem::error(
            "part.missing",
            path,
            "the manifest of the revision names this file, and it is not here",
        ));
    }
    Some(verified)
}

/// The content of a file, where it is the one that the manifest names.
fn content(files: &impl Files, path: &str, size: u64, digest: &[u8; 32], sink: &Sink) -> Option<Vec<u8>> {
    let refuse = |code, message: String| {
        sink.push(Problem::error(code, path, message));
        None
    };
    let most = limits::FILE_BYTES.default;
    if size > most {
        return refuse("file.too-large", format!("the file is larger than {most} bytes"));
    }
    match files.read(path) {
        Ok(content) if revision_id::sha256(&content) == *digest => Some(content),
        Ok(_) => refuse("part.digest", "the file is not the one that was published: its SHA-256 is another".to_owned()),
        Err(error) => refuse("file.unreadable", format!("the file cannot be read: {error}")),
    }
}
