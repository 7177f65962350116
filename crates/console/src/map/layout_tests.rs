//! The drawing keeps its promises for small and large organisations.

use std::collections::BTreeSet;

use api::admin::{Answer, Count, MapDomain};

use super::super::model::tests::{domain, line};
use super::*;

/// A repeatable stream of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn organisation(
    domains: usize,
    services: usize,
    callers: usize,
    calls: usize,
    seed: u64,
) -> (Vec<MapDomain>, Vec<Count>) {
    let mut numbers = Numbers(seed);
    let all: Vec<MapDomain> =
        (0..domains).map(|at| domain(&format!("domain-{at}"), services + at % 3, callers + at % 2)).collect();
    let counts = (0..calls).map(|at| {
        let (from, to) = (numbers.below(domains), numbers.below(domains));
        let caller = match numbers.below(8) {
            0 => String::new(),
            1 => format!("domain-{from}/service-{}", numbers.below(services)),
            _ => format!("domain-{from}/caller-{}", numbers.below(callers)),
        };
        let service = format!("domain-{to}/service-{}", numbers.below(services));
        line(&caller, &service, [Answer::Allow, Answer::WouldDeny, Answer::Deny][at % 3], at as u64)
    });
    let counts = counts.collect();
    (all, counts)
}

fn cases() -> Vec<(Model, &'static str)> {
    let model = |domains, services, callers, calls, seed| {
        let (domains, counts) = organisation(domains, services, callers, calls, seed);
        Model::of(&domains, &counts, &BTreeSet::from(["domain-1".to_owned()]))
    };
    let mut cases = vec![
        (Model::default(), "nothing"),
        (model(1, 1, 1, 1, 1), "one service"),
        (model(4, 5, 3, 60, 2), "twenty services"),
        (model(8, 25, 12, 900, 3), "two hundred services"),
        (model(40, 6, 4, 900, 4), "forty domains"),
    ];
    cases.extend((0..20).map(|seed| (model(4, 4, 3, 80, 100 + seed), "twenty services, at random")));
    cases
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

#[test]
fn no_two_boxes_overlap_and_each_stands_in_its_container() {
    for (model, name) in cases() {
        let drawing = draw(&model);
        assert_eq!(drawing.groups.len(), model.groups.len(), "{name}");
        let boxes: Vec<Rect> =
            drawing.groups.iter().flat_map(|group| group.nodes.iter().map(|(_, rect)| *rect)).collect();
        assert_eq!(boxes.len(), model.groups.iter().map(|group| group.nodes.len()).sum::<usize>(), "{name}");
        for rects in [boxes, drawing.groups.iter().map(|group| group.rect).collect()] {
            for (at, a) in rects.iter().enumerate() {
                assert!(
                    a.x >= 0.0 && a.y >= 0.0 && a.x + a.width <= WIDTH && a.y + a.height <= drawing.height,
                    "{name}"
                );
                assert!(!rects[at + 1..].iter().any(|b| overlap(a, b)), "{name}: {a:?}");
            }
        }
        for group in &drawing.groups {
            for (_, rect) in &group.nodes {
                let fits = group.rect.x < rect.x && rect.x + rect.width < group.rect.x + group.rect.width;
                assert!(
                    fits && group.rect.y + 20.0 < rect.y && rect.y + rect.height < group.rect.y + group.rect.height
                );
            }
        }
    }
}

/// Text stands in containers. A curve stays between its control points.
#[test]
fn no_call_crosses_text() {
    for (model, name) in cases() {
        let drawing = draw(&model);
        assert_eq!(drawing.curves.len(), model.calls.len(), "{name}");
        for curve in &drawing.curves {
            for step in 0..=50 {
                let [.., (x, y)] = cut_at(curve.points, f64::from(step) / 50.0);
                let inside = |rect: &Rect| {
                    let half = curve.width / 2.0;
                    overlap(rect, &Rect { x: x - half, y: y - half, width: curve.width, height: curve.width })
                };
                assert!(!drawing.groups.iter().any(|group| inside(&group.rect)), "{name}: {curve:?}");
                assert!((0.0..=drawing.height).contains(&y), "{name}: {curve:?}");
            }
        }
    }
}

#[test]
fn every_call_begins_and_ends_beside_its_boxes() {
    for (model, name) in cases() {
        let drawing = draw(&model);
        let middle = |key: &str| {
            let found = drawing.groups.iter().flat_map(|placed| {
                placed.nodes.iter().map(|(node, rect)| (&model.groups[placed.group].nodes[*node].key, rect))
            });
            let rect = found.into_iter().find(|(known, _)| *known == key).unwrap().1;
            rect.y + rect.height / 2.0
        };
        for curve in &drawing.curves {
            let call = &model.calls[curve.call];
            assert!((curve.points[0].1 - middle(&call.from)).abs() <= BOX / 2.0, "{name}");
            assert!((curve.points[3].1 - middle(&call.to)).abs() <= BOX / 2.0, "{name}");
        }
    }
}

#[test]
fn the_same_map_gives_the_same_drawing() {
    for (model, name) in cases() {
        assert_eq!(format!("{:?}", draw(&model)), format!("{:?}", draw(&model.clone())), "{name}");
    }
}

#[test]
fn the_order_untangles_what_can_be_untangled() {
    // two domains that face each other, wired upside down
    let counts: Vec<Count> =
        (0..5).map(|at| line(&format!("a/caller-{at}"), &format!("b/service-{}", 4 - at), Answer::Allow, 1)).collect();
    let model = Model::of(&[domain("a", 0, 5), domain("b", 5, 0)], &counts, &BTreeSet::new());
    let drawing = draw(&model);
    for (at, a) in drawing.curves.iter().enumerate() {
        for b in &drawing.curves[at + 1..] {
            assert!((a.points[0].1 - b.points[0].1) * (a.points[3].1 - b.points[3].1) > 0.0);
        }
    }
}

#[test]
fn frequent_calls_are_wider_and_none_vanishes() {
    assert!(width(0) > 1.0 && width(10) > width(1) && width(1000) - width(100) < 1.1);
}
