//! Puts the executable under a path per workload, so that attestation by path tells the processes apart.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::catalogue;

/// Why the paths could not be made.
#[derive(Debug, Error)]
#[error("cannot put the executable at `{}`", path.display())]
pub struct InstallError {
    /// The path that failed.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The executable, under all its names.
#[derive(Clone, Debug)]
pub struct Installed {
    bin: PathBuf,
}

impl Installed {
    /// The executable as [`install`] puts it into a data directory.
    pub(super) fn under(data_dir: &Path) -> Self {
        Self { bin: data_dir.join("bin") }
    }

    /// The path of a service or workload: `DATA/bin/acme-<name>`.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.bin.join(format!("acme-{name}"))
    }
}

/// Makes `DATA/bin/acme-<name>` for every service and every workload of the example organisation, each mode 0755 and
/// each a hard link to `exe`, or to one copy of it where `exe` lies on another file system or belongs to somebody else.
/// (A symbolic link would not do: the kernel resolves it, and every process would have the same path.) What an older
/// executable left there is replaced; processes that run it go on undisturbed.
///
/// # Errors
/// [`InstallError`] with the path that could not be made.
pub fn install(data_dir: &Path, exe: &Path) -> Result<Installed, InstallError> {
    let installed = Installed::under(data_dir);
    fs::create_dir_all(&installed.bin).map_err(failed(&installed.bin))?;
    let original = linkable(&installed.bin, exe)?;
    for name in catalogue::names() {
        let path = installed.path_of(name);
        place(&path, |fresh| fs::hard_link(&original, fresh)).map_err(failed(&path))?;
    }
    Ok(installed)
}

/// A file that hard links can be made to: `exe` itself, or a copy of it in `bin`.
fn linkable(bin: &Path, exe: &Path) -> Result<PathBuf, InstallError> {
    let of_exe = fs::metadata(exe).map_err(failed(exe))?;
    let probe = bin.join(".probe");
    remove_if_there(&probe).map_err(failed(&probe))?;
    let links = of_exe.permissions().mode() & 0o777 == 0o755 && fs::hard_link(exe, &probe).is_ok();
    remove_if_there(&probe).map_err(failed(&probe))?;
    if links {
        return Ok(exe.to_owned());
    }
    let copy = bin.join(".countersign");
    if !is_same_program(&of_exe, &copy) {
        place(&copy, |fresh| copy_program(exe, fresh, &of_exe)).map_err(failed(&copy))?;
    }
    Ok(copy)
}

/// Makes a file beside `path` and renames it over `path`, so that there is never half a file and never none.
fn place(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    remove_if_there(&fresh)?;
    make(&fresh)?;
    fs::rename(&fresh, path)?;
    // Renaming one link of a file over another link of the same file does nothing, and leaves both.
    remove_if_there(&fresh)
}

fn copy_program(from: &Path, to: &Path, of_from: &Metadata) -> io::Result<()> {
    fs::copy(from, to)?;
    let file = fs::File::options().write(true).open(to)?;
    file.set_modified(of_from.modified()?)?;
    file.set_permissions(Permissions::from_mode(0o755))
}

/// Whether a copy was made of just this program: same length, same time of change.
fn is_same_program(of_exe: &Metadata, copy: &Path) -> bool {
    fs::metadata(copy).is_ok_and(|of_copy| {
        of_copy.len() == of_exe.len()
            && (of_copy.mtime(), of_copy.mtime_nsec()) == (of_exe.mtime(), of_exe.mtime_nsec())
    })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> InstallError {
    move |source| InstallError { path: path.to_owned(), source }
}
