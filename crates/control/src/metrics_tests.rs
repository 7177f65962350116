//! The text, read back by the rules of the format.

use std::collections::BTreeMap;

use super::*;

/// Reads a text strictly, and gives each sample's name and labels with its value. Panics at the first broken rule.
pub fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    assert!(text.ends_with("# EOF\n"), "the end is marked");
    for line in text.strip_suffix("# EOF\n").unwrap().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} stands twice");
            current = name.to_owned();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with(&format!("{current} ")), "{line}");
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = key.split_once('{').map_or((key, None), |(name, labels)| (name, Some(labels)));
        let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} is not of {current}"));
        let wanted: &[&str] = match families[&current].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["_bucket", "_count", "_sum"],
        };
        assert!(wanted.contains(&suffix), "{line}");
        for label in labels.into_iter().flat_map(|labels| split(labels.strip_suffix('}').unwrap())) {
            let (name, value) = label.split_once('=').unwrap();
            assert!(is_name(name) && value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(key.to_owned(), number).is_none(), "{key} stands twice");
    }
    samples
}

/// At the commas outside of quotation marks.
fn split(labels: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for char in labels.chars() {
        match char {
            ',' if !quoted => {
                parts.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = char == '\\' && !escaped;
        parts.last_mut().unwrap().push(char);
    }
    assert!(!quoted, "{labels}");
    parts
}

#[test]
fn each_kind_is_written_by_the_rules_and_odd_labels_are_escaped() {
    let odd = "a\"b\\c\nd,e}f".to_owned();
    let families = [
        Family::gauge(
            "one",
            "What \"it\" is.\nTwo lines.",
            vec![Sample::gauge([("label", odd), ("other", "x".into())], 1.5)],
        ),
        Family::counter("two", "Counted.", vec![Sample::counter([], 7)]),
        Family::histogram("three_seconds", "How long.", &[(0.001, 3), (0.01, 2)], 1, 0.25),
        Family::gauge("nothing", "Without figures.", Vec::new()),
    ];
    let text = render(&families);
    let samples = parse(&text);
    assert_eq!(samples["two_total"], 7.0);
    assert_eq!(samples[r#"one{label="a\"b\\c\nd,e}f",other="x"}"#], 1.5);
    assert_eq!(samples[r#"three_seconds_bucket{le="0.001"}"#], 3.0);
    assert_eq!(samples[r#"three_seconds_bucket{le="0.01"}"#], 5.0);
    assert_eq!(samples[r#"three_seconds_bucket{le="+Inf"}"#], 6.0);
    assert_eq!((samples["three_seconds_count"], samples["three_seconds_sum"]), (6.0, 0.25));
    assert!(!text.contains("nothing"));
}

#[test]
#[should_panic(expected = "stands twice")]
fn the_reader_of_this_test_finds_what_is_wrong() {
    parse(&render(&[Family::gauge("one", "", vec![Sample::gauge([], 1.0), Sample::gauge([], 2.0)])]));
}
