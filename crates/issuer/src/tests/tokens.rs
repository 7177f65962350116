//! JWT-SVIDs: what is in them, who gets them, and what is written down.

use api::keys::Place;
use identity::sign::sha256;
use identity::verify_jwt_svid;

use super::*;

const AUDIENCE: &str = "https://ledger.acme.internal";

fn ask(issuer: &Issuer, audience: &[&str]) -> Result<api::issuance::JwtSvid, IssueError> {
    let audience: Vec<String> = audience.iter().map(|one| (*one).to_owned()).collect();
    now(issuer.mint_jwt(&payments(), &id(PAYMENTS), &audience))
}

#[test]
fn a_recognised_workload_gets_its_token_for_these_audiences_alone() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = ask(&issuer, &[AUDIENCE, "other"]).unwrap();
    for audience in [AUDIENCE, "other"] {
        let verified = verify_jwt_svid(&svid.token, audience, &bundle_set(&issuer), world.clock.now()).unwrap();
        assert_eq!(verified.spiffe_id().as_str(), PAYMENTS);
        assert_eq!(verified.expires_at(), world.clock.now().plus_seconds(300));
        assert_eq!(verified.issued_at(), Some(world.clock.now()));
    }
    assert!(verify_jwt_svid(&svid.token, "elsewhere", &bundle_set(&issuer), world.clock.now()).is_err());
    assert_eq!((svid.not_after, svid.issued_at), (world.clock.now().plus_seconds(300), world.clock.now()));
    let digest: String = sha256(svid.token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!(
        "allow {PAYMENTS} sha256:{digest} \"\" uid:1001 gid:100 path:/opt/payments: rule 1 of finance/payments in this \
         process; JWT-SVID for `{AUDIENCE}`, `other`"
    );
    assert_eq!(world.records(), [expected]);
    assert!(!world.records()[0].contains(svid.token.as_str()), "the token itself is a secret");
}

#[test]
fn tokens_are_signed_by_every_kind_of_key() {
    for kind in KeyKind::ALL {
        let world = World::new();
        let clock = Arc::clone(&world.clock);
        let domains = [(label("finance"), kind)].into();
        let issuer =
            Issuer::open(&world.keys(), &organisation(), &domains, clock, world.recorder(), KeyProtection::Plain)
                .unwrap();
        issuer.set_registrations(registrations());
        let svid = ask(&issuer, &[AUDIENCE]).unwrap();
        verify_jwt_svid(&svid.token, AUDIENCE, &bundle_set(&issuer), world.clock.now()).unwrap();
    }
}

#[test]
fn a_token_of_one_domain_is_worth_nothing_under_the_keys_of_another() {
    let world = World::new();
    let issuer = world.issuer();
    let svid = ask(&issuer, &[AUDIENCE]).unwrap();
    let bundles = issuer.bundles();
    let of = |name: &str| {
        let domain = TrustDomain::parse(name).unwrap();
        bundles.jwt_keys[&domain].iter().map(|key| (key.kid.clone(), key.spki_der.clone())).collect::<Vec<_>>()
    };
    let posing = Bundle::new(TrustDomain::parse("finance.acme.internal").unwrap(), Vec::new(), of("hr.acme.internal"));
    let posing = BundleSet::from_iter([posing.unwrap()]);
    assert!(verify_jwt_svid(&svid.token, AUDIENCE, &posing, world.clock.now()).is_err());
}

#[test]
fn audiences_that_cannot_be_are_refused() {
    let world = World::new();
    let issuer = world.issuer();
    let long = "a".repeat(1025);
    let many = ["a"; 9];
    for audience in [&[][..], &[""], &["a", ""], &[&long], &many] {
        assert!(matches!(ask(&issuer, audience), Err(IssueError::BadRequest(_))), "{audience:?}");
    }
    assert_eq!(world.records().len(), 4, "on record, four in a second");
    let most = core::array::from_fn::<String, 8, _>(|_| "a".repeat(1024));
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    let svid = ask(&issuer, &most).unwrap();
    verify_jwt_svid(&svid.token, most[0], &bundle_set(&issuer), world.clock.now()).unwrap();
}

#[test]
fn who_may_have_no_certificate_gets_no_token() {
    let world = World::new();
    let issuer = world.issuer();
    let audience = [AUDIENCE.to_owned()];
    let ask =
        |place: &Place, selectors: &Selectors, who: &str| issuer.mint_jwt_at(place, selectors, &id(who), &audience);
    let other = Selectors { uid: 1002, ..payments() };
    assert!(matches!(ask(&Place::Everywhere, &other, PAYMENTS), Err(IssueError::NotEntitled(_))));
    let unknown = "spiffe://finance.acme.internal/ledger";
    assert!(matches!(ask(&Place::Everywhere, &payments(), unknown), Err(IssueError::NotEntitled(_))));
    let node = Place::Node { name: label("vm-1"), groups: [label("pool")].into() };
    assert!(matches!(ask(&node, &payments(), PAYMENTS), Err(IssueError::NotEntitled(_))), "not placed there");
    issuer.set_signals(held_against(PAYMENTS, None));
    assert!(matches!(ask(&Place::Everywhere, &payments(), PAYMENTS), Err(IssueError::NotEntitled(_))));
    issuer.set_signals(Arc::default());
    world.full.store(true, Ordering::SeqCst);
    assert!(matches!(ask(&Place::Everywhere, &payments(), PAYMENTS), Err(IssueError::Unavailable(_))), "not on record");
    world.full.store(false, Ordering::SeqCst);
    assert!(ask(&Place::Everywhere, &payments(), PAYMENTS).is_ok());
}
