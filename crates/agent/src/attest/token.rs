//! Reading a projected token where the process sees it.
//!
//! The path is resolved inside the process's own root (`RESOLVE_IN_ROOT`): a symbolic link that it made leads nowhere
//! else, and certainly not to the tokens of other pods that lie on the same machine. What the process could not read
//! itself is not read for it. A pipe or a device does not hold the agent up: it is opened without waiting, and not read.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use types::limits;

use crate::pin::Pinned;
use crate::secret::Secret;

/// For everybody, for the group, for the owner.
const READ_BITS: [u32; 3] = [0o004, 0o040, 0o400];

/// The token's text, where the process has a file that can be one. `home` is its folder under `/proc`.
pub(crate) fn read(home: &Path, path: &Path, process: &Pinned, groups: &[u32]) -> Option<Secret> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(home.join("root"), directory, Mode::empty()).ok()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, path, flags, Mode::empty(), within).ok()?);
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !may_read(&metadata, process, groups) {
        return None;
    }
    let most = limits::PROJECTED_TOKEN_BYTES.default;
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= most).then(|| Secret::new(text))
}

/// As the kernel decides by the file's mode: the first class that fits counts, root may always.
fn may_read(metadata: &std::fs::Metadata, process: &Pinned, groups: &[u32]) -> bool {
    let [others, group, owner] = READ_BITS.map(|bit| metadata.mode() & bit != 0);
    let has_group = metadata.gid() == process.gid || groups.contains(&metadata.gid());
    match () {
        () if process.uid == 0 => true,
        () if metadata.uid() == process.uid => owner,
        () if has_group => group,
        () => others,
    }
}
