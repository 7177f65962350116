//! Every case of the SPIFFE ID suite.

use types::SpiffeId;

use crate::vectors::{own, settle};

#[test]
fn the_spiffe_id_suite_is_answered_as_it_says() {
    let suite = own("spiffe-id.json");
    let cases = suite["cases"].as_array().unwrap();
    let mut differing = Vec::new();
    for case in cases {
        let parsed = SpiffeId::parse(case["input"].as_str().unwrap());
        let as_it_says = match &parsed {
            Err(_) => case["valid"] == false,
            Ok(id) => {
                case["valid"] == true && case["trust_domain"] == id.trust_domain().as_str() && case["path"] == id.path()
            }
        };
        if !as_it_says {
            println!("{case} gave {parsed:?}");
            differing.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    assert!(cases.len() > 100, "the suite has shrunk");
    settle("spiffe-id", differing);
}
