use api::{
    issuance::Entitled,
    wire::{self, Registration, Rule},
};
use proptest::{option::of as of_some, prelude::*};
use prost::{Message, encoding::WireType};
use types::attest::{
    AttestParts, AttestRule, CgroupRule, K8sRule, PathRule, Runtime, ServiceAccount, SystemdRule, UnixParts, UnixRule,
};
use types::{KeyKind, SpiffeId};

use super::super::{Registrations, read_registrations, registration};

fn payments() -> Entitled {
    let id = SpiffeId::parse("spiffe://finance.acme.internal/payments").unwrap();
    Entitled { id, key: KeyKind::P256 }
}

fn of(rules: Vec<Vec<u8>>) -> Registration {
    Registration { spiffe_id: payments().id.as_str().to_owned(), rules, key: String::new() }
}

fn read(registration: &Registration) -> Registrations {
    read_registrations(&[registration.encode_to_vec()]).unwrap()
}

fn unix() -> impl Strategy<Value = UnixRule> {
    let path = prop_oneof![
        "(/[a-z.]{1,9}x){1,3}".prop_map(|text| PathRule::parse(&text).unwrap()),
        "[a-z]{1,9}(/[a-z]{1,9}){0,2}".prop_map(|text| PathRule::parse(&format!("$DATA/{text}")).unwrap()),
    ];
    let groups = prop::collection::btree_set(any::<u32>(), 0..5);
    let parts = (any::<Option<u32>>(), any::<Option<u32>>(), groups, prop::option::of(path), any::<Option<[u8; 32]>>());
    parts.prop_filter_map("it names something", |(uid, gid, groups, path, sha256)| {
        UnixRule::new(UnixParts { uid, gid, groups, path, sha256 }).ok()
    })
}

fn cgroup() -> impl Strategy<Value = CgroupRule> {
    let runtime = prop::option::of(prop::sample::select(Runtime::ALL.to_vec()));
    let pod = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    (runtime, prop::option::of("[0-9a-f]{64}"), prop::option::of(pod))
        .prop_filter_map("it names something", |(runtime, id, pod)| {
            CgroupRule::new(runtime, id.as_deref(), pod.as_deref()).ok()
        })
}

pub(super) fn account() -> impl Strategy<Value = ServiceAccount> {
    let name = || "[a-z0-9]{1,9}";
    (name(), name(), name()).prop_map(|(cluster, namespace, name)| ServiceAccount { cluster, namespace, name })
}

fn rule() -> impl Strategy<Value = AttestRule> {
    let systemd = "[a-z]{1,9}\\.(service|scope)".prop_map(|unit| SystemdRule::new(&unit).unwrap());
    let k8s = account().prop_map(|account| K8sRule::new(account).unwrap());
    (of_some(unix()), of_some(systemd), of_some(cgroup()), of_some(k8s))
        .prop_filter_map("it names something", |(unix, systemd, cgroup, k8s)| {
            AttestRule::new(AttestParts { unix, systemd, cgroup, k8s }).ok()
        })
}

/// A field that no release knows yet, as a later one may write it.
fn later_field() -> impl Strategy<Value = Vec<u8>> {
    let tag = 20_u32..2_000;
    let varint = (tag.clone(), any::<u64>()).prop_map(|(tag, value)| {
        field(tag, WireType::Varint, |bytes| {
            prost::encoding::encode_varint(value, bytes);
        })
    });
    let text = (tag, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(tag, value)| {
        field(tag, WireType::LengthDelimited, |bytes| {
            prost::encoding::encode_varint(value.len() as u64, bytes);
            bytes.extend(&value);
        })
    });
    prop_oneof![varint, text]
}

fn field(tag: u32, kind: WireType, value: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(tag, kind, &mut bytes);
    value(&mut bytes);
    bytes
}

/// A rule into one of whose parts (or beside all of them, for 0) a later release put something.
fn with_more(rule: &[u8], part: u32, more: &[u8]) -> Option<Vec<u8>> {
    if part == 0 {
        return Some([rule, more].concat());
    }
    let rule = Rule::decode(rule).unwrap();
    let parts = [
        rule.unix.map(|part| part.encode_to_vec()),
        rule.systemd.map(|part| part.encode_to_vec()),
        rule.cgroup.map(|part| part.encode_to_vec()),
        rule.k8s.map(|part| part.encode_to_vec()),
    ];
    parts.get(usize::try_from(part).unwrap() - 1)?.as_ref()?;
    let mut bytes = Vec::new();
    for (number, content) in (1_u32..).zip(parts) {
        let Some(mut content) = content else { continue };
        content.extend(if number == part { more } else { &[] });
        bytes.extend(field(number, WireType::LengthDelimited, |bytes| {
            prost::encoding::encode_varint(content.len() as u64, bytes);
            bytes.extend(&content);
        }));
    }
    Some(bytes)
}

/// A rule as the release before wrote and read it.
#[derive(Clone, PartialEq, Message)]
struct FlatRule {
    #[prost(uint32, optional, tag = "1")]
    uid: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    gid: Option<u32>,
    #[prost(string, tag = "3")]
    path: String,
    #[prost(bool, tag = "4")]
    in_data: bool,
    #[prost(bytes = "vec", tag = "5")]
    sha256: Vec<u8>,
}

/// What the release before took such a rule for; `None` where it refused it.
fn read_flat(bytes: &[u8]) -> Option<UnixRule> {
    let flat = FlatRule::decode(bytes).ok()?;
    let path = match (flat.path.as_str(), flat.in_data) {
        ("", _) => None,
        (path, false) => Some(PathRule::parse(path).ok().filter(|rule| matches!(rule, PathRule::Absolute(_)))?),
        (path, true) => Some(PathRule::parse(&format!("$DATA/{path}")).ok()?),
    };
    let sha256 = if flat.sha256.is_empty() { None } else { Some(flat.sha256.try_into().ok()?) };
    UnixRule::new(UnixParts { uid: flat.uid, gid: flat.gid, path, sha256, ..UnixParts::default() }).ok()
}

proptest! {
    #[test]
    fn registrations_go_both_ways(
        rules in prop::collection::vec(rule(), 0..5),
        key in prop::sample::select(KeyKind::ALL.to_vec()),
    ) {
        let workload = Entitled { key, ..payments() };
        let read = read_registrations(&[registration(&workload, &rules)]).unwrap();
        prop_assert_eq!(read, Registrations { known: vec![(workload, rules)], unknown: [].into() });
    }

    #[test]
    fn a_rule_with_something_unknown_in_it_recognises_nobody(rule in rule(), part in 0_u32..=4, more in later_field()) {
        let whole = Registration::decode(registration(&payments(), &[rule]).as_slice()).unwrap().rules.remove(0);
        let Some(later) = with_more(&whole, part, &more) else { return Ok(()) };
        // the parts that are known still decode: what is lost would have made the rule looser
        prop_assert_eq!(Rule::decode(later.as_slice()).unwrap(), Rule::decode(whole.as_slice()).unwrap());
        let read = read(&of(vec![later]));
        prop_assert_eq!(read.known, vec![(payments(), vec![])]);
        prop_assert!(read.unknown.contains(&payments().id));
    }

    #[test]
    fn a_registration_with_something_unknown_in_it_is_left_out(rule in rule(), more in later_field()) {
        let whole = registration(&payments(), &[rule]);
        let read = read_registrations(&[[whole, more].concat()]).unwrap();
        prop_assert_eq!((read.known, read.unknown), (vec![], [payments().id].into()));
    }

    #[test]
    fn the_release_before_takes_no_rule_in_parts_for_a_looser_one(rule in rule()) {
        let message = Registration::decode(registration(&payments(), &[rule]).as_slice()).unwrap();
        prop_assert_eq!(read_flat(&message.rules[0]), None);
    }

    #[test]
    fn whatever_comes_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_registrations(&[of(vec![bytes.clone()]).encode_to_vec()]);
        let _ = read_registrations(&[bytes]);
    }
}

#[test]
fn the_other_rules_of_a_workload_stay_what_they_are() {
    let uid = UnixRule::new(UnixParts { uid: Some(7), ..UnixParts::default() }).unwrap();
    let good = AttestRule::from(uid);
    let mut registration =
        Registration::decode(registration(&payments(), std::slice::from_ref(&good)).as_slice()).unwrap();
    registration.rules.push(vec![0xff]);
    let read = read(&registration);
    assert_eq!((read.known, read.unknown), (vec![(payments(), vec![good])], [payments().id].into()));
}

#[test]
fn a_key_of_a_kind_that_is_not_known_is_not_made_as_another() {
    let read = read(&Registration { key: "ed25519".to_owned(), ..of(vec![]) });
    assert_eq!((read.known, read.unknown), (vec![], [payments().id].into()));
}

#[test]
fn a_rule_that_names_nothing_or_leaves_the_folder_recognises_nobody() {
    let unix = |unix: wire::UnixRule| Rule { unix: Some(unix), ..Rule::default() };
    let cgroup = |runtime: &str, container: &str| Rule {
        cgroup: Some(wire::CgroupRule {
            runtime: runtime.to_owned(),
            container: container.to_owned(),
            pod: String::new(),
        }),
        ..Rule::default()
    };
    for rule in [
        Rule::default(),
        unix(wire::UnixRule::default()),
        unix(wire::UnixRule { path: "../x".to_owned(), in_data: true, ..wire::UnixRule::default() }),
        unix(wire::UnixRule { path: "$DATA/x".to_owned(), ..wire::UnixRule::default() }),
        unix(wire::UnixRule { sha256: vec![1], ..wire::UnixRule::default() }),
        // the same group twice, and out of order: not as this release writes it
        unix(wire::UnixRule { groups: vec![7, 7], ..wire::UnixRule::default() }),
        unix(wire::UnixRule { groups: vec![8, 7], ..wire::UnixRule::default() }),
        cgroup("", ""),
        cgroup("lxc", ""),
        cgroup("docker", "abc"),
        Rule { systemd: Some(wire::SystemdRule { unit: "payments".to_owned() }), ..Rule::default() },
        Rule { k8s: Some(wire::K8sRule::default()), ..Rule::default() },
        // one good part does not make up for one that cannot be read
        Rule {
            cgroup: Some(wire::CgroupRule::default()),
            ..unix(wire::UnixRule { uid: Some(1), ..wire::UnixRule::default() })
        },
    ] {
        let read = read(&of(vec![rule.encode_to_vec()]));
        assert_eq!(read.known, [(payments(), vec![])], "{rule:?}");
        assert_eq!(read.unknown.len(), 1, "{rule:?}");
    }
}

#[test]
fn more_rules_than_an_agent_takes_are_refused_whole() {
    let most = types::limits::REGISTERED_RULES.default_usize();
    let refused = read_registrations(&[of(vec![Vec::new(); most + 1]).encode_to_vec()]).unwrap_err();
    assert!(refused.to_string().contains("more than"), "{refused}");
}
