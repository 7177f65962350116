//! What is minted, looked at by OpenSSL: chains that verify for both sides of a connection and signatures of tokens, for
//! every kind of key.

use super::*;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

/// A signature of two numbers as JWS has it, in the form that OpenSSL reads.
fn in_der(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let from = bytes.iter().position(|byte| *byte != 0).expect("a number");
        let sign = (bytes[from] >= 0x80).then_some(0);
        let number: Vec<u8> = sign.into_iter().chain(bytes[from..].iter().copied()).collect();
        [&[0x02, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], both.as_slice()].concat()
}

#[test]
fn openssl_verifies_the_signature_of_a_token_of_every_kind_of_key() {
    let upstream = Upstream::start(echo);
    for (kind, algorithm, digest) in
        [("p256", "ES256", "sha256"), ("p384", "ES384", "sha384"), ("rsa-2048", "RS256", "sha256")]
    {
        let mut site = Site::prepare(&upstream);
        site.edit("domains/alpha/domain.yaml", "domain: alpha", &format!("domain: alpha\nsvid: {{ key: {kind} }}"));
        site.start();
        let program = crate::identity::install(&site, "e2e-workload");
        let mut asking = Command::new(program);
        let output =
            asking.args(["jwt", "ledger"]).env("SPIFFE_ENDPOINT_SOCKET", socket(&site.data())).output().unwrap();
        let token = String::from_utf8(output.stdout).unwrap();
        let (input, signature) = token.trim().rsplit_once('.').expect("a token");
        let part = |number: usize| URL_SAFE_NO_PAD.decode(input.split('.').nth(number).unwrap()).unwrap();
        let (header, claims): (Value, Value) =
            (serde_json::from_slice(&part(0)).unwrap(), serde_json::from_slice(&part(1)).unwrap());
        assert_eq!((&header["alg"], &header["typ"]), (&algorithm.into(), &"JWT".into()), "{header}");
        assert_eq!(claims["sub"], "spiffe://alpha.e2e.internal/caller", "{claims}");
        let path = |name: &str| site.root().join(name).display().to_string();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        std::fs::write(path("signature"), if kind == "rsa-2048" { raw } else { in_der(&raw) }).unwrap();
        std::fs::write(path("input"), input).unwrap();
        let key = site.data().join("keys/alpha/jwt.key").display().to_string();
        let (good, text) = openssl(&["pkey", "-in", &key, "-pubout", "-out", &path("public")]);
        assert!(good, "{kind}: {text}");
        let verify = || {
            let arguments = ["-verify", &path("public"), "-signature", &path("signature"), &path("input")];
            openssl(&[&["dgst", &format!("-{digest}")], arguments.as_slice()].concat())
        };
        assert!(verify().0, "{kind}: {}", verify().1);
        std::fs::write(path("input"), format!("{input}x")).unwrap();
        assert!(!verify().0, "{kind}: of something else");
        // the key that verifies is the one that the bundle shows under the token's name for it
        let bundle: Value = serde_json::from_str(&site.run(["identity", "bundle", "alpha"]).stdout).unwrap();
        let shown = bundle["keys"].as_array().unwrap().iter().find(|shown| shown["kid"] == header["kid"]);
        let shown = shown.unwrap_or_else(|| panic!("{kind}: {bundle:#}"));
        assert_eq!(shown["use"], "jwt-svid", "{shown}");
        let number = URL_SAFE_NO_PAD.decode(shown["x"].as_str().or(shown["n"].as_str()).unwrap()).unwrap();
        openssl(&["pkey", "-pubin", "-in", &path("public"), "-outform", "DER", "-out", &path("public.der")]);
        let public = std::fs::read(path("public.der")).unwrap();
        assert!(public.windows(number.len()).any(|part| part == number), "{kind}: {shown}");
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
