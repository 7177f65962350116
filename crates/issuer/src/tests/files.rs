//! Keys on the disk: made once, private, kept, and never remade.

use super::*;

#[test]
fn keys_are_made_once_private_and_kept() {
    let world = World::new();
    let first = world.open(&["finance", "hr"]).unwrap().bundles();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.keys()), 0o700);
    assert_eq!(mode(&world.keys().join("finance")), 0o700);
    for file in ["ca.key", "ca.pem"] {
        assert_eq!(mode(&world.keys().join("finance").join(file)), 0o600);
    }
    let names: Vec<&str> = first.roots.keys().map(TrustDomain::as_str).collect();
    assert_eq!(names, ["finance.acme.internal", "hr.acme.internal", "system.acme.internal"]);
    assert_eq!(world.open(&["finance", "hr"]).unwrap().bundles().roots, first.roots);
    // A root is usable as such, and a half-written folder of a crash was never one.
    fs::create_dir(world.keys().join(".ops.new")).unwrap();
    fs::write(world.keys().join(".ops.new/ca.key"), "half").unwrap();
    assert_eq!(world.open(&["finance", "hr", "ops"]).unwrap().bundles().roots.len(), 4);
    assert!(!world.keys().join(".ops.new").exists());
}

/// Breaks the files of `finance`, and tells why the issuer then does not open. It must not have changed anything.
fn broken(break_it: impl FnOnce(&Path)) -> OpenError {
    let world = World::new();
    drop(world.open(&["finance", "hr"]).unwrap());
    break_it(&world.keys().join("finance"));
    let listing = |path: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(&file).unwrap_or_default())).collect()
    };
    let before = listing(&world.keys().join("finance"));
    let error = world.open(&["finance", "hr"]).unwrap_err();
    assert_eq!(listing(&world.keys().join("finance")), before, "something was remade");
    assert!(!error.hint().is_empty() && !error.to_string().ends_with('.'));
    error
}

#[test]
fn damaged_keys_are_an_error_and_never_remade() {
    let missing = broken(|finance| fs::remove_file(finance.join("ca.key")).unwrap());
    assert!(matches!(&missing, OpenError::Missing { path, .. } if path.ends_with("finance/ca.key")), "{missing}");
    assert!(missing.hint().contains("restore the folder from a backup"));
    let missing = broken(|finance| fs::remove_file(finance.join("ca.pem")).unwrap());
    assert!(matches!(missing, OpenError::Missing { .. }));
    let emptied = broken(|finance| {
        fs::remove_file(finance.join("ca.pem")).unwrap();
        fs::remove_file(finance.join("ca.key")).unwrap();
    });
    assert!(matches!(emptied, OpenError::Missing { .. }));
    for file in ["ca.key", "ca.pem"] {
        let truncated = broken(|finance| {
            let bytes = fs::read(finance.join(file)).unwrap();
            fs::write(finance.join(file), &bytes[..bytes.len() / 2]).unwrap();
        });
        assert!(matches!(truncated, OpenError::Damaged { .. }), "{truncated}");
        let garbage = broken(|finance| fs::write(finance.join(file), [0xff; 64]).unwrap());
        assert!(matches!(garbage, OpenError::Damaged { .. }), "{garbage}");
    }
}

#[test]
fn a_key_that_belongs_elsewhere_is_an_error() {
    let half = broken(|finance| {
        fs::copy(finance.join("../hr/ca.key"), finance.join("ca.key")).unwrap();
    });
    assert!(matches!(half, OpenError::Mismatch { .. }), "{half}");
    let whole = broken(|finance| {
        fs::copy(finance.join("../hr/ca.key"), finance.join("ca.key")).unwrap();
        fs::copy(finance.join("../hr/ca.pem"), finance.join("ca.pem")).unwrap();
    });
    assert!(matches!(&whole, OpenError::Damaged { detail, .. } if detail.contains("finance.acme.internal")), "{whole}");
}

#[test]
fn files_open_to_others_are_an_error() {
    let chmod = |name: &'static str, mode| {
        broken(move |finance| fs::set_permissions(finance.join(name), fs::Permissions::from_mode(mode)).unwrap())
    };
    for (name, mode) in [("ca.key", 0o644), ("ca.key", 0o640), ("ca.pem", 0o666), (".", 0o755)] {
        let error = chmod(name, mode);
        assert!(matches!(error, OpenError::TooOpen { .. }), "{name} {mode:o}: {error}");
    }
    let link = broken(|finance| {
        fs::rename(finance.join("ca.key"), finance.join("../elsewhere.key")).unwrap();
        symlink("../elsewhere.key", finance.join("ca.key")).unwrap();
    });
    assert!(matches!(link, OpenError::WrongKind { .. }), "{link}");
}

#[test]
fn a_root_outside_its_validity_is_an_error() {
    let world = World::new();
    drop(world.open(&["finance"]).unwrap());
    world.clock.advance(3651 * 86_400);
    assert!(matches!(world.open(&["finance"]), Err(OpenError::NotValid { .. })));
}
