//! The gateway's counters as figures.

use control::metrics::{Family, Sample, float};
use proxy::Snapshot;

/// Every figure of the gateway, also those that are zero: a rate needs the zero before the first.
pub fn of(counted: &Snapshot) -> Vec<Family> {
    vec![
        decisions(counted),
        Family::counter(
            "countersign_refusals",
            "Calls and connections that were refused, by the reason.",
            counted
                .refused
                .iter()
                .map(|(reason, count)| {
                    let stage = reason.stage().as_str().to_owned();
                    Sample::counter([("reason", reason.code().to_owned()), ("stage", stage)], *count)
                })
                .collect(),
        ),
        noted(counted),
        exchanges(counted),
        gauge("countersign_open_exchanges", "Allowed exchanges that have not ended.", counted.open_exchanges),
        gauge("countersign_open_connections", "Connections that have not ended.", counted.open_connections),
        counter(
            "countersign_cut_exchanges",
            "Exchanges that were cut because they were no longer allowed.",
            counted.cut,
        ),
        decision_time(counted),
    ]
}

fn decisions(counted: &Snapshot) -> Family {
    let denied = counted.refused.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let clean = counted.allowed.saturating_sub(counted.would_deny);
    let answers = [("allow", clean), ("would-deny", counted.would_deny), ("deny", denied)];
    let samples = answers.map(|(answer, count)| Sample::counter([("answer", answer.to_owned())], count));
    Family::counter("countersign_decisions", "Decisions by the answer as listings show it.", samples.into())
}

fn noted(counted: &Snapshot) -> Family {
    let sample = |noted: &proxy::NotedCount| {
        Sample::counter([("check", noted.check.to_owned()), ("mode", noted.mode.to_string())], noted.count)
    };
    let help = "Records in which a relaxed check noted that it would have refused.";
    Family::counter("countersign_noted_refusals", help, counted.noted.iter().map(sample).collect())
}

fn exchanges(counted: &Snapshot) -> Family {
    let sample = |end: &str, count: u64| Sample::counter([("end", end.to_owned())], count);
    let mut samples = vec![sample("completed", counted.completed)];
    samples.extend(counted.failed.iter().map(|(failure, count)| sample(failure.code(), *count)));
    Family::counter("countersign_exchanges", "Allowed exchanges by how they ended.", samples)
}

fn decision_time(counted: &Snapshot) -> Family {
    let seconds = |micros: u64| float(micros) / 1e6;
    let time = &counted.decision_time;
    let buckets: Vec<(f64, u64)> = time.buckets.iter().map(|(micros, count)| (seconds(*micros), *count)).collect();
    let help = "How long decisions took, from the request's head to the record.";
    Family::histogram("countersign_decision_seconds", help, &buckets, time.longer, float(time.sum_nanos) / 1e9)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::gauge(name, help, vec![Sample::gauge([], float(value))])
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::counter(name, help, vec![Sample::counter([], value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_there_before_the_first_call() {
        let families = of(&proxy::Stats::new().snapshot());
        let text = control::metrics::render(&families);
        for line in [
            "countersign_decisions_total{answer=\"would-deny\"} 0\n",
            "countersign_refusals_total{reason=\"policy.no-permit\",stage=\"policy\"} 0\n",
            "countersign_noted_refusals_total{check=\"consent\",mode=\"shadow\"} 0\n",
            "countersign_exchanges_total{end=\"completed\"} 0\n",
            "countersign_decision_seconds_bucket{le=\"+Inf\"} 0\n",
            "countersign_open_exchanges 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
