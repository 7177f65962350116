//! The executable under its many names.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::acme::{
    catalogue::{self, SERVICES, WORKLOADS},
    install, service_name_from_exe,
};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, content: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join("countersign");
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn names_in(bin: &Path) -> BTreeSet<String> {
    fs::read_dir(bin).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn expected() -> BTreeSet<String> {
    catalogue::names().map(|name| format!("acme-{name}")).collect()
}

#[test]
fn names_are_unique_in_the_organisation() {
    assert_eq!(expected().len(), SERVICES.len() + WORKLOADS.len() + 1, "and the prober");
}

#[test]
fn every_service_and_workload_gets_a_path_that_runs() {
    let place = Place::new();
    let program = place.program("one", 0o755);
    let installed = install(&place.data(), &program).unwrap();
    assert_eq!(names_in(&place.data().join("bin")), expected());
    for name in catalogue::names() {
        let file = fs::symlink_metadata(installed.path_of(name)).unwrap();
        assert!(file.is_file(), "{name}");
        assert_eq!(file.mode() & 0o7777, 0o755, "{name}");
        assert_eq!(file.ino(), fs::metadata(&program).unwrap().ino(), "{name}");
    }
}

#[test]
fn installing_again_changes_nothing_and_leaves_nothing_behind() {
    let place = Place::new();
    let program = place.program("one", 0o755);
    install(&place.data(), &program).unwrap();
    install(&place.data(), &program).unwrap();
    assert_eq!(names_in(&place.data().join("bin")), expected());
}

#[test]
fn a_newer_program_replaces_the_older() {
    let place = Place::new();
    install(&place.data(), &place.program("one", 0o755)).unwrap();
    let installed = install(&place.data(), &place.program("two", 0o755)).unwrap();
    for name in catalogue::names() {
        assert_eq!(fs::read_to_string(installed.path_of(name)).unwrap(), "two");
    }
}

#[test]
fn what_cannot_be_linked_is_copied_once_and_the_original_left_alone() {
    let place = Place::new();
    let program = place.program("one", 0o700);
    let installed = install(&place.data(), &program).unwrap();
    let inodes: BTreeSet<_> =
        catalogue::names().map(|name| fs::metadata(installed.path_of(name)).unwrap().ino()).collect();
    assert_eq!(inodes.len(), 1);
    assert!(!inodes.contains(&fs::metadata(&program).unwrap().ino()));
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(installed.path_of("ledger")).unwrap().mode() & 0o7777, 0o755);
    let again = install(&place.data(), &program).unwrap();
    assert!(inodes.contains(&fs::metadata(again.path_of("ledger")).unwrap().ino()), "the copy is used again");
    let newer = install(&place.data(), &place.program("longer than before", 0o700)).unwrap();
    assert_eq!(fs::read_to_string(newer.path_of("payments")).unwrap(), "longer than before");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let place = Place::new();
    let error = install(&place.data(), &place.folder.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn the_path_says_which_service_it_is() {
    assert_eq!(service_name_from_exe(Path::new("/data/bin/acme-ledger")), Some("ledger"));
    for other in ["/data/bin/acme-payments", "/data/bin/ledger", "/data/acme-ledger/countersign", "/", "acme-"] {
        assert_eq!(service_name_from_exe(Path::new(other)), None, "{other}");
    }
}
