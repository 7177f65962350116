use api::wire;
use proptest::prelude::*;
use types::attest::{Container, Runtime};
use types::{Selectors, limits};

use super::super::{read_selectors, selectors_message};
use super::registrations::account;

fn selectors() -> impl Strategy<Value = Selectors> {
    let option = |pattern: &'static str| prop::option::of(pattern);
    let container = (prop::sample::select(Runtime::ALL.to_vec()), "[0-9a-f]{64}")
        .prop_map(|(runtime, id)| Container { runtime, id });
    let process = (any::<u32>(), any::<u32>(), any::<u32>(), prop::collection::btree_set(any::<u32>(), 0..9));
    let file = (option("/[a-z/]{1,30}"), option("[a-z]{1,9}"), any::<Option<[u8; 32]>>());
    let place = (
        option("[a-z]{1,9}\\.service"),
        prop::option::of(container),
        option("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}"),
        prop::option::of(account()),
    );
    (process, file, place).prop_map(
        |((pid, uid, gid, groups), (path, path_in_data, sha256), (unit, container, pod, service_account))| Selectors {
            pid,
            uid,
            gid,
            groups: groups.into_iter().collect(),
            path,
            path_in_data,
            sha256,
            unit,
            container,
            pod,
            service_account,
        },
    )
}

proptest! {
    #[test]
    fn selectors_go_both_ways(selectors in selectors()) {
        prop_assert_eq!(read_selectors(&selectors_message(&selectors)), Ok(selectors));
    }

    #[test]
    fn groups_come_out_sorted_and_once(groups in prop::collection::vec(0_u32..9, 0..20)) {
        let read = read_selectors(&wire::Selectors { groups, ..wire::Selectors::default() }).unwrap();
        prop_assert!(read.groups.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", read.groups);
    }
}

#[test]
fn a_container_of_an_unknown_runtime_is_no_container() {
    let message =
        wire::Selectors { runtime: "lxc".to_owned(), container: "a".repeat(64), ..wire::Selectors::default() };
    assert_eq!(read_selectors(&message).unwrap().container, None);
}

#[test]
fn what_cannot_be_the_selectors_of_a_process_is_refused() {
    let most = limits::SELECTOR_GROUPS.default_usize();
    let base = wire::Selectors::default;
    for message in [
        wire::Selectors { sha256: vec![1; 31], ..base() },
        wire::Selectors { path: "/".repeat(5_000), ..base() },
        wire::Selectors { path_in_data: "x".repeat(5_000), ..base() },
        wire::Selectors { unit: "x".repeat(256), ..base() },
        wire::Selectors { unit: "a\nb.service".to_owned(), ..base() },
        wire::Selectors { container: "abc".to_owned(), runtime: "docker".to_owned(), ..base() },
        wire::Selectors { runtime: "docker".to_owned(), ..base() },
        wire::Selectors { pod: "../etc".to_owned(), ..base() },
        wire::Selectors { service_account: Some(wire::K8sRule::default()), ..base() },
        wire::Selectors { groups: vec![0; most + 1], ..base() },
    ] {
        assert!(read_selectors(&message).is_err(), "{message:?}");
    }
}
