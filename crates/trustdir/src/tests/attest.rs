//! The rules of the attestors: what is read from them, and what mistakes in them are told.

use types::{
    Label, Selectors, WorkloadId,
    attest::{Container, Runtime, ServiceAccount},
};

use super::directory::{listed, spoilt, told};
use crate::*;

const FIN: &str = "domains/finance/domain.yaml";
const ID: &str = "8dfafdbc3a40b1a2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182930";
const POD: &str = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";

/// The good directory with another rule for payments.
fn ruled(rule: &str) -> MemoryFiles {
    spoilt(FIN, "{ unix: { uid: 1001 } }", rule)
}

fn rules(rule: &str) -> Vec<types::AttestRule> {
    let loaded = load(&ruled(rule));
    let revision = loaded.revision.unwrap_or_else(|| panic!("{rule}: {:#?}", loaded.problems));
    let label = |text| Label::parse(text).expect(text);
    revision.workloads()[&WorkloadId::new(label("finance"), label("payments"))].rules.clone()
}

/// A process that every rule of [`every_attestor_is_read`] is about.
fn process() -> Selectors {
    Selectors {
        pid: 7,
        uid: 1001,
        gid: 1001,
        groups: vec![27, 2000],
        path: Some("/opt/payments/bin".to_owned()),
        path_in_data: None,
        sha256: Some([0xab; 32]),
        unit: Some("payments.service".to_owned()),
        container: Some(Container { runtime: Runtime::CriO, id: ID.to_owned() }),
        pod: Some(POD.to_owned()),
        service_account: Some(ServiceAccount {
            cluster: "prod".to_owned(),
            namespace: "pay".to_owned(),
            name: "web".to_owned(),
        }),
    }
}

#[test]
fn every_attestor_is_read_and_all_that_a_rule_names_must_agree() {
    let mut other = process();
    other.uid = 7;
    let digits = "1".repeat(64);
    for (rule, same, without) in [
        ("{ unix: { uid: 1001, gid: 27, groups: [27, 2000] } }".to_owned(), true, false),
        ("{ unix: { groups: [27, 4000] } }".to_owned(), false, false),
        (format!("{{ unix: {{ path: /opt/payments/bin, sha256: {} }} }}", "ab".repeat(32)), true, true),
        ("{ systemd: { unit: payments.service } }".to_owned(), true, true),
        ("{ systemd: { unit: other.service } }".to_owned(), false, false),
        ("{ systemd: { unit: payments.service }, unix: { uid: 1001 } }".to_owned(), true, false),
        (format!("{{ cgroup: {{ runtime: cri-o, container: {ID}, pod: {POD} }} }}"), true, true),
        (format!("{{ cgroup: {{ container: {digits} }} }}"), false, false),
        ("{ cgroup: { runtime: docker } }".to_owned(), false, false),
        ("{ k8s: { cluster: prod, namespace: pay, service_account: web } }".to_owned(), true, true),
        (
            format!("{{ k8s: {{ cluster: prod, namespace: pay, service_account: web }}, cgroup: {{ pod: {POD} }} }}"),
            true,
            true,
        ),
        ("{ k8s: { cluster: test, namespace: pay, service_account: web } }".to_owned(), false, false),
    ] {
        let read = rules(&rule);
        let [read] = read.as_slice() else { panic!("{rule}: {read:?}") };
        // gid 27 is a supplementary group here, and `gid` is the primary one
        let expected = same && !rule.contains("gid: 27,");
        assert_eq!(read.matches(&process()), expected, "{rule}");
        assert_eq!(read.matches(&other), without, "{rule} of another user");
    }
}

#[test]
fn a_part_that_does_not_fit_takes_the_whole_rule_with_it() {
    for rule in [
        "{ unix: { uid: 1001, sha256: abc } }",
        "{ unix: { uid: 1001, groups: [staff] } }",
        "{ unix: { uid: 1001 }, systemd: { unit: payments } }",
        "{ unix: { uid: 1001 }, cgroup: { pod: web-7f9c } }",
        "{ unix: { uid: 1001 }, k8s: { cluster: prod, namespace: pay } }",
    ] {
        let loaded = load(&ruled(rule));
        assert!(loaded.revision.is_none() && !loaded.problems.is_empty(), "{rule}");
    }
}

#[test]
fn slips_in_rules_are_told_with_what_to_do() {
    let of = |code: &str, under: &str, words: &str| format!("{code} [{under}] {words}");
    for (rule, want) in [
        (
            "{ unix: { user: payments } }",
            of(
                "yaml.unknown-key",
                "user",
                "unknown key `user` | a unix rule takes `uid`, `gid`, `groups`, `path` and `sha256`",
            ),
        ),
        (
            "{ docker: { id: web } }",
            of(
                "yaml.unknown-key",
                "docker",
                "unknown key `docker` | a rule takes `unix`, `systemd`, `cgroup` and `k8s`",
            ),
        ),
        (
            "{ unix: { uid: payments } }",
            of(
                "yaml.type",
                "payments",
                "expected an id, a whole number, found the text `payments` | `id -u payments` prints the id on the node",
            ),
        ),
        (
            "{ unix: { groups: 27 } }",
            of("yaml.type", "27", "expected a list of group ids, found the number `27` | write `[27]`"),
        ),
        (
            "{ systemd: { unit: payments } }",
            of(
                "value.bad",
                "payments",
                "`payments` is not the name of a service or scope, such as `payments.service` | write the whole name: `payments.service`",
            ),
        ),
        (
            "{ systemd: { unit: payments.timer } }",
            of(
                "value.bad",
                "payments.timer",
                "`payments.timer` is not the name of a service or scope, such as `payments.service` | only services and scopes have processes; `systemctl status PID` names the unit of one",
            ),
        ),
        (
            "{ systemd: payments.service }",
            of(
                "yaml.type",
                "payments.service",
                "expected the keys of a systemd rule, found the text `payments.service` | -",
            ),
        ),
        (
            "{ cgroup: { container: 8dfafdbc3a40 } }",
            of(
                "value.bad",
                "8dfafdbc3a40",
                "`8dfafdbc3a40` is not the whole id of a container: 64 lower-case hexadecimal digits | `docker inspect --format '{{.Id}}' NAME` prints it; `docker ps` shortens it",
            ),
        ),
        ("{ cgroup: { runtime: crio } }", of("value.unknown", "crio", "unknown value `crio` | did you mean `cri-o`?")),
        (
            "{ cgroup: { pod: web-7f9c } }",
            of(
                "value.bad",
                "web-7f9c",
                "`web-7f9c` is not the uid of a pod, such as `0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11` | `kubectl get pod NAME -o jsonpath='{.metadata.uid}'` prints it; where pods come and go, name their service account with `k8s`",
            ),
        ),
        (
            "{ k8s: { cluster: prod, namespace: pay } }",
            of(
                "yaml.missing-key",
                "k8s",
                "missing key `service_account` | a k8s rule needs it, such as `service_account: web`",
            ),
        ),
        (
            "{ k8s: { cluster: prod, namespace: pay, service_account: 'system:serviceaccount:pay:web' } }",
            of(
                "value.bad",
                "'system:serviceaccount:pay:web'",
                "`system:serviceaccount:pay:web` is not a name of Kubernetes | write the three parts apart: `{ cluster: prod, namespace: payments, service_account: web }`",
            ),
        ),
        (
            "{ k8s: { cluster: Prod, namespace: pay, service_account: web } }",
            of(
                "value.bad",
                "Prod",
                "`Prod` is not a name of Kubernetes | lower-case letters, digits, `-` and `.`, as `kubectl get serviceaccounts -A` lists them",
            ),
        ),
        (
            "{}",
            of(
                "attest.empty",
                "{}",
                "a rule names at least one of unix, systemd, cgroup and k8s | without one of them every local process would be this workload",
            ),
        ),
    ] {
        assert_eq!(told(&ruled(rule)), [want], "{rule}");
    }
}

#[test]
fn a_path_alone_is_warned_of() {
    let warned = ["warning attest.path-alone domains/finance/domain.yaml:10".to_owned()];
    let sha = "ab".repeat(32);
    for (rule, warns) in [
        ("{ unix: { path: /opt/payments/bin } }".to_owned(), true),
        (format!("{{ unix: {{ path: /opt/payments/bin, sha256: {sha} }} }}"), true),
        ("{ unix: { path: /opt/payments/bin, uid: 1001 } }".to_owned(), false),
        ("{ unix: { path: /opt/payments/bin, gid: 1001 } }".to_owned(), false),
        ("{ unix: { path: /opt/payments/bin, groups: [1001] } }".to_owned(), false),
        ("{ unix: { path: /opt/payments/bin }, systemd: { unit: payments.service } }".to_owned(), false),
        ("{ unix: { path: $DATA/demo/payments } }".to_owned(), false),
    ] {
        let want: &[String] = if warns { &warned } else { &[] };
        assert_eq!(listed(&ruled(&rule)), want, "{rule}");
    }
    let words = told(&ruled("{ unix: { path: /opt/payments/bin } }"));
    assert_eq!(
        words,
        [
            "attest.path-alone [unix] whoever on the node starts `/opt/payments/bin` is this workload | name a `uid` beside \
          `path`, unless the file can be started by nobody else"
        ]
    );
}
