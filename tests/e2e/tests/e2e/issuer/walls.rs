//! A domain's key in wrong hands: it mints nothing that another domain accepts.

use super::*;

use countersign_e2e::Raw;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

const GUEST: &str = "spiffe://beta.e2e.internal/guest";

/// An authority of beta below that of alpha: its key signs what it likes, and alpha's vouches for it.
fn below(folder: &Path, stolen: &Path) -> Identity {
    let root_key = KeyPair::from_pem(&std::fs::read_to_string(stolen.join("ca.key")).unwrap()).unwrap();
    let root = Issuer::from_ca_cert_pem(&std::fs::read_to_string(stolen.join("ca.pem")).unwrap(), root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI("spiffe://beta.e2e.internal".try_into().unwrap())];
    let certificate = params.signed_by(&key, &root).unwrap().pem();
    std::fs::create_dir_all(folder.join("below")).unwrap();
    std::fs::write(folder.join("below/ca.key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("below/ca.pem"), &certificate).unwrap();
    let leaf = Authority::read(&folder.join("below")).svid(folder, GUEST);
    let chain = std::fs::read_to_string(&leaf.certificate).unwrap() + &certificate;
    std::fs::write(&leaf.certificate, chain).unwrap();
    leaf
}

#[test]
fn a_stolen_key_of_one_domain_is_worth_nothing_in_another() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let stolen = site.data().join("keys/alpha");
    let thief = Authority::read(&stolen);
    let root = Authority::self_signed(site.root(), "spiffe://beta.e2e.internal");
    let forged = [
        ("a leaf of beta", thief.svid(site.root(), GUEST)),
        ("a leaf of beta below an authority of beta", below(site.root(), &stolen)),
        (
            "a gateway of beta",
            thief.sign(site.root(), "spiffe://beta.e2e.internal/_gateway/e2e", |params| {
                params.subject_alt_names.push(SanType::DnsName("people.e2e.internal".try_into().unwrap()));
            }),
        ),
        ("a workload of the system", thief.svid(site.root(), "spiffe://system.e2e.internal/control/e2e")),
        ("an operator", thief.svid(site.root(), "spiffe://system.e2e.internal/operator/local")),
        ("one that signed itself", Authority::self_signed(site.root(), GUEST)),
        ("a root of its own", root),
    ];
    for (what, identity) in &forged {
        for host in [API, "people.e2e.internal"] {
            let answer = Raw::open(&site, Some(identity), host).and_then(|mut raw| {
                raw.send(format!("GET /items HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
                raw.answer()
            });
            assert!(answer.is_err(), "{what} at {host}: {answer:?}");
        }
    }
    assert_eq!(upstream.count(), 0);
    // the same offline: the roots of the domain that the leaf names are asked, and no others
    let bundle = |domain: &str| {
        let file = site.root().join(format!("{domain}.pem"));
        let ended = site.run(["identity", "bundle", domain, "--pem"]);
        std::fs::write(&file, ended.stdout).unwrap();
        format!("{domain}.e2e.internal={}", file.display())
    };
    let (alpha, beta) = (bundle("alpha"), bundle("beta"));
    let leaf = forged[0].1.certificate.display().to_string();
    let verified = site.run(["verify", "svid", &leaf, "--bundle", &alpha, "--bundle", &beta]);
    assert_eq!(verified.code, Some(1), "{verified:#?}");
    assert!(verified.stdout.contains("XS-6") || verified.stdout.contains("PV-1"), "{verified:#?}");
    let own = thief.svid(site.root(), "spiffe://alpha.e2e.internal/caller").certificate.display().to_string();
    let verified = site.run(["verify", "svid", &own, "--bundle", &alpha, "--bundle", &beta]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    // and what beta's own authority signs is as good as ever
    let guest = site.authority("beta").svid(site.root(), GUEST);
    let mut raw = Raw::open(&site, Some(&guest), API).unwrap();
    assert_eq!(raw.ask(format!("GET /items HTTP/1.1\r\nHost: {API}\r\n\r\n")).status, 200);
}

#[test]
fn a_stolen_key_that_signs_tokens_of_one_domain_speaks_for_no_other() {
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1h");
    let token = asked(&fleet, &["jwt", "ledger"]).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(asked(&fleet, &["validate", "ledger", &token]).unwrap(), "spiffe://alpha.e2e.internal/caller");
    for (what, forged) in bad::forgeries(&fleet, &parts) {
        let words = asked(&fleet, &["validate", "ledger", &forged]).expect_err(what);
        // a message that is too large is not even read
        let is_told = words.contains("InvalidArgument") || words.contains("OutOfRange") && forged.len() > 65_536;
        assert!(is_told, "{what}: {words}");
    }
}
