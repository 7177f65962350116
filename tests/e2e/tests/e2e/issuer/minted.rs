//! What is minted, looked at by OpenSSL: chains that verify for both sides of a connection, for every kind of key.

use super::*;

fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_verifies_what_is_minted_for_every_kind_of_key() {
    let upstream = Upstream::start(echo);
    for (kind, said) in [("p256", "prime256v1"), ("p384", "secp384r1"), ("rsa-2048", "2048 bit")] {
        let mut site = Site::prepare(&upstream);
        site.edit("domains/alpha/domain.yaml", "domain: alpha", &format!("domain: alpha\nsvid: {{ key: {kind} }}"));
        site.start();
        let program = crate::identity::install(&site, "e2e-workload");
        let ended = crate::identity::run(&site, &program, 1).wait();
        assert_eq!(ended.code, Some(0), "{kind}: {ended:#?}");
        let own = crate::identity::written(&site, 1);
        let roots = site.root().join("roots.pem").display().to_string();
        std::fs::write(&roots, site.run(["identity", "bundle", "alpha", "--pem"]).stdout).unwrap();
        let leaf = own.certificate.display().to_string();
        for purpose in ["sslclient", "sslserver"] {
            let (good, text) = openssl(&["verify", "-x509_strict", "-purpose", purpose, "-CAfile", &roots, &leaf]);
            assert!(good, "{kind} {purpose}: {text}");
        }
        let (_, text) = openssl(&["x509", "-noout", "-text", "-in", &leaf]);
        assert!(text.contains(said), "{kind}: {text}");
        assert!(text.contains("URI:spiffe://alpha.e2e.internal/caller"), "{kind}: {text}");
        let key = own.key.display().to_string();
        let (good, public) = openssl(&["pkey", "-in", &key, "-pubout"]);
        assert!(good && openssl(&["x509", "-noout", "-pubkey", "-in", &leaf]).1 == public, "{kind}: {text}");
        // the gateway's own certificate, over a handshake
        let gateway = site.gateway().to_string();
        let arguments = [
            "s_client",
            "-connect",
            &gateway,
            "-servername",
            API,
            "-verify_hostname",
            API,
            "-CAfile",
            &roots,
            "-cert",
            &leaf,
            "-key",
            &key,
            "-verify_return_error",
            "-brief",
        ];
        let (good, text) = openssl(&arguments);
        assert!(good && text.contains("Verification: OK"), "{kind}: {text}");
    }
}

#[test]
fn keys_rest_in_files_that_only_their_owner_reads_and_under_a_passphrase_openssl_reads_them_with_it_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    let passphrase = site.root().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keys = format!("name: e2e\nkeys: {{ passphrase_file: {} }}", passphrase.display());
    site.edit("node.yaml", "name: e2e", &keys);
    site.start();
    for name in ["ca.key", "jwt.key"] {
        let file = site.data().join("keys/alpha").join(name);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let file = file.display().to_string();
        let with = |pass: &str| openssl(&["pkey", "-in", &file, "-noout", "-passin", pass]);
        assert!(with(&format!("file:{}", passphrase.display())).0, "{name}");
        assert!(!with("pass:wrong").0, "{name}");
    }
    assert_eq!(site.stop().code, Some(0));
    std::fs::write(&passphrase, "another one\n").unwrap();
    let ended = site.fails_to_start();
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("passphrase"), "{ended:#?}");
    std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    site.start();
    assert!(site.identity(CALLER).certificate.exists());
}
