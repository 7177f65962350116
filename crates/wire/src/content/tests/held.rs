use api::{issuance::HeldSvid, wire};
use proptest::prelude::*;
use prost::Message;
use types::{SpiffeId, Timestamp, limits};

use super::super::{Holdings, holdings_message, read_holdings};

fn held() -> impl Strategy<Value = HeldSvid> {
    ("[a-z]{1,9}", "[0-9a-f]{0,40}", any::<u64>(), any::<u32>()).prop_map(|(name, serial, not_after, failures)| {
        let spiffe_id = SpiffeId::parse(&format!("spiffe://finance.acme.internal/{name}")).unwrap();
        HeldSvid { spiffe_id, serial, not_after: Timestamp::from_micros(not_after), failures }
    })
}

proptest! {
    #[test]
    fn holdings_go_both_ways_and_what_ends_first_is_first(all in prop::collection::vec(held(), 0..20)) {
        let holdings = Holdings::of(all.clone());
        prop_assert_eq!(holdings.more, 0);
        prop_assert!(holdings.held.windows(2).all(|pair| pair[0].not_after <= pair[1].not_after));
        prop_assert!(all.iter().all(|one| holdings.held.contains(one)));
        prop_assert_eq!(read_holdings(&holdings_message(&holdings)), Ok(holdings));
    }
}

fn many(count: usize, name: &str) -> Vec<HeldSvid> {
    let one = |number: usize| HeldSvid {
        spiffe_id: SpiffeId::parse(&format!("spiffe://finance.acme.internal/{name}")).unwrap(),
        serial: format!("{number:x}"),
        not_after: Timestamp::from_micros(u64::try_from(count - number).unwrap()),
        failures: 0,
    };
    (0..count).map(one).collect()
}

#[test]
fn of_too_many_those_that_end_last_are_only_counted() {
    let most = limits::HELD_SVIDS.default_usize();
    let holdings = Holdings::of(many(most + 7, "payments"));
    assert_eq!((holdings.held.len(), holdings.more), (most, 7));
    assert_eq!(holdings.held[0].not_after, Timestamp::from_micros(1));
}

#[test]
fn a_report_is_never_longer_than_control_takes() {
    let long = "x".repeat(limits::SPIFFE_ID_BYTES.default_usize() - 40);
    let count = limits::HELD_SVIDS.default_usize();
    let holdings = Holdings::of(many(count, &long));
    let report = holdings_message(&holdings).encoded_len();
    assert!(report < limits::WIRE_REPORT_BYTES.default_usize() - 100, "{report} bytes");
    assert_eq!(u64::try_from(holdings.held.len()).unwrap() + holdings.more, u64::try_from(count).unwrap());
}

#[test]
fn what_is_no_holding_is_refused() {
    let good = |held: wire::Holding| wire::Holdings { held: vec![held], more: 0 };
    let id = || "spiffe://a/b".to_owned();
    assert!(read_holdings(&good(wire::Holding { spiffe_id: id(), ..wire::Holding::default() })).is_ok());
    for bad in [
        wire::Holding { spiffe_id: "x".to_owned(), ..wire::Holding::default() },
        wire::Holding { spiffe_id: id(), serial: "XY".to_owned(), ..wire::Holding::default() },
        wire::Holding { spiffe_id: id(), serial: "a".repeat(41), ..wire::Holding::default() },
    ] {
        assert!(read_holdings(&good(bad)).is_err());
    }
    let most = limits::HELD_SVIDS.default_usize();
    let one = wire::Holding { spiffe_id: id(), ..wire::Holding::default() };
    assert!(read_holdings(&wire::Holdings { held: vec![one; most + 1], more: 0 }).is_err());
}
