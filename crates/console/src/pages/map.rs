//! The map: who calls whom now, drawn and as a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use api::admin::{Answer, Count, CountQuery, Failure};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::Console;
use crate::answer::Ask;
use crate::map::layout::{BOX, Drawing, Placed, Rect, cut_at, draw};
use crate::map::model::{Call, Group, Kind, Model, NOBODY};
use crate::session::{Frame, Visitor};
use crate::show::{count, cut, grouped, link, number};

/// The time that is drawn, in minutes.
const MINUTES: u64 = 15;
/// The radius of a container's corners, where the band has no room.
const CORNER: f64 = 12.0;
/// Where on its way a refused call stops.
const STOP: f64 = 0.93;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Asked {
    /// The domains that are drawn whole, with commas between.
    open: String,
    sort: String,
}

#[derive(Template)]
#[template(path = "map.html")]
struct MapPage {
    frame: Frame,
    sentence: String,
    hint: String,
    is_empty: bool,
    is_folded: bool,
    height: String,
    containers: Vec<Container>,
    edges: Vec<Edge>,
    rows: Vec<Row>,
    sorts: Vec<Sort>,
}

struct Container {
    name: String,
    rect: Shape,
    mode: &'static str,
    is_relaxed: bool,
    title: String,
    /// The band: class and where.
    band: Option<(u8, String)>,
    band_y: String,
    band_height: String,
    /// The page with this domain opened or closed; `""` where it is always open.
    toggle: String,
    toggle_word: &'static str,
    toggle_shape: &'static str,
    boxes: Vec<Pill>,
    text_x: String,
    text_y: String,
    mode_x: String,
}

struct Pill {
    key: String,
    label: String,
    detail: String,
    kind: &'static str,
    rect: Shape,
    text_x: String,
    text_y: String,
    detail_x: String,
    href: String,
    title: String,
}

/// A rectangle in the words of SVG.
struct Shape {
    x: String,
    y: String,
    width: String,
    height: String,
}

struct Edge {
    path: String,
    class: &'static str,
    width: String,
    is_dashed: bool,
    arrow: &'static str,
    /// The square of a refusal.
    stop: Option<(String, String)>,
    from: String,
    to: String,
    href: String,
    told: String,
}

struct Row {
    from: String,
    to: String,
    all: String,
    allow: String,
    would: String,
    deny: String,
    is_refused: bool,
    is_shadowed: bool,
    routes: Vec<String>,
    href: String,
}

struct Sort {
    word: &'static str,
    href: String,
    is_here: bool,
    is_number: bool,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    console.show(visitor.at("map"), move |ask, frame| page(ask, frame, &asked)).await
}

fn page(ask: &Ask<'_>, frame: Frame, asked: &Asked) -> Result<MapPage, Failure> {
    let open: BTreeSet<String> = asked.open.split(',').map(str::to_owned).filter(|name| !name.is_empty()).collect();
    let minute = ask.now.seconds() / 60 + 1;
    let moment = |minute: u64| Some(minute * 60 * 1_000_000);
    let query = CountQuery { since: moment(minute.saturating_sub(MINUTES)), until: moment(minute) };
    let counts = ask.admin.counts(&query)?;
    let model = Model::of(&ask.admin.map(), &counts, &open);
    let drawing = draw(&model);
    let mut edges: Vec<Edge> = drawing
        .curves
        .iter()
        .filter_map(|curve| model.calls.get(curve.call).map(|call| edge(call, curve.points, curve.width)))
        .collect();
    // what is refused lies on top
    edges.sort_by_key(|edge| (edge.stop.is_some(), edge.class == "deny"));
    Ok(MapPage {
        frame,
        sentence: sentence(&counts),
        hint: hint(&model),
        is_empty: model.groups.is_empty(),
        is_folded: model.is_folded,
        height: units(drawing.height),
        containers: containers(&model, &drawing, &open),
        edges,
        rows: rows(&model, &asked.sort),
        sorts: sorts(asked),
    })
}

/// Said of services and callers, also where domains are folded.
fn sentence(counts: &[Count]) -> String {
    let known: Vec<&Count> = counts.iter().filter(|line| !line.service.is_empty()).collect();
    let refused: Vec<&&Count> = known.iter().filter(|line| line.answer == Answer::Deny).collect();
    let services: BTreeSet<&str> = known.iter().map(|line| line.service.as_str()).collect();
    if known.is_empty() {
        return "No service was called in the last 15 minutes.".to_owned();
    }
    let head =
        format!("{} called in the last 15 minutes", count(number(services.len()), "service was", "services were"));
    let callers: BTreeSet<&str> = refused.iter().map(|line| line.caller.as_str()).collect();
    let at: BTreeSet<&str> = refused.iter().map(|line| line.service.as_str()).collect();
    match (callers.first(), at.first(), callers.len(), at.len()) {
        (None, ..) | (_, None, ..) => format!("{head}; nothing is refused."),
        (Some(caller), Some(service), 1, 1) => {
            let caller = if caller.is_empty() { "a call without identity".to_owned() } else { cut(caller, 50) };
            format!("{head}; {caller} is refused at {service}.")
        }
        (_, _, callers, services) => {
            let callers = count(number(callers), "caller is", "callers are");
            format!("{head}; {callers} refused at {}.", count(number(services), "service", "services"))
        }
    }
}

fn hint(model: &Model) -> String {
    match model.nowhere {
        0 => String::new(),
        times => format!(
            "{} before a service was known and {} not drawn.",
            count(times, "more call was refused", "more calls were refused"),
            if times == 1 { "is" } else { "are" }
        ),
    }
}

/// A length with one digit behind the point.
fn units(length: f64) -> String {
    format!("{length:.1}")
}

fn shape(rect: &Rect) -> Shape {
    Shape { x: units(rect.x), y: units(rect.y), width: units(rect.width), height: units(rect.height) }
}

fn containers(model: &Model, drawing: &Drawing, open: &BTreeSet<String>) -> Vec<Container> {
    let container = |placed: &Placed| model.groups.get(placed.group).map(|group| container(group, placed, open));
    drawing.groups.iter().filter_map(container).collect()
}

fn container(group: &Group, placed: &Placed, open: &BTreeSet<String>) -> Container {
    let rect = &placed.rect;
    // the band stands at the outer side, away from the calls
    let band_x = if placed.is_left { rect.x } else { rect.x + rect.width - 4.0 };
    let pill = |(node, rect): &(usize, Rect)| group.nodes.get(*node).map(|node| pill(node, rect));
    Container {
        name: group.name.clone(),
        rect: shape(rect),
        mode: group.mode,
        is_relaxed: group.mode != "enforce" || !group.relaxed.is_empty(),
        title: title(group),
        band: group.band.map(|band| (band, units(band_x))),
        band_y: units(rect.y + CORNER),
        band_height: units(rect.height - 2.0 * CORNER),
        toggle: toggle(group, open),
        toggle_word: if group.is_closed { "open" } else { "close" },
        toggle_shape: if group.is_closed { "+" } else { "−" },
        boxes: placed.nodes.iter().filter_map(pill).collect(),
        text_x: units(rect.x + 14.0),
        text_y: units(rect.y + 23.0),
        mode_x: units(rect.x + rect.width - 14.0),
    }
}

fn title(group: &Group) -> String {
    let mut text = group.name.clone();
    if let Some(band) = group.band {
        let words = ["public", "internal", "confidential", "restricted"];
        text.push_str(&format!(", up to {}", words.get(usize::from(band)).copied().unwrap_or("restricted")));
    }
    if !group.mode.is_empty() {
        text.push_str(&format!(", mode {}", group.mode));
    }
    for relaxed in &group.relaxed {
        text.push_str(&format!("\n{relaxed}"));
    }
    text
}

fn toggle(group: &Group, open: &BTreeSet<String>) -> String {
    let mut wanted = open.clone();
    if group.is_closed {
        wanted.insert(group.name.clone());
    } else if !wanted.remove(&group.name) {
        return String::new();
    }
    link("/map", &[("open", &wanted.into_iter().collect::<Vec<_>>().join(","))])
}

fn pill(node: &crate::map::model::Node, rect: &Rect) -> Pill {
    let (kind, href) = match node.kind {
        Kind::Service => ("service", link("/decisions", &[("service", &node.key)])),
        Kind::Caller if node.key == NOBODY => ("caller", "/decisions?outcome=deny".to_owned()),
        Kind::Caller => ("caller", link("/decisions", &[("caller", &node.key)])),
        Kind::Domain => ("domain", link("/map", &[("open", &node.key)])),
    };
    Pill {
        label: cut(&node.label, if node.detail.is_empty() { 32 } else { 20 }),
        text_x: units(rect.x + if node.kind == Kind::Caller { 22.0 } else { 10.0 }),
        text_y: units(rect.y + BOX / 2.0 + 4.3),
        detail_x: units(rect.x + rect.width - 9.0),
        rect: shape(rect),
        title: if node.detail.is_empty() { node.key.clone() } else { format!("{}, {}", node.key, node.detail) },
        detail: node.detail.clone(),
        key: node.key.clone(),
        kind,
        href,
    }
}

fn edge(call: &Call, points: [(f64, f64); 4], width: f64) -> Edge {
    let passes = call.allow + call.would > 0;
    let stopped = cut_at(points, STOP);
    let drawn = if passes { points } else { stopped };
    let [(x, y), (a, b), (c, d), (e, f)] = drawn;
    let mut path = String::new();
    let _ = write!(path, "M{x:.1} {y:.1}C{a:.1} {b:.1} {c:.1} {d:.1} {e:.1} {f:.1}");
    let class = if call.deny * 2 >= call.total().max(1) { "deny" } else { "allow" };
    let [.., (stop_x, stop_y)] = stopped;
    Edge {
        path,
        class,
        width: units(width),
        is_dashed: call.would > 0,
        arrow: if passes { class } else { "" },
        stop: (call.deny > 0).then(|| (units(stop_x - 4.0), units(stop_y - 4.0))),
        href: address(call),
        told: call.told(MINUTES),
        from: call.from.clone(),
        to: call.to.clone(),
    }
}

/// The decisions of an edge.
fn address(call: &Call) -> String {
    let caller = if call.from == NOBODY { "" } else { call.from.as_str() };
    // a folded domain is no caller and no service
    if !call.to.contains('/') {
        return link("/map", &[("open", &call.to)]);
    }
    let outcome = if call.deny > 0 { "deny" } else { "" };
    link("/decisions", &[("outcome", outcome), ("caller", caller), ("service", &call.to)])
}

const SORTS: &[(&str, &str, bool)] = &[
    ("caller", "Caller", false),
    ("service", "Service", false),
    ("calls", "Calls", true),
    ("allowed", "Allowed", true),
    ("would", "Would refuse", true),
    ("refused", "Refused", true),
];

fn sorts(asked: &Asked) -> Vec<Sort> {
    let here = if SORTS.iter().any(|(name, _, _)| *name == asked.sort) { asked.sort.as_str() } else { "calls" };
    let sort = |(name, word, is_number): &(&'static str, &'static str, bool)| Sort {
        word,
        href: link("/map", &[("open", &asked.open), ("sort", name)]) + "#table",
        is_here: *name == here,
        is_number: *is_number,
    };
    SORTS.iter().map(sort).collect()
}

fn rows(model: &Model, sort: &str) -> Vec<Row> {
    let mut calls: Vec<&Call> = model.calls.iter().collect();
    let most = |value: fn(&Call) -> u64| move |a: &&Call, b: &&Call| value(b).cmp(&value(a));
    match sort {
        "caller" => calls.sort_by(|a, b| a.from.cmp(&b.from)),
        "service" => calls.sort_by(|a, b| a.to.cmp(&b.to)),
        "allowed" => calls.sort_by(most(|call| call.allow)),
        "would" => calls.sort_by(most(|call| call.would)),
        "refused" => calls.sort_by(most(|call| call.deny)),
        _ => calls.sort_by(most(Call::total)),
    }
    calls.into_iter().map(row).collect()
}

fn row(call: &Call) -> Row {
    Row {
        from: call.from.clone(),
        to: call.to.clone(),
        all: grouped(call.total()),
        allow: grouped(call.allow),
        would: grouped(call.would),
        deny: grouped(call.deny),
        is_refused: call.deny > 0,
        is_shadowed: call.would > 0,
        routes: call.routes.iter().map(|(route, times)| format!("{route} {}", grouped(*times))).collect(),
        href: address(call),
    }
}
