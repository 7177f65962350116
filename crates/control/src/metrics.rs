//! Figures in the OpenMetrics text format (version 1.0.0), which Prometheus reads.

use std::fmt::Write;

/// One family: figures of one name.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// The name, without the endings of [`Kind`].
    pub name: &'static str,
    /// What kind of figure.
    pub kind: Kind,
    /// What it says, in one line.
    pub help: &'static str,
    /// The figures.
    pub samples: Vec<Sample>,
}

/// The kinds of figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows: samples end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were at most so much: samples end in `_bucket`, `_count` and `_sum`.
    Histogram,
}

/// One figure.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// What the name ends in: `""` for a gauge.
    pub suffix: &'static str,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

impl Family {
    /// A figure that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, kind: Kind::Gauge, help, samples }
    }

    /// A figure that only grows.
    pub fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self { name, kind: Kind::Counter, help, samples }
    }

    /// How often something took how long: the upper ends of the buckets in seconds with how many fell into each alone,
    /// those above the last end, and the sum of all in seconds.
    pub fn histogram(name: &'static str, help: &'static str, buckets: &[(f64, u64)], above: u64, sum: f64) -> Self {
        let mut samples = Vec::new();
        let mut below = 0_u64;
        for (end, count) in buckets {
            below = below.saturating_add(*count);
            samples.push(Sample { suffix: "_bucket", labels: vec![("le", figure(*end))], value: float(below) });
        }
        let all = below.saturating_add(above);
        samples.push(Sample { suffix: "_bucket", labels: vec![("le", "+Inf".to_owned())], value: float(all) });
        samples.push(Sample { suffix: "_count", labels: Vec::new(), value: float(all) });
        samples.push(Sample { suffix: "_sum", labels: Vec::new(), value: sum });
        Self { name, kind: Kind::Histogram, help, samples }
    }
}

impl Sample {
    /// The figure of a gauge.
    pub fn gauge<const N: usize>(labels: [(&'static str, String); N], value: f64) -> Self {
        Self { suffix: "", labels: labels.into(), value }
    }

    /// The figure of a counter.
    pub fn counter<const N: usize>(labels: [(&'static str, String); N], value: u64) -> Self {
        Self { suffix: "_total", labels: labels.into(), value: float(value) }
    }
}

/// A whole number as a figure; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format's own numbers are no better")]
pub const fn float(value: u64) -> f64 {
    value as f64
}

/// Writes families out, in their order.
pub fn render(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        text.push_str(&format!("# TYPE {} {kind}\n# HELP {} {}\n", family.name, family.name, escaped(family.help)));
        for sample in &family.samples {
            text.push_str(&line(family.name, sample));
        }
    }
    text.push_str("# EOF\n");
    text
}

fn line(name: &str, sample: &Sample) -> String {
    let labels: Vec<String> =
        sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("{name}{}{labels} {}\n", sample.suffix, figure(sample.value))
}

fn figure(value: f64) -> String {
    let mut text = String::new();
    // a string takes everything
    let _ = write!(text, "{value}");
    text
}

/// Backslash, quotation mark and line feed, as the format writes them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
pub mod tests;
