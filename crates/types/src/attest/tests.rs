use super::*;

fn process() -> Selectors {
    Selectors {
        pid: 7,
        uid: 1001,
        gid: 100,
        groups: vec![27, 200],
        path: Some("/opt/payments/bin".into()),
        sha256: Some([7; 32]),
        ..Selectors::default()
    }
}

fn unix(parts: UnixParts) -> UnixRule {
    UnixRule::new(parts).unwrap()
}

fn path(text: &str) -> UnixParts {
    UnixParts { path: Some(PathRule::parse(text).unwrap()), ..UnixParts::default() }
}

fn uid(uid: u32) -> UnixParts {
    UnixParts { uid: Some(uid), ..UnixParts::default() }
}

#[test]
fn everything_a_unix_rule_names_must_hold() {
    let whole = UnixParts { uid: Some(1001), gid: Some(100), sha256: Some([7; 32]), ..path("/opt/payments/bin") };
    assert!(unix(uid(1001)).matches(&process()));
    assert!(unix(whole).matches(&process()));
    assert!(!unix(UnixParts { uid: Some(1002), ..path("/opt/payments/bin") }).matches(&process()));
    assert!(!unix(UnixParts { gid: Some(101), ..uid(1001) }).matches(&process()));
    assert!(!unix(path("/opt/payments/bin2")).matches(&process()));
    assert!(!unix(UnixParts { sha256: Some([8; 32]), ..UnixParts::default() }).matches(&process()));
}

#[test]
fn all_groups_must_be_there_as_own_or_supplementary() {
    let groups = |groups: &[u32]| unix(UnixParts { groups: groups.iter().copied().collect(), ..UnixParts::default() });
    assert!(groups(&[27]).matches(&process()));
    assert!(groups(&[27, 100, 200]).matches(&process()));
    assert!(!groups(&[27, 28]).matches(&process()));
    // the gid of a rule is the process's own, and no supplementary one
    assert!(!unix(UnixParts { gid: Some(27), ..UnixParts::default() }).matches(&process()));
}

#[test]
fn what_was_not_proven_matches_nothing() {
    let bare = Selectors { path: None, sha256: None, ..process() };
    assert!(!unix(path("/opt/payments/bin")).matches(&bare));
    assert!(!unix(UnixParts { sha256: Some([7; 32]), ..UnixParts::default() }).matches(&bare));
    assert!(!unix(path("$DATA/demo/payments")).matches(&process()));
    let inside = Selectors { path_in_data: Some("demo/payments".into()), ..process() };
    assert!(unix(path("$DATA/demo/payments")).matches(&inside));
    assert!(!SystemdRule::new("payments.service").unwrap().matches(&process()));
    assert!(!CgroupRule::new(Some(Runtime::Docker), None, None).unwrap().matches(&process()));
}

#[test]
fn every_attestor_that_a_rule_names_must_agree() {
    let rule = |unit: &str| {
        let parts = AttestParts {
            unix: Some(unix(uid(1001))),
            systemd: Some(SystemdRule::new(unit).unwrap()),
            ..AttestParts::default()
        };
        AttestRule::new(parts).unwrap()
    };
    let in_unit = Selectors { unit: Some("payments.service".into()), ..process() };
    assert!(rule("payments.service").matches(&in_unit));
    assert!(!rule("other.service").matches(&in_unit));
    assert!(!rule("payments.service").matches(&process()));
    assert!(!rule("payments.service").matches(&Selectors { uid: 0, ..in_unit }));
}

#[test]
fn containers_pods_and_accounts_match_whole() {
    let id = "ab".repeat(32);
    let pod = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";
    let account = ServiceAccount { cluster: "prod".into(), namespace: "pay".into(), name: "payments".into() };
    let inside = Selectors {
        container: Some(Container { runtime: Runtime::Containerd, id: id.clone() }),
        pod: Some(pod.into()),
        service_account: Some(account.clone()),
        ..process()
    };
    let rule = |runtime, id, pod| CgroupRule::new(runtime, id, pod).unwrap();
    assert!(rule(Some(Runtime::Containerd), Some(&*id), Some(pod)).matches(&inside));
    assert!(!rule(Some(Runtime::Docker), Some(&*id), None).matches(&inside));
    let other = "cd".repeat(32);
    assert!(!rule(None, Some(&*other), None).matches(&inside));
    assert!(!rule(None, None, Some("1e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11")).matches(&inside));
    assert!(K8sRule::new(account.clone()).unwrap().matches(&inside));
    let other = ServiceAccount { cluster: "test".into(), ..account };
    assert!(!K8sRule::new(other).unwrap().matches(&inside));
}

#[test]
fn what_names_nothing_or_something_odd_is_refused() {
    assert_eq!(UnixRule::new(UnixParts::default()), Err(RuleError::EmptyUnix));
    assert_eq!(AttestRule::new(AttestParts::default()), Err(RuleError::Empty));
    assert_eq!(CgroupRule::new(None, None, None), Err(RuleError::EmptyCgroup));
    for unit in ["", ".service", "payments", "a/b.service", "payments.timer", "a b.service"] {
        assert!(SystemdRule::new(unit).is_err(), "{unit:?}");
    }
    for id in ["", "ab", &"AB".repeat(32), &"ag".repeat(32)] {
        assert!(CgroupRule::new(None, Some(id), None).is_err(), "{id:?}");
    }
    for name in ["", "Pay", "-a", "a..b", "a/b"] {
        let account = ServiceAccount { cluster: "prod".into(), namespace: name.into(), name: "x".into() };
        assert!(K8sRule::new(account).is_err(), "{name:?}");
    }
}

#[test]
fn paths_are_in_normal_form() {
    for good in ["/bin/x", "$DATA/x", "/a b/c"] {
        assert_eq!(PathRule::parse(good).unwrap().to_string(), good);
    }
    for bad in ["", "/", "x", "bin/x", "$DATA", "$DATA/", "/a//b", "/a/../b", "/a/./b", "/a/", "/a\n", "/a (deleted)"] {
        assert!(PathRule::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn selectors_read_as_one_line() {
    let odd = Selectors { path: Some("/a\nuid:0".into()), sha256: None, ..process() };
    assert_eq!(odd.to_string(), "uid:1001 gid:100 group:27 group:200 path:/a\\nuid:0");
    let unit = Selectors { path: None, sha256: None, unit: Some("a.service".into()), ..process() };
    assert_eq!(unit.to_string(), "uid:1001 gid:100 group:27 group:200 unit:a.service");
    let many = Selectors { path: None, sha256: None, groups: (1..=20).collect(), ..process() }.to_string();
    assert!(many.ends_with(" group:15 group:16 and 4 groups more"), "{many}");
    let just = Selectors { path: None, sha256: None, groups: (1..=16).collect(), ..process() }.to_string();
    assert!(just.ends_with(" group:16"), "{just}");
}

#[test]
fn a_rule_reads_as_the_selectors_that_it_asks_for() {
    let parts = UnixParts { gid: Some(7), groups: [27].into(), ..path("$DATA/bin/x") };
    let account = ServiceAccount { cluster: "prod".into(), namespace: "pay".into(), name: "payments".into() };
    let rule = AttestRule::new(AttestParts {
        unix: Some(unix(UnixParts { uid: Some(1001), sha256: Some([7; 32]), ..parts })),
        systemd: Some(SystemdRule::new("payments.service").unwrap()),
        cgroup: Some(CgroupRule::new(Some(Runtime::Podman), None, Some(&"ab".repeat(16))).unwrap()),
        k8s: Some(K8sRule::new(account).unwrap()),
    });
    let (digest, pod) = ("07".repeat(32), "ab".repeat(16));
    let line = format!(
        "uid:1001 gid:7 group:27 path:$DATA/bin/x sha256:{digest} unit:payments.service podman:any pod:{pod} \
         k8s:prod/pay/payments"
    );
    assert_eq!(rule.unwrap().to_string(), line);
}
