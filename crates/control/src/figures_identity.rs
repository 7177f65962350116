//! Figures of identities: the outage budget, renewals, rotations, federation.

use api::admin::{Keys, Rotation, RotationPhase};

use crate::identities::Counted;
use crate::metrics::{Family, Sample, float};
use crate::service::Control;

impl Control {
    /// The outage budget, how much is held, and how far rotations are.
    pub(crate) fn of_identities(&self) -> Vec<Family> {
        let counted = self.count_budget();
        let mut families = of_budget(&counted);
        families.extend(of_rotations(&self.rotations_now()));
        families.push(Family::gauge(
            "countersign_bundles_number",
            "The number under which the bundles were told to peers last; it grows with every change.",
            vec![Sample::gauge([], float(self.bundles_number()))],
        ));
        families
    }
}

fn of_budget(counted: &Counted) -> Vec<Family> {
    let number = |count: usize| float(u64::try_from(count).unwrap_or(u64::MAX));
    let failing = counted.identities.iter().filter(|kept| kept.failures > 0).count();
    let one = |value: f64| vec![Sample::gauge([], value)];
    vec![
        Family::gauge(
            "countersign_identity_outage_budget_seconds",
            "Seconds until the first identity runs out if issuance stopped now; absent where none is held.",
            counted.seconds().map(float).into_iter().flat_map(one).collect(),
        ),
        Family::gauge(
            "countersign_identity_held",
            "Identities that are held and kept alive by issuance.",
            one(number(counted.identities.len())),
        ),
        Family::gauge(
            "countersign_identity_renewals_failing",
            "Identities whose last attempt at renewal failed.",
            one(number(failing)),
        ),
        Family::gauge(
            "countersign_identity_nodes_unknown",
            "Nodes of which the outage budget does not know everything.",
            one(number(counted.unknown.len())),
        ),
    ]
}

fn of_rotations(rotations: &[Rotation]) -> Vec<Family> {
    let labels = |one: &Rotation| [("domain", one.domain.clone()), ("keys", word(one.keys).to_owned())];
    let phases = rotations.iter().map(|one| Sample::gauge(labels(one), phase(one.phase)));
    let waiting = rotations.iter().map(|one| {
        let waiting = u64::try_from(one.waiting_for.len()).unwrap_or(u64::MAX);
        Sample::gauge(labels(one), float(waiting))
    });
    vec![
        Family::gauge(
            "countersign_rotation_phase",
            "How far a rotation of keys has come: 0 none, 1 prepared, 2 published, 3 acknowledged, 4 signing.",
            phases.collect(),
        ),
        Family::gauge("countersign_rotation_waiting_for", "For how many reasons it does not go on.", waiting.collect()),
    ]
}

const fn word(keys: Keys) -> &'static str {
    match keys {
        Keys::X509 => "x509",
        Keys::Jwt => "jwt",
    }
}

const fn phase(phase: RotationPhase) -> f64 {
    match phase {
        RotationPhase::Idle => 0.0,
        RotationPhase::Prepared => 1.0,
        RotationPhase::Published => 2.0,
        RotationPhase::Acknowledged => 3.0,
        RotationPhase::Signing => 4.0,
    }
}
