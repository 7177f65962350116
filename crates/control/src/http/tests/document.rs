//! docs/openapi.json, held against the table of questions and the types that travel.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::*;

mod samples;

/// What a check found and saw.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    /// `SCHEMA.property`.
    properties: BTreeSet<String>,
    /// `SCHEMA=value` of enumerations, and `SCHEMA|branch` of choices.
    values: BTreeSet<String>,
}

/// Holds a value against a schema, strictly: what the schema does not name is wrong.
fn check(document: &Value, name: &str, schema: &Value, value: &Value, seen: &mut Seen) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return check(document, name, &document["components"]["schemas"][name], value, seen);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| {
            let mut seen = Seen::default();
            check(document, name, choice, value, &mut seen);
            seen.wrong.is_empty()
        };
        let fitting: Vec<&Value> = choices.iter().filter(fits).collect();
        let [one] = fitting.as_slice() else {
            return seen.wrong.push(format!("{name}: {value} fits {} of the choices", fitting.len()));
        };
        seen.values.insert(format!("{name}|{one}"));
        return check(document, name, one, value, seen);
    }
    if let Some(only) = schema.get("const") {
        if only != value {
            seen.wrong.push(format!("{name}: {value} is not {only}"));
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        many => many.as_array().map(|many| many.iter().filter_map(Value::as_str).collect()).unwrap_or_default(),
    };
    if !kinds.contains(&kind) {
        return seen.wrong.push(format!("{name}: {value} is not of {kinds:?}"));
    }
    if let Some(values) = schema["enum"].as_array() {
        seen.values.insert(format!("{name}={value}"));
        if !values.contains(value) {
            seen.wrong.push(format!("{name}: {value} is not one of {values:?}"));
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| check(document, name, &schema["items"], item, seen)),
        Value::Object(fields) => object(document, name, schema, fields, seen),
        _ => {}
    }
}

fn object(document: &Value, name: &str, schema: &Value, fields: &serde_json::Map<String, Value>, seen: &mut Seen) {
    let (properties, more) = (&schema["properties"], &schema["additionalProperties"]);
    for (field, value) in fields {
        let place = format!("{name}.{field}");
        match properties.get(field) {
            Some(property) => check(document, &place, property, value, seen),
            None if more.is_object() => check(document, &place, more, value, seen),
            None => seen.wrong.push(format!("{place} is not in the document")),
        }
        seen.properties.insert(place);
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(required) {
            seen.wrong.push(format!("{name}.{required} is missing in {fields:?}"));
        }
    }
}

/// Everything that a schema can say: its properties, its values, its choices.
fn whole(name: &str, schema: &Value, all: &mut Seen) {
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        all.properties.insert(format!("{name}.{field}"));
        whole(&format!("{name}.{field}"), property, all);
    }
    for value in schema["enum"].as_array().into_iter().flatten() {
        all.values.insert(format!("{name}={value}"));
    }
    for choice in schema["oneOf"].as_array().into_iter().flatten().filter(|choice| choice["type"] != "null") {
        all.values.insert(format!("{name}|{choice}"));
    }
    if schema["items"].is_object() {
        whole(name, &schema["items"], all);
    }
}

/// All samples of one schema together show all that it says, and nothing else.
#[test]
fn the_schemas_are_the_types() {
    let document = document();
    let samples = samples::all();
    let (mut seen, mut all) = (Seen::default(), Seen::default());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        whole(name, schema, &mut all);
        let own = samples.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        own.iter().for_each(|sample| check(&document, name, schema, sample, &mut seen));
    }
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    let unknown: Vec<_> = samples.keys().filter(|name| !schemas.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "no schema: {unknown:?}");
    let unseen: Vec<_> = all.properties.difference(&seen.properties).collect();
    assert!(unseen.is_empty(), "no sample shows {unseen:#?}");
    let unseen: Vec<_> = all.values.difference(&seen.values).collect();
    assert!(unseen.is_empty(), "no sample shows {unseen:#?}");
}

#[test]
fn the_paths_are_the_table() {
    let document = document();
    let mut told = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        told.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let table: BTreeSet<_> = ENDPOINTS.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    assert_eq!(told, table);
    let mut names = BTreeSet::new();
    for endpoint in ENDPOINTS {
        let operation = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let queries = parameters.iter().filter(|one| one["in"] == "query").count();
        assert_eq!(queries > 0, endpoint.query, "{}", endpoint.path);
        for named in endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert!(parameters.iter().any(|one| one["in"] == "path" && one["name"] == named), "{}", endpoint.path);
        }
        let has_body = operation["requestBody"].is_object();
        assert_eq!(has_body, endpoint.method == "POST", "{}", endpoint.path);
        let told: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = BTreeSet::from(["200", "400", "401", "403", "503"]);
        if has_body {
            wanted.extend(["413", "415"]);
        }
        assert!(told.is_superset(&wanted), "{}: {told:?}", endpoint.path);
        if let Kind::Act(act) = endpoint.kind {
            let words = operation["description"].as_str().unwrap();
            let cedar = if act == "withdraw" { "approve" } else { act };
            assert!(words.contains(&format!("The act `{cedar}`")), "{words}");
        }
    }
}

/// Every reference leads somewhere, and nothing stands there that nobody refers to.
#[test]
fn the_references_lead_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let parts = ["schemas", "responses"].into_iter().flat_map(|kind| {
        let parts = document["components"][kind].as_object().unwrap().keys();
        parts.map(move |name| format!("#/components/{kind}/{name}")).collect::<Vec<_>>()
    });
    // a line of the listing of decisions, which is no JSON document of its own
    let parts: BTreeSet<_> = parts.filter(|part| part != "#/components/schemas/Entry").collect();
    assert_eq!(found, parts);
}

/// What is answered is what the document says, for every question that the example of the document asks.
#[tokio::test]
async fn answers_are_what_the_document_says() {
    let world = World::owned();
    let document = document();
    for endpoint in ENDPOINTS {
        world.clock.advance(1);
        for door in [user(OWNER), user(4_001), user(4_005), Door::Nobody] {
            let answer = send(&world, &door, good(endpoint)).await;
            let operation = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
            let told = &operation["responses"][answer.status.to_string()];
            assert!(told.is_object(), "{} {}: {answer:?}", endpoint.method, endpoint.path);
            let told = match told["$ref"].as_str() {
                Some(reference) => &document["components"]["responses"][reference.rsplit('/').next().unwrap()],
                None => told,
            };
            let (kind, content) = told["content"].as_object().unwrap().iter().next().unwrap();
            let given = answer.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
            assert_eq!(given, kind, "{}", endpoint.path);
            if endpoint.path != "/v1/openapi.json" || answer.status != 200 {
                let mut seen = Seen::default();
                check(&document, endpoint.path, &content["schema"], &answer.body, &mut seen);
                assert!(seen.wrong.is_empty(), "{} {}: {:#?}", endpoint.method, endpoint.path, seen.wrong);
            }
        }
    }
}

fn put<T: Serialize>(
    all: &mut BTreeMap<&'static str, Vec<Value>>,
    name: &'static str,
    samples: impl IntoIterator<Item = T>,
) {
    all.entry(name).or_default().extend(samples.into_iter().map(|sample| json!(sample)));
}

/// The examples with curl in docs/admin-api.md ask what there is, in the way that it is asked.
#[tokio::test]
async fn the_examples_are_understood() {
    let world = World::owned();
    let text = include_str!("../../../../../docs/admin-api.md");
    let examples: Vec<&str> = text.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for line in examples {
        let url = line.split_whitespace().last().unwrap().trim_matches('\'');
        let (_, path) = url.split_once("/v1/").unwrap_or_else(|| panic!("{line}"));
        let body = line.split_once("-d '").map(|(_, rest)| rest.split('\'').next().unwrap());
        assert_eq!(body.is_some(), line.contains("-H 'Content-Type: application/json'"), "{line}");
        let body = body.map(|body| body.replace("finance/payments", "shop/storefront"));
        let method = if body.is_some() { "POST" } else { "GET" };
        // what follows the log does not end
        let path = format!("/v1/{path}").replace("follow=true", "follow=false");
        let answer = send(&world, &user(4_003), request(method, &path, body.as_deref().unwrap_or_default())).await;
        let there = answer.status == 200 || answer.body["message"] == "no proposal 3 waits for approval";
        assert!(there, "{line}: {answer:?}");
    }
}
