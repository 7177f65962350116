//! Control's own figures, and those of the roles beside it.

use api::admin::Health;

use crate::metrics::{Family, Sample, float, render};
use crate::service::{Control, counts};

impl Control {
    /// See [`api::admin::Admin::metrics`].
    pub(crate) fn figures(&self) -> String {
        let mut families = vec![self.build(), self.uptime()];
        families.extend(self.of_revision());
        families.extend(self.of_log());
        families.extend(self.of_store());
        families.extend(self.of_certificates());
        families.extend(self.of_fleet(self.parts.clock.now()));
        families.extend(self.of_identities());
        families.extend(self.parts.roles.figures());
        render(&families)
    }

    fn build(&self) -> Family {
        let labels = [("version", self.parts.version.to_owned()), ("node", self.parts.node.to_string())];
        Family::gauge("countersign_build", "What runs; the value is always 1.", vec![Sample::gauge(labels, 1.0)])
    }

    fn uptime(&self) -> Family {
        let micros = self.parts.clock.now().micros_since(self.started());
        let sample = Sample::gauge([], float(micros) / 1e6);
        Family::gauge("countersign_uptime_seconds", "Seconds since the process began to serve.", vec![sample])
    }

    fn of_revision(&self) -> Vec<Family> {
        let revision = self.parts.revision.load();
        let held = counts(&revision);
        let holds = [
            ("domains", held.domains),
            ("services", held.services),
            ("routes", held.routes),
            ("workloads", held.workloads),
            ("policies", held.policies),
        ];
        let holds = holds.map(|(what, count)| {
            Sample::gauge([("what", what.to_owned())], float(u64::try_from(count).unwrap_or(u64::MAX)))
        });
        let signals = self.parts.signals.load();
        let now = self.parts.clock.now();
        let revoked = signals.iter().filter(|revocation| revocation.counts_at(now)).count();
        let Health { ready, .. } = self.how_it_is();
        let relaxed = revision.domains().keys().map(|domain| {
            let count = u64::try_from(revision.relaxed(domain).len()).unwrap_or(u64::MAX);
            Sample::gauge([("domain", domain.to_string())], float(count))
        });
        vec![
            Family::gauge("countersign_ready", "Whether calls are taken and decided.", one(f64::from(u8::from(ready)))),
            Family::gauge(
                "countersign_revision",
                "The revision in force; the value is always 1.",
                vec![Sample::gauge([("revision", revision.id().short())], 1.0)],
            ),
            Family::gauge("countersign_revision_holds", "What the revision in force holds.", holds.into()),
            Family::gauge("countersign_relaxed_checks", "Checks of a domain that do not enforce.", relaxed.collect()),
            Family::gauge("countersign_signals_epoch", "The epoch of signals.", one(float(signals.epoch()))),
            Family::gauge(
                "countersign_revocations",
                "Subjects that are revoked.",
                one(float(u64::try_from(revoked).unwrap_or(u64::MAX))),
            ),
        ]
    }

    fn of_log(&self) -> Vec<Family> {
        let health = self.parts.log.health();
        let progress = self.counter.progress();
        let behind = self.parts.clock.now().micros_since(progress.until());
        let troubles = u64::try_from(health.troubles.len()).unwrap_or(u64::MAX);
        vec![
            Family::gauge("countersign_log_bytes", "What the decision log takes.", one(float(health.used_bytes))),
            Family::gauge("countersign_log_max_bytes", "What it may take.", one(float(health.max_bytes))),
            Family::gauge("countersign_log_stuck_lanes", "Lanes that cannot go on.", one(float(troubles))),
            Family::counter(
                "countersign_log_refused_records",
                "Records that were refused; nothing was answered on their account.",
                vec![Sample::counter([], health.refused)],
            ),
            Family::counter(
                "countersign_log_damages",
                "Places at which the log is not as it was written, as far as it was counted.",
                vec![Sample::counter([], progress.damages())],
            ),
            Family::counter(
                "countersign_counted_records",
                "Records that were folded into the counts.",
                vec![Sample::counter([], progress.records())],
            ),
            Family::gauge(
                "countersign_counting_behind_seconds",
                "How far counting is behind the log.",
                one(float(behind) / 1e6),
            ),
        ]
    }

    fn of_store(&self) -> Vec<Family> {
        let bytes = float(self.parts.store.bytes());
        vec![Family::gauge("countersign_store_bytes", "What the store takes.", one(bytes))]
    }

    fn of_certificates(&self) -> Vec<Family> {
        let now = self.parts.clock.now();
        let samples = self.parts.roles.certificates().into_iter().map(|certificate| {
            let kind = if certificate.is_root { "root" } else { "gateway" };
            let labels = [("domain", certificate.domain), ("kind", kind.to_owned())];
            Sample::gauge(labels, float(certificate.not_after.micros_since(now)) / 1e6)
        });
        let help = "Seconds until a certificate ends.";
        vec![Family::gauge("countersign_certificate_remaining_seconds", help, samples.collect())]
    }
}

fn one(value: f64) -> Vec<Sample> {
    vec![Sample::gauge([], value)]
}
