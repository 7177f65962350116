//! The demo's directory: found, made, and removed with everything in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::admin_client::AdminClient;
use crate::env::Env;
use crate::exit::Failed;
use crate::paths;

/// The directory's name below the state directory.
const NAME: &str = "demo";
/// The file that says that the directory is a demo's and may be removed.
const MARKER: &str = "made-by-countersign-demo";
/// How long processes of a demo that was killed may take to end, and to let their files go.
const ENDING: Duration = Duration::from_secs(3);

/// The demo's data directory, removed with everything in it at the end.
pub struct Folder {
    path: PathBuf,
    /// The directory above it, where that was made for demos alone.
    above: Option<PathBuf>,
    /// Locked while the demo lives, so that another one does not take it for a dead one's.
    _marker: File,
}

impl Folder {
    /// Makes it below the state directory, or below the directory for temporary files where there is no state directory
    /// that can be written, after removing what a demo that was killed left behind.
    ///
    /// # Errors
    /// When a demo is running there already, or it cannot be made.
    pub fn make(env: &Env) -> Result<Self, Failed> {
        // a home that is not there, such as /nonexistent of system users, is not ours to make
        let is_home = env.state_home.is_some() || env.home.as_ref().is_some_and(|home| home.is_dir());
        let usable =
            |base: &PathBuf| is_home && fs::create_dir_all(base).is_ok() && is_writable(base) && fits(base).is_ok();
        match paths::state_base(env).ok().filter(usable) {
            Some(base) => Self::make_in(&base),
            None => {
                let base = temporary(env)?;
                let mut folder = Self::make_in(&base)?;
                folder.above = Some(base);
                Ok(folder)
            }
        }
    }

    fn make_in(base: &Path) -> Result<Self, Failed> {
        fits(base)?;
        let path = base.join(NAME);
        let failed = |error: io::Error| {
            Failed::new(format!("the demo's directory `{}` cannot be made: {error}", path.display()))
                .hint("set XDG_STATE_HOME to a directory that you may write to")
        };
        // INVARIANT: from here to the locked marker no other demo looks at the directory.
        let base = File::open(base).map_err(failed)?;
        flock(&base, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        if path.exists() {
            remove_old(&path)?;
        }
        fs::create_dir_all(&path).map_err(failed)?;
        let marker = File::create_new(path.join(MARKER)).map_err(failed)?;
        flock(&marker, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { path, above: None, _marker: marker })
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The trust directory inside.
    pub fn trust(&self) -> PathBuf {
        self.path.join("trust")
    }

    /// Writes the roots of a domain into a file, for those who have no Workload API to ask.
    ///
    /// # Errors
    /// When they cannot be had or written.
    pub async fn roots(&self, domain: &str) -> Result<PathBuf, Failed> {
        let roots = AdminClient::new(&self.path).bundle(domain).await?.roots;
        let path = self.path.join(format!("{domain}.pem"));
        let written = fs::write(&path, roots);
        written.map_err(|error| Failed::new(format!("`{}` cannot be written: {error}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the demo's directory stays behind");
        }
        if let Some(above) = &self.above {
            // another demo may be starting there
            let _ = fs::remove_dir(above);
        }
    }
}

fn fits(base: &Path) -> Result<(), Failed> {
    paths::check_socket_paths(&base.join(NAME))
}

fn is_writable(base: &Path) -> bool {
    rustix::fs::access(base, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// A directory of our own among the temporary files: nobody else's, and nobody else gets in.
fn temporary(env: &Env) -> Result<PathBuf, Failed> {
    let uid = rustix::process::geteuid().as_raw();
    let base = env.temporary.join(format!("countersign-{uid}"));
    let refused = |why: &str| {
        Failed::new(format!("there is no place for the demo: `{}` {why}", base.display()))
            .hint("set XDG_STATE_HOME to a directory that you may write to")
    };
    match fs::DirBuilder::new().mode(0o700).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(refused(&format!("cannot be made: {error}"))),
        _ => match fs::symlink_metadata(&base) {
            Ok(found) if found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0 => Ok(base),
            _ => Err(refused("is not ours alone")),
        },
    }
}

/// What a dead demo left is removed; what lives, or is not a demo's, is not touched.
fn remove_old(path: &Path) -> Result<(), Failed> {
    let shown = path.display();
    let Ok(marker) = File::open(path.join(MARKER)) else {
        return Err(Failed::new(format!("`{shown}` is there and was not made by a demo")).hint("move it away"));
    };
    if flock(&marker, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Failed::new("a demo is running already").hint(format!("stop it, or ask it: --data {shown}")));
    }
    remove(path).map_err(|error| Failed::new(format!("`{shown}` cannot be removed: {error}")))
}

/// Removes it, the marker last. Processes of a demo that was killed end by themselves, but may write until then.
fn remove(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + ENDING;
    loop {
        let emptied = fs::read_dir(path)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|entry| !entry.ends_with(MARKER))
            .try_for_each(|entry| if entry.is_dir() { fs::remove_dir_all(entry) } else { fs::remove_file(entry) });
        match emptied.and_then(|()| fs::remove_dir_all(path)) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            removed => return removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_made_and_removed_and_only_a_demos_own() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(NAME);
        let folder = Folder::make_in(state.path()).unwrap();
        fs::write(path.join("left"), "").unwrap();
        assert_eq!(Folder::make_in(state.path()).err().unwrap().message.unwrap(), "a demo is running already");
        let killed = std::mem::ManuallyDrop::new(folder);
        flock(&killed._marker, FlockOperation::Unlock).unwrap();
        let folder = Folder::make_in(state.path()).unwrap();
        assert!(!path.join("left").exists(), "what a killed demo left is removed");
        fs::write(state.path().join("mine"), "").unwrap();
        drop(folder);
        assert!(!path.exists() && state.path().join("mine").exists());
        fs::create_dir(&path).unwrap();
        let error = Folder::make_in(state.path()).err().unwrap();
        assert!(error.message.unwrap().ends_with("was not made by a demo"));
        assert!(path.exists());
    }

    #[test]
    fn of_demos_that_start_together_one_runs() {
        let state = tempfile::tempdir().unwrap();
        let made: Vec<Result<Folder, String>> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| Folder::make_in(state.path()).map_err(|failed| failed.message.unwrap()));
            let started: Vec<_> = std::iter::repeat_with(start).take(8).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        assert!(made.iter().filter_map(|made| made.as_ref().err()).all(|words| words == "a demo is running already"));
    }

    #[test]
    fn without_a_home_it_is_made_among_the_temporary_files_where_nobody_else_gets_in() {
        let place = tempfile::tempdir().unwrap();
        let nowhere = Some(place.path().join("nonexistent"));
        let env = Env { home: nowhere, temporary: place.path().to_owned(), ..Env::default() };
        let folder = Folder::make(&env).unwrap();
        let base = folder.path().parent().unwrap().to_owned();
        assert!(base.starts_with(place.path()));
        assert_eq!(fs::metadata(&base).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!base.exists() && !place.path().join("nonexistent").exists(), "nothing stays");
        fs::create_dir(&base).unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Folder::make(&env).err().unwrap().message.unwrap().ends_with("is not ours alone"));
        fs::remove_dir(&base).unwrap();
        std::os::unix::fs::symlink(place.path(), &base).unwrap();
        assert!(Folder::make(&env).is_err(), "a link could lead anywhere");
    }
}
