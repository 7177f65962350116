//! Tests of the reader.

use super::*;
use crate::problem::{Sink, Text};

fn tree(text: &str) -> String {
    let sink = Sink::default();
    let content = Text::new(text.to_owned());
    let node = read(&File { path: "f", text: &content, sink: &sink });
    let problems = sink.into_problems();
    if let Some(problem) = problems.first() {
        let under = problem.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
        return format!("{} [{under}] {}", problem.code, problem.message);
    }
    node.map(|node| show(&node)).unwrap_or_default()
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => format!("#{text}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let shown = entries.iter().map(|entry| format!("{}={}", entry.key, show(&entry.node)));
            format!("{{{}}}", shown.collect::<Vec<_>>().join(" "))
        }
        Value::Broken => "broken".to_owned(),
    }
}

#[test]
fn scalars_are_typed_by_the_core_schema() {
    for (text, want) in [
        ("null", "null"),
        ("~", "null"),
        ("a:", "{a=null}"),
        ("true", "true"),
        ("FALSE", "false"),
        ("yes", "\"yes\""),
        ("no", "\"no\""),
        ("on", "\"on\""),
        ("\"true\"", "\"true\""),
        ("12", "#12"),
        ("-12", "#-12"),
        ("012", "#012"),
        ("0o14", "#0o14"),
        ("0xC", "#0xC"),
        ("1.5", "#1.5"),
        (".5", "#.5"),
        ("1e3", "#1e3"),
        ("1.", "#1."),
        (".inf", "#.inf"),
        ("3.0.3", "\"3.0.3\""),
        ("1e", "\"1e\""),
        (".", "\".\""),
        ("+", "\"+\""),
        ("0x", "\"0x\""),
        ("15m", "\"15m\""),
        ("1_000", "\"1_000\""),
        ("12:30", "\"12:30\""),
        ("2026-03-02", "\"2026-03-02\""),
        ("'12'", "\"12\""),
        ("|\n  a\n  b\n", "\"a\\nb\\n\""),
    ] {
        assert_eq!(tree(text), want, "{text}");
    }
}

#[test]
fn json_is_read_by_the_same_reader() {
    let text = "{\n\t\"a\": [1, true, null, \"x\\n\\u00e9\\ud83d\\ude00\\/\"],\n\t\"b\":{\"c\":{}}\n}\n";
    assert_eq!(tree(text), "{a=[#1 true null \"x\\né😀/\"] b={c={}}}");
}

#[test]
fn long_json_on_one_line_is_read() {
    let paths: Vec<_> = (0..2_000).map(|n| format!("\"/a{n}\":{{\"get\":{{\"summary\":\"{n}\"}}}}")).collect();
    let text = format!("{{\"openapi\":\"3.0.0\",\"paths\":{{{}}}}}", paths.join(","));
    assert!(tree(&text).contains("/a1999={get={summary=\"1999\"}}"));
}

#[test]
fn what_is_not_in_the_subset_is_refused() {
    for (text, want) in [
        ("", "yaml.empty [] the file is empty"),
        ("# only a comment\n", "yaml.empty [] the file is empty"),
        ("a: &x 1", "yaml.anchor [&x] anchors are not read"),
        ("a: *x", "yaml.anchor [*x] aliases are not read"),
        ("a: !!str 1", "yaml.tag [!!str] tags are not read"),
        ("<<: {}", "yaml.merge-key [<<] merge keys are not read"),
        ("a: 1\n---\nb: 2", "yaml.documents [---] a second document starts here"),
        ("a: 1\nb: 2\na: 3", "yaml.duplicate-key [a] the key `a` stands twice"),
        ("\"a\": 1\na: 3", "yaml.duplicate-key [a] the key `a` stands twice"),
        ("? [a]\n: b", "yaml.key [[a]] a list cannot be a key"),
        (": b", "yaml.key [] nothing cannot be a key"),
        ("%YAML 1.2\n---\na: 1", "yaml.syntax [%] directives are not read"),
        ("a: b: c", "yaml.syntax [:] a `:` is not expected here"),
        ("a:\n\t- b", "yaml.syntax [-] a tab cannot indent"),
        ("a: [1, 2", "yaml.syntax [[] this `[` is never closed"),
        ("a: [1}", "yaml.syntax [[] `[` is closed by `}`"),
        ("a: \"x", "yaml.syntax [\"] this quote is never closed"),
        ("a: @x", "yaml.syntax [@] the character `@` cannot start a value"),
    ] {
        assert_eq!(tree(text), want, "{text}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(tree(&nested(64)).starts_with("[[["));
    assert!(tree(&nested(65)).ends_with("nested deeper than 64 levels"), "{}", tree(&nested(65)));
    let block: String = (0..70).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(tree(&block).ends_with("nested deeper than 64 levels"), "{}", tree(&block));
    assert!(tree(&format!("{}[{}]", "- ".repeat(40), nested(40))).ends_with("nested deeper than 64 levels"));
    let mixed = |depth: usize| format!("{}{}", "- ".repeat(32), nested(depth - 32));
    assert!(tree(&mixed(64)).starts_with("[[["));
    assert!(tree(&mixed(65)).ends_with("nested deeper than 64 levels"));
    let many = "[".to_owned() + &"1,".repeat(500_001) + "]";
    assert!(tree(&many).starts_with("yaml.too-large"));
}

#[test]
fn spans_cover_what_is_written() {
    let text = "a: x\nb:\n  - é: \"q\"\n";
    let sink = Sink::default();
    let content = Text::new(text.to_owned());
    let root = read(&File { path: "f", text: &content, sink: &sink }).expect("tree");
    let b = root.get("b").expect("b");
    let Value::List(items) = &b.node.value else { panic!("a list") };
    let inner = items[0].get("é").expect("key");
    let cut = |span: &Range<usize>| text.get(span.clone()).unwrap_or("outside");
    assert_eq!(
        (cut(&b.node.at), cut(&items[0].at), cut(&inner.key_span), cut(&inner.node.span)),
        ("b", "é", "é", "\"q\"")
    );
}
