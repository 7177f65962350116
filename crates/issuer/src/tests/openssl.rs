//! What is minted and kept, looked at by somebody else: `openssl`.

use std::process::{Command, Output};

use api::keys::{KeyStep, Place};

use super::*;

/// Runs `openssl`, which every machine that builds this has.
fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl is there")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A request for a fresh key of a kind, made by `openssl`.
fn request(folder: &Path, kind: KeyKind) -> Vec<u8> {
    let algorithm: &[&str] = match kind {
        KeyKind::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        KeyKind::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        KeyKind::Rsa2048 => &["-newkey", "rsa:2048"],
    };
    let rest = ["-nodes", "-keyout", "leaf.key", "-subj", "/CN=whatever", "-outform", "DER", "-out", "leaf.csr"];
    let made = openssl(folder, &[&["req", "-new"], algorithm, &rest].concat());
    assert!(made.status.success(), "{}", said(&made));
    fs::read(folder.join("leaf.csr")).unwrap()
}

/// `openssl verify`, strictly, as a server and as a client, at the world's moment.
fn verified(world: &World, root: &[u8], leaf: &[u8]) -> Result<(), String> {
    let folder = world.directory.path();
    fs::write(folder.join("root.pem"), protection::pem("CERTIFICATE", root).as_str()).unwrap();
    fs::write(folder.join("leaf.pem"), protection::pem("CERTIFICATE", leaf).as_str()).unwrap();
    let at = world.clock.now().seconds().to_string();
    for purpose in ["sslserver", "sslclient"] {
        let arguments =
            ["verify", "-x509_strict", "-purpose", purpose, "-attime", &at, "-CAfile", "root.pem", "leaf.pem"];
        let output = openssl(folder, &arguments);
        if !output.status.success() {
            return Err(said(&output));
        }
    }
    Ok(())
}

fn world_of(kind: KeyKind) -> (World, Issuer) {
    let world = World::new();
    let domains = [(label("finance"), kind)].into();
    let clock = Arc::clone(&world.clock);
    let issuer =
        Issuer::open(&world.keys(), &organisation(), &domains, clock, world.recorder(), KeyProtection::Plain).unwrap();
    issuer.set_registrations(registrations());
    (world, issuer)
}

fn root_of(issuer: &Issuer) -> Vec<u8> {
    issuer.bundles().roots[&TrustDomain::parse("finance.acme.internal").unwrap()][0].clone()
}

#[test]
fn openssl_verifies_leaves_of_every_kind_of_key_under_roots_of_every_kind() {
    for ca in KeyKind::ALL {
        let (world, issuer) = world_of(ca);
        let place = Place::Node { name: label("vm-pay-1"), groups: [label("pool-a")].into() };
        let mut placed = registrations();
        placed.workloads.values_mut().for_each(|workload| workload.runs_on = Some([label("pool-a")].into()));
        issuer.set_registrations(placed);
        for kind in KeyKind::ALL {
            let csr = request(world.directory.path(), kind);
            let svid = issuer.mint_workload_at(&place, &payments(), &order(PAYMENTS, csr)).unwrap();
            verified(&world, &root_of(&issuer), &svid.chain_der[0]).unwrap_or_else(|why| panic!("{ca} {kind}: {why}"));
            assert_eq!(world.verify(&issuer, &svid).node(), Some("vm-pay-1"));
        }
        let gateway = issuer.mint_for_gateway(&label("finance"), &label("gw-1"), &csr()).unwrap();
        verified(&world, &root_of(&issuer), &gateway.chain_der[0]).unwrap();
        // and it can fail
        let stranger = testkit::Authority::of("finance.acme.internal", world.clock.now());
        assert!(verified(&world, stranger.der(), &gateway.chain_der[0]).is_err());
        let mut changed = gateway.chain_der[0].clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        assert!(verified(&world, &root_of(&issuer), &changed).is_err());
    }
}

#[test]
fn openssl_shows_one_uri_name_and_nothing_that_signs() {
    let (world, issuer) = world_of(KeyKind::P256);
    let svid = issuer.mint_impersonation(&workload("finance/payments"), "alice", &csr()).unwrap();
    let folder = world.directory.path();
    fs::write(folder.join("leaf.der"), &svid.chain_der[0]).unwrap();
    let text = said(&openssl(folder, &["x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-text"]));
    for expected in [
        "Version: 3 (0x2)",
        "Subject: \n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        &format!("X509v3 Subject Alternative Name: critical\n                URI:{PAYMENTS}\n"),
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let serial = said(&openssl(folder, &["x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-serial"]));
    assert_eq!(serial.trim().to_lowercase(), format!("serial={}", svid.serial));
    let dates = ["x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-enddate", "-dateopt", "iso_8601"];
    let end = svid.not_after.to_string().replace('T', " ").replace(".000000", "");
    assert_eq!(said(&openssl(folder, &dates)).trim(), format!("notAfter={end}"));
}

#[test]
fn dates_beyond_2049_are_written_as_rfc_5280_wants() {
    let world = World::new();
    let later = Timestamp::from_seconds(2_524_608_000 - 1800);
    world.clock.set(later);
    let issuer = world.issuer();
    let svid = mint(&issuer).unwrap();
    assert_eq!(world.verify(&issuer, &svid).not_after(), svid.not_after, "half an hour into 2050");
    verified(&world, &root_of(&issuer), &svid.chain_der[0]).unwrap();
}

#[test]
fn a_rotation_is_seen_by_openssl_too() {
    let (world, issuer) = world_of(KeyKind::P256);
    let rotate = |step| issuer.rotate(&label("finance"), api::admin::Keys::X509, step).unwrap();
    let (old_root, old) = (root_of(&issuer), mint(&issuer).unwrap());
    rotate(KeyStep::Prepare);
    rotate(KeyStep::Publish);
    rotate(KeyStep::Sign);
    let (new_root, new) = (root_of(&issuer), mint(&issuer).unwrap());
    for (root, svid, good) in [(&old_root, &old, true), (&old_root, &new, false), (&new_root, &new, true)] {
        assert_eq!(verified(&world, root, &svid.chain_der[0]).is_ok(), good);
    }
}

/// The private keys below a folder.
fn private_keys(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let inside = folders.iter().flat_map(|folder| private_keys(folder));
    inside.chain(files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "key"))).collect()
}

fn passphrase(text: &str) -> KeyProtection {
    KeyProtection::Passphrase(Secret::new(text.to_owned().into()).unwrap())
}

fn reads(file: &Path, passphrase: &str) -> bool {
    let file = file.to_str().unwrap();
    let arguments = ["pkey", "-in", file, "-noout", "-check", "-passin", &format!("pass:{passphrase}")];
    openssl(Path::new("/"), &arguments).status.success()
}

#[test]
fn keys_under_a_passphrase_are_read_by_openssl_and_by_nobody_without_it() {
    let world = World::new();
    let open = |protection| world.open_with(&["finance"], protection);
    let before = open(KeyProtection::Plain).unwrap().bundles().roots;
    assert!(private_keys(&world.keys()).iter().all(|key| reads(key, "")));
    // from here on they are encrypted, and the same keys
    let issuer = open(passphrase("correct horse")).unwrap();
    issuer.set_registrations(registrations());
    assert_eq!(issuer.bundles().roots, before);
    world.verify(&issuer, &mint(&issuer).unwrap());
    let rotate = |step| issuer.rotate(&label("finance"), api::admin::Keys::X509, step).unwrap();
    rotate(KeyStep::Prepare);
    rotate(KeyStep::Publish);
    issuer.hold(&[(label("legacy"), KeyKind::Rsa2048), (label("old"), KeyKind::P384)].into()).unwrap();
    let keys = private_keys(&world.keys());
    assert_eq!(keys.len(), 9, "{keys:?}");
    for key in &keys {
        let text = fs::read_to_string(key).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{}", key.display());
        // each attempt takes a while, as it should: of the system's two keys and those of one domain
        if key.starts_with(world.keys().join("system")) || key.starts_with(world.keys().join("legacy")) {
            assert!(reads(key, "correct horse"), "{}", key.display());
        }
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!reads(&keys[0], "wrong") && !reads(&keys[0], ""));
    let roots = issuer.bundles().roots;
    drop(issuer);
    let missing = open(KeyProtection::Plain).unwrap_err();
    assert!(matches!(&missing, OpenError::Encrypted { .. }), "{missing}");
    assert!(missing.hint().contains("keys.passphrase_file"), "{}", missing.hint());
    let wrong = open(passphrase("correct horses")).unwrap_err();
    assert!(matches!(&wrong, OpenError::WrongPassphrase { .. }), "{wrong}");
    let again = open(passphrase("correct horse")).unwrap();
    assert!(again.bundles().roots.iter().all(|(domain, held)| roots[domain] == *held));
}

#[test]
fn keys_that_openssl_encrypted_are_read() {
    let world = World::new();
    drop(world.open(&["finance"]).unwrap());
    for key in private_keys(&world.keys()) {
        let (from, to) = (key.to_str().unwrap().to_owned(), key.with_extension("sealed"));
        let arguments = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-in", &from, "-out"];
        let arguments = [&arguments[..], &[to.to_str().unwrap(), "-passout", "pass:of openssl"]].concat();
        let made = openssl(Path::new("/"), &arguments);
        assert!(made.status.success(), "{}", said(&made));
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(to, key).unwrap();
    }
    let issuer = world.open_with(&["finance"], passphrase("of openssl")).unwrap();
    issuer.set_registrations(registrations());
    world.verify(&issuer, &mint(&issuer).unwrap());
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase(Secret(…))");
    assert!(Secret::new(String::new().into()).is_none(), "an empty one protects nothing");
}

#[test]
fn two_issuers_do_not_share_keys() {
    let world = World::new();
    let first = world.issuer();
    let second = world.open(&["finance"]).unwrap_err();
    assert!(matches!(&second, OpenError::InUse { .. }), "{second}");
    assert!(second.hint().contains("stop the other"), "{}", second.hint());
    drop(first);
    world.issuer();
}

#[test]
fn nothing_but_a_key_is_taken_for_one() {
    let sealed = |text: &str| protection::Vault::new(passphrase("p")).read(text).map(|_| ());
    let vault = protection::Vault::new(passphrase("p"));
    let good = vault.write(b"\x30\x03\x02\x01\x00").unwrap();
    assert!(sealed(&good).is_ok());
    let middle = good.lines().nth(1).unwrap();
    for bad in [
        "",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        &good.replace(middle, &middle.chars().rev().collect::<String>()),
        &good.replace(middle, ""),
    ] {
        assert!(sealed(bad).is_err(), "{bad}");
    }
}
