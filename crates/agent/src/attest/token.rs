//! Reading a projected token where the process sees it, and only what it could read there itself.
//!
//! The agent may read far more than the process, and must not be its deputy. So the path is walked as the kernel would walk
//! it for the process: links lead nowhere but inside its own root, and each folder on the way must let it pass. Whoever
//! makes namespaces of their own may put a link anywhere, but gets no further with it than on foot.
//!
//! What is found is looked at before it is opened: a pipe does not hold the agent up, and a device is not woken.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat, readlinkat};
use types::limits;

use crate::pin::Pinned;
use crate::secret::Secret;

/// Folders and links on the way; a projected volume in a usual image has ten.
const STEPS: usize = 64;

/// For everybody, for the group, for the owner.
const READ_BITS: [u32; 3] = [0o004, 0o040, 0o400];
const PASS_BITS: [u32; 3] = [0o001, 0o010, 0o100];

/// The token's text, where the process has a file that can be one. `home` is its folder under `/proc`.
pub(crate) fn read(home: &Path, path: &Path, process: &Pinned, groups: &[u32]) -> Option<Secret> {
    let found = Walk { process, groups }.find(&home.join("root"), path)?;
    // By its handle: whatever has the name now, this is the file that was looked at.
    let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    let most = limits::PROJECTED_TOKEN_BYTES.default;
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= most).then(|| Secret::new(text))
}

/// A process on its way through its own file system.
struct Walk<'a> {
    process: &'a Pinned,
    groups: &'a [u32],
}

impl Walk<'_> {
    /// A handle of the regular file at `path` inside `root`, not opened for reading, if the process may read it.
    fn find(&self, root: &Path, path: &Path) -> Option<File> {
        let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The folders from the root down to where the walk is; the root is never left.
        let mut way: Vec<File> = vec![open(root, directory, Mode::empty()).ok()?.into()];
        let mut names = names(path)?;
        for _ in 0..STEPS {
            let name = names.pop_front()?;
            if name == ".." {
                way.truncate(way.len().saturating_sub(1).max(1));
                continue;
            }
            let here = way.last().filter(|here| self.may(here, PASS_BITS))?;
            let next: File = openat(here, &name, handle, Mode::empty()).ok()?.into();
            let kind = next.metadata().ok()?.file_type();
            if kind.is_symlink() {
                let target = link(&next)?;
                if target.has_root() {
                    way.truncate(1);
                }
                names = self::names(&target)?.into_iter().chain(names).collect();
            } else if kind.is_dir() {
                way.push(next);
            } else {
                let is_token = kind.is_file() && names.is_empty() && self.may(&next, READ_BITS);
                return is_token.then_some(next);
            }
        }
        None
    }

    fn may(&self, file: &File, bits: [u32; 3]) -> bool {
        file.metadata().is_ok_and(|metadata| self.has(&metadata, bits))
    }

    /// As the kernel decides by a file's mode: the first class that fits counts, root may always.
    fn has(&self, metadata: &Metadata, bits: [u32; 3]) -> bool {
        let [others, group, owner] = bits.map(|bit| metadata.mode() & bit != 0);
        let has_group = metadata.gid() == self.process.gid || self.groups.contains(&metadata.gid());
        match () {
            () if self.process.uid == 0 => true,
            () if metadata.uid() == self.process.uid => owner,
            () if has_group => group,
            () => others,
        }
    }
}

/// The names of a path, one after another. Its root is where the walk starts, or starts anew.
fn names(path: &Path) -> Option<VecDeque<OsString>> {
    let name = |component| match component {
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Normal(name) => Some(name.to_owned()),
        Component::Prefix(prefix) => Some(prefix.as_os_str().to_owned()),
    };
    let names: VecDeque<_> = path.components().filter_map(name).take(STEPS + 1).collect();
    (names.len() <= STEPS).then_some(names)
}

/// Where a link says that it leads. The kernel's own links under `/proc` are read as text too, and lead nowhere special.
fn link(link: &File) -> Option<PathBuf> {
    let target = readlinkat(link, "", Vec::new()).ok()?;
    Some(OsString::from_vec(target.into_bytes()).into())
}
