//! A publication on its way: which files are missing, which have come, and the work of compiling and keeping it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use api::{
    protocol::refusals,
    wire::{self, Entry, Signed},
};
use prost::Message;
use trustdir::{MemoryFiles, Problem, Revision};
use types::{Label, Timestamp, limits};

use super::{
    held::{Manifest, Publication, Refused, Served},
    shelf::{Shelf, digest_of},
};
use crate::fact::Fact;

/// The name of the file on the disk.
pub(super) const NAME: &str = "publication";

/// A publication whose files are being gathered.
#[derive(Clone)]
pub(super) struct Assembly {
    pub(super) fact: Fact,
    pub(super) signed: Signed,
    pub(super) files: Manifest,
    pub(super) served: Served,
    /// When its manifest came.
    pub(super) at: Timestamp,
    missing: BTreeSet<[u8; 32]>,
    /// What came over the wire and is not on the disk.
    fresh: BTreeMap<[u8; 32], Arc<Vec<u8>>>,
    /// Bytes of it.
    bytes: usize,
    /// What it made, once it compiled; writing it may have to be tried again.
    compiled: Arc<OnceLock<Arc<Revision>>>,
}

/// A publication as it lies on the disk.
#[derive(Clone, PartialEq, Message)]
struct OnDisk {
    #[prost(message, optional, tag = "1")]
    manifest: Option<wire::Manifest>,
    #[prost(bool, tag = "2")]
    every_domain: bool,
    #[prost(string, repeated, tag = "3")]
    domains: Vec<String>,
}

impl Assembly {
    /// Begins; `there` are the contents that the disk holds, and what an earlier attempt got is used again.
    pub(super) fn new(
        fact: Fact,
        signed: Signed,
        files: Manifest,
        served: Served,
        at: Timestamp,
        there: &BTreeSet<[u8; 32]>,
        earlier: Option<&Self>,
    ) -> Self {
        let needed: BTreeSet<[u8; 32]> = files.values().filter(|file| !file.withheld).map(|file| file.sha256).collect();
        let mut fresh = earlier.map(|earlier| earlier.fresh.clone()).unwrap_or_default();
        fresh.retain(|sha256, _| needed.contains(sha256));
        let missing = needed.into_iter().filter(|sha256| !there.contains(sha256) && !fresh.contains_key(sha256));
        let (missing, bytes) = (missing.collect(), fresh.values().map(|content| content.len()).sum());
        Self { fact, signed, files, served, at, missing, fresh, bytes, compiled: Arc::default() }
    }

    /// What to ask for.
    pub(super) fn wanted(&self) -> Vec<Vec<u8>> {
        self.missing.iter().map(|sha256| sha256.to_vec()).collect()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether a content is still missing.
    pub(super) fn wants(&self, sha256: &[u8; 32]) -> bool {
        self.missing.contains(sha256)
    }

    /// Takes a file that was wanted.
    pub(super) fn take(&mut self, sha256: [u8; 32], content: Vec<u8>) -> Result<(), Refused> {
        if digest_of(&content) != sha256 {
            return Err(Refused::new(refusals::CONTENT, "a file's content is not the one that was signed"));
        }
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > limits::DIRECTORY_BYTES.default_usize() {
            return Err(Refused::new(refusals::TOO_LARGE, "its files are larger than `directory_bytes`"));
        }
        self.missing.remove(&sha256);
        self.fresh.insert(sha256, Arc::new(content));
        Ok(())
    }

    /// The contents that are on the disk now. Some that were there when this began may be gone.
    pub(super) fn check(&mut self, there: &BTreeSet<[u8; 32]>) {
        let needed = self.files.values().filter(|file| !file.withheld).map(|file| file.sha256);
        let lost = needed.filter(|sha256| !there.contains(sha256) && !self.fresh.contains_key(sha256));
        self.missing.extend(lost.collect::<Vec<_>>());
    }

    /// Compiles the files, and keeps them. Blocks; what it refuses is not in force and not kept. `running` is what is in force
    /// and for which domains it was compiled.
    pub(super) fn finish(
        &self,
        shelf: Option<&Shelf>,
        running: Option<(&Arc<Revision>, &Served)>,
    ) -> Result<Publication, Refused> {
        let is_same = |(revision, served): &(&Arc<Revision>, &Served)| {
            revision.id().digest() == self.fact.digest() && **served == self.served
        };
        let revision = match running.filter(is_same) {
            Some((running, _)) => Arc::clone(running),
            None => self.compile_once(shelf)?,
        };
        if let Some(shelf) = shelf {
            self.keep(shelf, &revision)
                .map_err(|error| Refused::new(refusals::NOT_KEPT, format!("it cannot be kept on the disk: {error}")))?;
        }
        Ok(self.publication(revision))
    }

    /// Compiles what the disk holds. Blocks.
    pub(super) fn restore(&self, shelf: &Shelf) -> Result<Publication, Refused> {
        Ok(self.publication(self.compile(Some(shelf))?))
    }

    fn publication(&self, revision: Arc<Revision>) -> Publication {
        Publication {
            fact: self.fact.clone(),
            signed: self.signed.clone(),
            files: self.files.clone(),
            served: self.served.clone(),
            revision,
        }
    }

    fn compile_once(&self, shelf: Option<&Shelf>) -> Result<Arc<Revision>, Refused> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(Arc::clone(compiled));
        }
        let revision = self.compile(shelf)?;
        Ok(Arc::clone(self.compiled.get_or_init(|| revision)))
    }

    fn compile(&self, shelf: Option<&Shelf>) -> Result<Arc<Revision>, Refused> {
        let mut present = MemoryFiles::default();
        for (path, file) in self.files.iter().filter(|(_, file)| !file.withheld) {
            let fresh = self.fresh.get(&file.sha256).map(|content| content.to_vec());
            let content = fresh.or_else(|| shelf.and_then(|shelf| shelf.blob(&file.sha256)));
            let lost = || Refused::new(refusals::CONTENT, format!("the file `{path}` that was kept cannot be read"));
            present.insert(path.as_str(), content.ok_or_else(lost)?);
        }
        let digests = self.files.iter().map(|(path, file)| (path.clone(), file.sha256)).collect();
        trustdir::part::load_part(&present, &digests, self.served.as_ref())
            .map_err(|problems| Refused::new(refusals::INVALID, told(&problems)))
    }

    fn keep(&self, shelf: &Shelf, revision: &Revision) -> std::io::Result<()> {
        shelf.keep_blobs(&self.fresh)?;
        shelf.keep(NAME, &self.encode())?;
        let needed = self.files.values().map(|file| file.sha256).collect();
        let domains = revision.domains().keys().map(|domain| domain.as_str().to_owned()).collect();
        shelf.forget(&needed, &domains);
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let entry = |(path, file): (&String, &super::held::File)| Entry {
            path: path.clone(),
            sha256: file.sha256.to_vec(),
            withheld: file.withheld,
        };
        let entries = self.files.iter().map(entry).collect();
        let manifest = wire::Manifest { publication: Some(self.signed.clone()), base: Vec::new(), entries };
        let domains = self.served.iter().flatten().map(|domain| domain.as_str().to_owned()).collect();
        OnDisk { manifest: Some(manifest), every_domain: self.served.is_none(), domains }.encode_to_vec()
    }
}

/// Reads what [`Assembly::finish`] kept: a whole manifest, still to be verified, and the domains that may be served.
pub(super) fn decode(content: &[u8]) -> Option<(wire::Manifest, Served)> {
    let kept = OnDisk::decode(content).ok()?;
    let domains = kept.domains.iter().map(|domain| Label::parse(domain).ok()).collect::<Option<_>>()?;
    Some((kept.manifest?, (!kept.every_domain).then_some(domains)))
}

/// The first problems, for an operator.
fn told(problems: &[Problem]) -> String {
    let most = limits::TOLD_PROBLEMS.default_usize();
    let lines = problems.iter().take(most).map(|problem| format!("{}: {}", problem.path, problem.message));
    let mut told = lines.collect::<Vec<_>>().join("; ");
    if problems.len() > most {
        told = format!("{told}; and {} more", problems.len() - most);
    }
    format!("it does not compile here: {told}")
}
