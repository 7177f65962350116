//! The identities of Countersign itself, the publisher's signature, and where workloads may run.

use api::keys::Place;
use identity::sign::{sha256, verify_signature};

use super::*;

fn groups(names: &[&str]) -> Place {
    Place::Node { name: label("vm-pay-1"), groups: names.iter().map(|name| label(name)).collect() }
}

fn placed(on: Option<&[&str]>) -> Registrations {
    let mut registrations = registrations();
    for workload in registrations.workloads.values_mut() {
        workload.runs_on = on.map(|names| names.iter().map(|name| label(name)).collect());
    }
    registrations
}

#[test]
fn a_workload_is_minted_only_where_it_is_placed() {
    let world = World::new();
    let issuer = world.issuer();
    let ask = |place: &Place| issuer.mint_workload_at(place, &payments(), &order(PAYMENTS, csr()));
    issuer.set_registrations(placed(Some(&["pool-a", "pool-c"])));
    assert!(ask(&groups(&["pool-b", "pool-a"])).is_ok());
    assert!(ask(&Place::Everywhere).is_ok());
    let refused = ask(&groups(&["pool-b"])).unwrap_err().to_string();
    assert!(refused.contains("runs on pool-a, pool-c (`runs_on`), and this node belongs to pool-b"), "{refused}");
    issuer.set_registrations(placed(None));
    let refused = ask(&groups(&["pool-a"])).unwrap_err().to_string();
    assert!(refused.contains("names no node group"), "{refused}");
    assert!(ask(&groups(&[])).is_err());
    let records = world.records.lock().unwrap();
    let denials = records.iter().filter(|line| line.starts_with("deny") && line.contains(PAYMENTS)).count();
    assert_eq!((denials, records.len()), (3, 5), "{records:?}");
}

#[test]
fn what_the_publisher_signs_is_believed_under_the_system_root() {
    let world = World::new();
    let issuer = world.issuer();
    let (signature, chain) = issuer.sign(b"context\nstatement").unwrap();
    let system = TrustDomain::parse("system.acme.internal").unwrap();
    let bundles = BundleSet::from_iter([Bundle::from_der(system, vec![issuer.system_root()]).unwrap()]);
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    let publisher = id("spiffe://system.acme.internal/publisher");
    let check = |message: &[u8]| {
        verify_signature(b"context\n", message, &signature, &chain, &bundles, &publisher, world.clock.now())
    };
    assert!(check(b"statement").is_ok());
    assert!(check(b"another").is_err());
}

#[test]
fn root_and_publisher_survive_a_restart() {
    let world = World::new();
    let (root, chain) = {
        let issuer = world.issuer();
        assert_eq!(issuer.root_sha256(), sha256(&issuer.system_root()));
        (issuer.system_root(), issuer.sign(b"x").unwrap().1)
    };
    let again = world.issuer();
    assert_eq!((again.system_root(), again.sign(b"x").unwrap().1), (root, chain));
    for file in ["ca.key", "ca.pem", "publisher.key", "publisher.pem"] {
        let mode = fs::metadata(world.keys().join("system").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// Breaks the files of the system, and tells why the issuer then does not open. It must not have made anything anew.
fn broken(break_it: impl FnOnce(&Path)) -> OpenError {
    let world = World::new();
    drop(world.open(&["finance"]).unwrap());
    let folder = world.keys().join("system");
    break_it(&folder);
    let listing = || -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    };
    let before = listing();
    let error = world.open(&["finance"]).unwrap_err();
    assert_eq!(listing(), before, "something was remade");
    error
}

#[test]
fn a_lost_key_of_the_system_is_an_error_and_never_remade() {
    for file in ["ca.key", "ca.pem", "publisher.key", "publisher.pem"] {
        let error = broken(|system| fs::remove_file(system.join(file)).unwrap());
        assert!(matches!(&error, OpenError::Missing { path, .. } if path.ends_with(file)), "{file}: {error}");
        assert!(error.hint().contains("must join again"), "{}", error.hint());
    }
    let both = broken(|system| {
        fs::remove_file(system.join("publisher.key")).unwrap();
        fs::remove_file(system.join("publisher.pem")).unwrap();
    });
    assert!(matches!(both, OpenError::Missing { .. }), "{both}");
}

#[test]
fn a_publisher_that_belongs_elsewhere_is_an_error() {
    let other = World::new();
    drop(other.open(&[]).unwrap());
    let another_key = broken(|system| {
        fs::write(system.join("publisher.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    });
    assert!(matches!(another_key, OpenError::Mismatch { .. }), "{another_key}");
    let another_root = broken(|system| {
        for file in ["publisher.key", "publisher.pem"] {
            fs::copy(other.keys().join("system").join(file), system.join(file)).unwrap();
        }
    });
    assert!(matches!(another_root, OpenError::Damaged { .. }), "{another_root}");
    let cut = broken(|system| fs::write(system.join("publisher.pem"), "-----BEGIN CERT").unwrap());
    assert!(matches!(cut, OpenError::Damaged { .. }), "{cut}");
    let open = broken(|system| {
        fs::set_permissions(system.join("publisher.key"), fs::Permissions::from_mode(0o640)).unwrap();
    });
    assert!(matches!(open, OpenError::TooOpen { .. }), "{open}");
}

#[test]
fn what_runs_the_organisation_cannot_be_asked_for() {
    let world = World::new();
    let issuer = world.issuer();
    let day = Duration::from_secs(86_400);
    let ask = |path: &[&str]| issuer.mint_system(path, &[], &csr(), day);
    assert!(ask(&["agent", "vm-pay-1"]).is_ok() && ask(&["operator", "alice"]).is_ok());
    let refused: [&[&str]; 9] = [
        &["publisher"],
        &["control", "c1"],
        &["operator", "local"],
        &["operator"],
        &["proxy", "edge-1", "more"],
        &["proxy", "Edge 1"],
        &["proxy", ".."],
        &["_gateway", "edge-1"],
        &[],
    ];
    for path in refused {
        let error = ask(path).unwrap_err();
        assert!(
            matches!(&error, IssueError::NotEntitled(why) if why.contains("can be asked for")),
            "{path:?}: {error}"
        );
    }
    let records = world.records.lock().unwrap();
    let denials = records.iter().filter(|line| line.starts_with("deny"));
    assert!(denials.count() >= 4, "refusals are on record: {records:?}");
}

#[test]
fn a_domain_that_calls_itself_system_gets_nothing_of_the_systems_authority() {
    let world = World::new();
    let issuer = world.open(&["finance", "system"]).unwrap();
    let mut posing = registrations();
    let entry = posing.workloads.values().next().unwrap().clone();
    posing.workloads.insert(workload("system/publisher"), entry);
    posing.domains.insert(label("system"), posing.domains[&label("finance")].clone());
    issuer.set_registrations(posing);
    assert_eq!(entitled(&issuer, &payments()), [id(PAYMENTS)]);
    let publisher = id("spiffe://system.acme.internal/publisher");
    assert!(now(issuer.mint_workload(&payments(), &order(publisher.as_str(), csr()))).is_err());
    assert!(issuer.mint_impersonation(&workload("system/publisher"), "local", &csr()).is_err());
    assert!(now(issuer.mint_gateway(&label("system"), &label("gw-1"), &csr())).is_err());
}

#[test]
fn nothing_is_issued_for_a_key_that_is_revoked() {
    let world = World::new();
    let issuer = world.issuer();
    let request = csr();
    let day = Duration::from_secs(86_400);
    let first = issuer.mint_system(&["proxy", "edge-1"], &[], &request, day).unwrap();
    let key = *world.verify(&issuer, &first).key_sha256();
    issuer.set_signals(held_against(&signal::Subject::Key(key).to_string(), None));
    let again = issuer.mint_system(&["proxy", "edge-1"], &[], &request, day).unwrap_err();
    assert!(again.to_string().contains("key of the request is revoked"), "{again}");
    assert!(issuer.mint_system(&["proxy", "edge-2"], &[], &request, day).is_err(), "not under another name either");
    assert!(now(issuer.mint_workload(&payments(), &order(PAYMENTS, request))).is_err());
    assert!(issuer.mint_system(&["proxy", "edge-1"], &[], &csr(), day).is_ok(), "another key is another matter");
}

#[test]
fn a_root_is_good_for_whoever_is_behind_by_as_much_as_what_it_signs() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = issuer.mint_system(&["proxy", "edge-1"], &[], &csr(), Duration::from_secs(86_400)).unwrap();
    world.clock.set(svid.not_before);
    world.verify(&issuer, &svid);
}

#[test]
fn system_identities_are_recorded_and_survive_clocks_that_are_an_hour_apart() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = issuer.mint_system(&["proxy", "edge-1"], &[], &csr(), Duration::from_secs(86_400)).unwrap();
    let peer = world.verify(&issuer, &svid);
    assert_eq!(peer.spiffe_id().as_str(), "spiffe://system.acme.internal/proxy/edge-1");
    let behind = world.clock.now().seconds() - svid.not_before.seconds();
    assert!(behind >= 3_600, "good from {behind} s ago");
    assert!(world.records.lock().unwrap().iter().any(|line| line.contains("/proxy/edge-1")));
    assert!(issuer.mint_system(&["proxy", "Edge 1"], &[], &csr(), Duration::from_secs(60)).is_err());
    world.full.store(true, Ordering::SeqCst);
    assert!(issuer.mint_system(&["proxy", "edge-2"], &[], &csr(), Duration::from_secs(60)).is_err());
}

#[test]
fn control_is_also_known_by_its_host_names() {
    let world = World::new();
    let issuer = world.issuer();
    let host = Host::parse("control.acme.internal").unwrap();
    let own = issuer.control_identity(&label("c1"), std::slice::from_ref(&host)).unwrap();
    let roots = vec![issuer.system_root()];
    let bundle = Bundle::from_der(TrustDomain::parse("system.acme.internal").unwrap(), roots).unwrap();
    let peer = verify(&own.chain, &BundleSet::from_iter([bundle]), world.clock.now()).unwrap();
    assert_eq!(peer.spiffe_id().as_str(), "spiffe://system.acme.internal/control/c1");
    assert!(peer.covers_dns(&host));
}

#[test]
fn a_system_identity_that_is_revoked_is_not_renewed() {
    let world = World::new();
    let issuer = world.issuer();
    let organisation = TrustDomain::parse("acme.internal").unwrap();
    let revocation = signal::Revocation {
        subject: signal::Subject::parse("node:proxy/edge-1", &organisation).unwrap(),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: world.clock.now(),
        until: None,
        epoch: 1,
    };
    issuer.set_signals(Arc::new(signal::State::new(1, [revocation])));
    let ask = |name| issuer.mint_system(&["proxy", name], &[], &csr(), Duration::from_secs(60));
    assert!(ask("edge-1").is_err());
    assert!(ask("edge-2").is_ok());
}

#[test]
fn a_revocation_leaves_the_bundles_their_number() {
    let world = World::new();
    let issuer = world.issuer();
    let (bundles, mut changes) = (issuer.bundles(), issuer.changes());
    changes.mark_unchanged();
    issuer.set_signals(held_against(PAYMENTS, None));
    assert!(changes.has_changed().unwrap(), "whoever holds what was minted looks again");
    issuer.set_registrations(Registrations::default());
    assert_eq!(issuer.bundles(), bundles);
    issuer.hold(&kinds(&["ops"])).unwrap();
    assert!(issuer.bundles().generation > bundles.generation);
}

#[test]
fn the_number_of_bundles_grows_over_a_restart() {
    let world = World::new();
    let first = world.issuer().bundles().generation;
    world.clock.advance(1);
    assert!(world.issuer().bundles().generation > first);
}
