//! The data directory: made where it is missing, and known to be usable before anything is opened in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::exit::Failed;
use crate::paths;

/// Others may pass through to the workload socket; each thing inside guards itself.
const MODE: u32 = 0o711;

/// Makes the directory, and sees whether something can be written there.
///
/// # Errors
/// One message with what to do.
pub fn prepare(data: &Path) -> Result<(), Failed> {
    paths::check_socket_paths(data)?;
    let shown = data.display();
    let hint = "name a directory that you may write to with `--data DIR`";
    make(data)
        .map_err(|error| Failed::new(format!("the data directory `{shown}` cannot be made: {error}")).hint(hint))?;
    if !fs::metadata(data).is_ok_and(|found| found.is_dir()) {
        return Err(Failed::new(format!("`{shown}` is not a directory")).hint(hint));
    }
    rustix::fs::access(data, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| Failed::new(format!("the data directory `{shown}` cannot be written: {error}")).hint(hint))
}

fn make(data: &Path) -> io::Result<()> {
    if data.exists() {
        return Ok(());
    }
    if let Some(parent) = data.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match DirBuilder::new().mode(MODE).create(data) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_and_a_file_in_its_place_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        prepare(&data).unwrap();
        assert!(data.is_dir());
        prepare(&data).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(&file).unwrap_err().message.unwrap().ends_with("is not a directory"));
        assert!(prepare(&file.join("x")).unwrap_err().message.unwrap().contains("cannot be made"));
    }
}
