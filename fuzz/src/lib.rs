//! What may arrive from outside, one target for each parser: whatever the bytes are, nothing panics, nothing hangs, and
//! what each target promises beyond that holds.
//!
//! The same targets run in two ways: `cargo xtask fuzz` lets libFuzzer look for inputs that reach new code, and the tests
//! of this crate run each one over its seeds and over each seed with bytes changed.

mod content;
mod machine;
mod names;
mod tokens;
mod x509;

/// One parser and what must hold for it.
pub struct Target {
    /// The name, as `cargo xtask fuzz NAME` takes it.
    pub name: &'static str,
    /// Runs it on one input. Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Good inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How long one input takes.
    pub cost: Cost,
}

/// How long one input takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// Microseconds.
    Parsing,
    /// Signatures are checked, or policies compiled.
    Work,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "spiffe-id", run: names::spiffe_id, seeds: names::spiffe_id_seeds, cost: Cost::Parsing },
    Target {
        name: "host-and-template",
        run: names::host_and_template,
        seeds: names::host_and_template_seeds,
        cost: Cost::Parsing,
    },
    Target { name: "attest-rule", run: names::attest_rule, seeds: names::attest_rule_seeds, cost: Cost::Parsing },
    Target { name: "svid", run: x509::svid, seeds: x509::svid_seeds, cost: Cost::Work },
    Target { name: "bundle-pem", run: x509::bundle_pem, seeds: x509::bundle_pem_seeds, cost: Cost::Parsing },
    Target { name: "endpoint", run: names::endpoint, seeds: names::endpoint_seeds, cost: Cost::Parsing },
    Target {
        name: "bundle-document",
        run: tokens::bundle_document,
        seeds: tokens::bundle_document_seeds,
        cost: Cost::Parsing,
    },
    Target { name: "bundle-map", run: tokens::bundle_map, seeds: tokens::bundle_map_seeds, cost: Cost::Parsing },
    Target { name: "jwt-svid", run: tokens::jwt_svid, seeds: tokens::jwt_svid_seeds, cost: Cost::Work },
    Target { name: "jwk-set", run: tokens::jwk_set, seeds: tokens::bundle_document_seeds, cost: Cost::Parsing },
    Target { name: "public-key", run: tokens::public_key, seeds: tokens::public_key_seeds, cost: Cost::Parsing },
    Target { name: "proc-cgroup", run: machine::cgroup, seeds: machine::cgroup_seeds, cost: Cost::Parsing },
    Target { name: "proc-status", run: machine::status, seeds: machine::status_seeds, cost: Cost::Parsing },
    Target { name: "projected-token", run: machine::projected_token, seeds: tokens::jwt_svid_seeds, cost: Cost::Work },
    Target { name: "certificate-request", run: machine::request, seeds: machine::request_seeds, cost: Cost::Work },
    Target {
        name: "wire-registrations",
        run: content::registrations,
        seeds: content::registrations_seeds,
        cost: Cost::Parsing,
    },
    Target { name: "wire-bundles", run: content::bundles, seeds: content::bundles_seeds, cost: Cost::Work },
    Target { name: "wire-selectors", run: content::selectors, seeds: content::selectors_seeds, cost: Cost::Parsing },
    Target { name: "wire-holdings", run: content::holdings, seeds: content::holdings_seeds, cost: Cost::Parsing },
    Target { name: "wire-fact", run: content::fact, seeds: content::fact_seeds, cost: Cost::Parsing },
    Target {
        name: "trust-directory",
        run: content::trust_directory,
        seeds: content::trust_directory_seeds,
        cost: Cost::Work,
    },
];

/// Bytes as text, where they are some.
fn text(data: &[u8]) -> &str {
    core::str::from_utf8(data).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Cost, TARGETS};

    #[test]
    fn every_target_survives_its_seeds_and_what_is_near_them() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} starts from nothing", target.name);
            (target.run)(&[]);
            for seed in seeds {
                (target.run)(&seed);
                // as many places as take a moment, spread over the seed
                let places = if target.cost == Cost::Work { 12 } else { 400 };
                let step = seed.len() / places + 1;
                for place in (0..seed.len()).step_by(step) {
                    for byte in [0, b'\n', b'"', 0x7f, 0x80, 0xff] {
                        let mut changed = seed.clone();
                        changed[place] = byte;
                        (target.run)(&changed);
                    }
                    (target.run)(&seed[..place]);
                }
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TARGETS.len());
    }
}
