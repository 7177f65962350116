//! Where everything of the map stands: two columns of domains, and between them a channel that belongs to the calls.
//!
//! Text stands in the columns only, and every curve stays inside the hull of its control points, which lie in the
//! channel: so no call crosses text, however many there are. Which domain stands where, and in which order, is chosen
//! so that few curves cross. The same map gives the same drawing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::{Call, Kind, Model};

/// The width of the drawing, in its own units.
pub(crate) const WIDTH: f64 = 1120.0;
/// The width of a column.
const COLUMN: f64 = 262.0;
/// The height of a box.
pub(crate) const BOX: f64 = 26.0;
/// From one box to the next.
const STEP: f64 = 31.0;
/// Above a container's first box.
const HEAD: f64 = 36.0;
/// Below its last.
const FOOT: f64 = 9.0;
/// Left and right of its boxes.
const SIDE: f64 = 12.0;
/// Between two containers.
const GAP: f64 = 18.0;
/// Around everything, so that outlines are whole.
const EDGE: f64 = 1.0;
/// From a box to where its arrows end.
const TIP: f64 = 3.0;
/// Up to so many domains, every way to part them is tried.
const TRIED: usize = 10;
/// How often the order is improved.
const SWEEPS: usize = 10;

/// A rectangle.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// The drawing: groups and calls as the model has them, each with its place.
#[derive(Debug)]
pub(crate) struct Drawing {
    pub height: f64,
    pub groups: Vec<Placed>,
    pub curves: Vec<Curve>,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Its place in the model.
    pub group: usize,
    pub rect: Rect,
    pub is_left: bool,
    /// Its boxes: their places in the group, and where they stand.
    pub nodes: Vec<(usize, Rect)>,
}

/// A call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Curve {
    /// Its place in the model.
    pub call: usize,
    /// Start, two control points, end.
    pub points: [(f64, f64); 4],
    pub width: f64,
}

/// Places everything.
pub(crate) fn draw(model: &Model) -> Drawing {
    let ends = ends(model);
    let mut best = Arrangement::first(model, &ends);
    let mut best_cost = best.cost(&ends);
    let mut next = best.clone();
    for sweep in 0..SWEEPS {
        // one column holds still while the other moves, or both would change places for ever
        next = next.improved(&ends, sweep % 2 == 0);
        let cost = next.cost(&ends);
        if cost < best_cost {
            (best, best_cost) = (next.clone(), cost);
        }
    }
    best.drawing(model, &ends)
}

/// A box of the model, by number.
#[derive(Clone, Debug)]
struct Spot {
    group: usize,
    node: usize,
    kind: Kind,
    y: f64,
    is_left: bool,
}

/// A call between two numbered boxes.
#[derive(Clone, Copy)]
struct End {
    call: usize,
    from: usize,
    to: usize,
}

fn ends(model: &Model) -> Vec<End> {
    let keys: Vec<&str> =
        model.groups.iter().flat_map(|group| group.nodes.iter().map(|node| node.key.as_str())).collect();
    let number: HashMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    let end = |(call, of): (usize, &Call)| {
        Some(End { call, from: *number.get(of.from.as_str())?, to: *number.get(of.to.as_str())? })
    };
    model.calls.iter().enumerate().filter_map(end).collect()
}

/// An order of groups in two columns, and of boxes in each.
#[derive(Clone)]
struct Arrangement {
    /// Numbers of groups from top to bottom, left and right.
    columns: [Vec<usize>; 2],
    /// Numbers of boxes from top to bottom, by group.
    orders: Vec<Vec<usize>>,
    spots: Vec<Spot>,
    height: f64,
}

impl Arrangement {
    fn first(model: &Model, ends: &[End]) -> Self {
        let mut spots = Vec::new();
        let mut orders = Vec::new();
        for (group, of) in model.groups.iter().enumerate() {
            let from = spots.len();
            let spot =
                |(node, of): (usize, &super::model::Node)| Spot { group, node, kind: of.kind, y: 0.0, is_left: true };
            spots.extend(of.nodes.iter().enumerate().map(spot));
            orders.push((from..spots.len()).collect());
        }
        let columns = columns(model, &spots, ends);
        let mut made = Self { columns, orders, spots, height: 0.0 };
        made.place();
        made
    }

    fn tall(&self, group: usize) -> f64 {
        tall(self.orders.get(group).map_or(0, Vec::len))
    }

    fn column_height(&self, column: &[usize]) -> f64 {
        let sum: f64 = column.iter().map(|group| self.tall(*group) + GAP).sum();
        (sum - GAP).max(0.0)
    }

    /// Gives every box its height in the drawing. The shorter column stands in the middle of the longer.
    fn place(&mut self) {
        let heights = self.columns.each_ref().map(|column| self.column_height(column));
        let [left, right] = heights;
        self.height = left.max(right);
        for ((column, is_left), height) in self.columns.iter().zip([true, false]).zip(heights) {
            let mut top = EDGE + (self.height - height) / 2.0;
            for group in column {
                let order = self.orders.get(*group).map(Vec::as_slice).unwrap_or_default();
                for (row, spot) in (0_u32..).zip(order) {
                    if let Some(spot) = self.spots.get_mut(*spot) {
                        spot.y = top + HEAD + f64::from(row) * STEP + BOX / 2.0;
                        spot.is_left = is_left;
                    }
                }
                top += tall(order.len()) + GAP;
            }
        }
        self.height += 2.0 * EDGE;
    }

    fn y(&self, spot: usize) -> f64 {
        self.spots.get(spot).map_or(0.0, |spot| spot.y)
    }

    fn is_left(&self, spot: usize) -> bool {
        self.spots.get(spot).is_some_and(|spot| spot.is_left)
    }

    /// The same with the boxes and groups of a column nearer to what they talk to.
    fn improved(&self, ends: &[End], left: bool) -> Self {
        let mut sums = vec![(0.0_f64, 0.0_f64); self.spots.len()];
        for end in ends {
            for (one, other) in [(end.from, end.to), (end.to, end.from)] {
                if let Some((sum, number)) = sums.get_mut(one) {
                    *sum += self.y(other);
                    *number += 1.0;
                }
            }
        }
        let pull = |spot: usize| match sums.get(spot) {
            Some((sum, number)) if *number > 0.0 => sum / number,
            _ => self.y(spot),
        };
        let mut next = self.clone();
        for order in
            next.orders.iter_mut().filter(|order| order.first().is_some_and(|spot| self.is_left(*spot) == left))
        {
            let kind = |spot: &usize| self.spots.get(*spot).map(|spot| spot.kind);
            order.sort_by(|a, b| kind(a).cmp(&kind(b)).then(pull(*a).total_cmp(&pull(*b))).then(a.cmp(b)));
        }
        let group_pull = |group: usize| {
            let order = self.orders.get(group).map(Vec::as_slice).unwrap_or_default();
            let sum: f64 = order.iter().map(|spot| pull(*spot)).sum();
            sum / f64::from(u32::try_from(order.len()).unwrap_or(u32::MAX)).max(1.0)
        };
        let [left_column, right_column] = &mut next.columns;
        let column = if left { left_column } else { right_column };
        column.sort_by(|a, b| group_pull(*a).total_cmp(&group_pull(*b)).then(a.cmp(b)));
        next.place();
        next
    }

    /// How tangled it is: crossings of calls through the channel, and a little for length.
    fn cost(&self, ends: &[End]) -> f64 {
        /// Beyond it, counting every pair takes longer than it is worth.
        const COUNTED: usize = 800;
        let across: Vec<(f64, f64)> = ends
            .iter()
            .filter(|end| self.is_left(end.from) != self.is_left(end.to))
            .map(|end| if self.is_left(end.from) { (end.from, end.to) } else { (end.to, end.from) })
            .map(|(left, right)| (self.y(left), self.y(right)))
            .collect();
        let mut crossings = 0.0;
        for (place, a) in across.iter().enumerate().take(COUNTED) {
            let crossed = across.iter().take(COUNTED).skip(place + 1).filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0);
            crossings += f64::from(u32::try_from(crossed.count()).unwrap_or(u32::MAX));
        }
        let length: f64 = ends.iter().map(|end| (self.y(end.from) - self.y(end.to)).abs()).sum();
        crossings + length / 120.0
    }

    fn drawing(&self, model: &Model, ends: &[End]) -> Drawing {
        let mut groups = Vec::new();
        for (column, is_left) in self.columns.iter().zip([true, false]) {
            for group in column {
                groups.extend(self.placed(*group, is_left));
            }
        }
        Drawing { height: self.height, groups, curves: self.curves(model, ends) }
    }

    fn placed(&self, group: usize, is_left: bool) -> Option<Placed> {
        let order = self.orders.get(group)?;
        let top = order.first().map(|spot| self.y(*spot) - BOX / 2.0 - HEAD)?;
        let x = if is_left { EDGE } else { WIDTH - EDGE - COLUMN };
        let node = |spot: &usize| {
            let spot = self.spots.get(*spot)?;
            Some((spot.node, Rect { x: x + SIDE, y: spot.y - BOX / 2.0, width: COLUMN - 2.0 * SIDE, height: BOX }))
        };
        let rect = Rect { x, y: top, width: COLUMN, height: self.tall(group) };
        Some(Placed { group, rect, is_left, nodes: order.iter().filter_map(node).collect() })
    }

    fn curves(&self, model: &Model, ends: &[End]) -> Vec<Curve> {
        let ports = Ports::of(self, ends);
        let curve = |(number, end): (usize, &End)| {
            let call = model.calls.get(end.call)?;
            let (from, to) = (self.port(end.from, ports.at(number, true)), self.port(end.to, ports.at(number, false)));
            Some(Curve { call: end.call, points: self.bend(end, from, to), width: width(call.total()) })
        };
        ends.iter().enumerate().filter_map(curve).collect()
    }

    /// The point at the inner side of a box's container.
    fn port(&self, spot: usize, offset: f64) -> (f64, f64) {
        let x = EDGE + COLUMN + TIP;
        (if self.is_left(spot) { x } else { WIDTH - x }, self.y(spot) + offset)
    }

    fn bend(&self, end: &End, from: (f64, f64), to: (f64, f64)) -> [(f64, f64); 4] {
        let channel = WIDTH - 2.0 * (EDGE + COLUMN + TIP);
        let inwards = |spot: usize, by: f64| if self.is_left(spot) { by } else { -by };
        let by = if self.is_left(end.from) == self.is_left(end.to) {
            ((from.1 - to.1).abs() * 0.42 + 34.0).min(channel * 0.46)
        } else {
            channel * 0.46
        };
        [from, (from.0 + inwards(end.from, by), from.1), (to.0 + inwards(end.to, by), to.1), to]
    }
}

fn tall(boxes: usize) -> f64 {
    HEAD + f64::from(u32::try_from(boxes).unwrap_or(u32::MAX)) * STEP - (STEP - BOX) + FOOT
}

/// Wide calls are frequent ones: one more unit for each ten times as many.
fn width(total: u64) -> f64 {
    1.2 + f64::from(u32::try_from(total).unwrap_or(u32::MAX).max(1)).log10()
}

/// Parts the groups so that both columns are about as high, and domains that talk face each other.
fn columns(model: &Model, spots: &[Spot], ends: &[End]) -> [Vec<usize>; 2] {
    let groups = model.groups.len();
    let parting = Parting::of(model, spots, ends);
    let sides = if groups <= TRIED {
        // the first group stands on the left: the mirrored way is the same
        let ways = (0..1_usize << groups).filter(|mask| mask & 1 == 0);
        let sides = |mask: usize| (0..groups).map(|group| mask >> group & 1 == 1).collect::<Vec<bool>>();
        ways.map(sides).min_by(|a, b| parting.cost(a).total_cmp(&parting.cost(b))).unwrap_or_default()
    } else {
        parting.improved((0..groups).map(|group| group % 2 == 1).collect())
    };
    let on =
        |wanted: bool| sides.iter().enumerate().filter(move |(_, right)| **right == wanted).map(|(group, _)| group);
    [on(false).collect(), on(true).collect()]
}

/// What makes one way to part the groups better than another.
struct Parting {
    heights: Vec<f64>,
    /// Pairs of groups with calls between them, and how many.
    talks: BTreeMap<(usize, usize), f64>,
}

impl Parting {
    fn of(model: &Model, spots: &[Spot], ends: &[End]) -> Self {
        let group_of = |spot: usize| spots.get(spot).map(|spot| spot.group).unwrap_or_default();
        let mut talks = BTreeMap::new();
        for (a, b) in ends.iter().map(|end| (group_of(end.from), group_of(end.to))).filter(|(a, b)| a != b) {
            *talks.entry((a.min(b), a.max(b))).or_default() += 1.0;
        }
        Self { heights: model.groups.iter().map(|group| tall(group.nodes.len()) + GAP).collect(), talks }
    }

    /// Of a way, true for groups on the right: the height of the drawing, and what does not go through the channel.
    fn cost(&self, sides: &[bool]) -> f64 {
        let sum = |wanted: bool| -> f64 {
            self.heights.iter().zip(sides).filter(|(_, right)| **right == wanted).map(|(height, _)| height).sum()
        };
        let same = self.talks.iter().filter(|((a, b), _)| sides.get(*a) == sides.get(*b)).map(|(_, number)| number);
        sum(true).max(sum(false)) + 9.0 * same.sum::<f64>()
    }

    /// Moves groups to the other side, and exchanges them, as long as it helps.
    fn improved(&self, mut sides: Vec<bool>) -> Vec<bool> {
        /// Each pass looks at every pair; few are enough.
        const PASSES: usize = 6;
        /// With more groups, looking at pairs takes longer than it is worth.
        const PAIRED: usize = 48;
        let mut cost = self.cost(&sides);
        for _ in 0..PASSES {
            let before = cost;
            for one in 0..sides.len() {
                let others = if sides.len() > PAIRED { one + 1 } else { sides.len() };
                for other in one..others {
                    let mut next = sides.clone();
                    for group in BTreeSet::from([one, other]) {
                        if let Some(side) = next.get_mut(group) {
                            *side = !*side;
                        }
                    }
                    let found = self.cost(&next);
                    if found < cost {
                        (sides, cost) = (next, found);
                    }
                }
            }
            if cost >= before {
                break;
            }
        }
        sides
    }
}

/// Where at its box each end of a call stands, above or below the middle.
struct Ports {
    /// By number of the call: at its start, at its end.
    offsets: Vec<(f64, f64)>,
}

impl Ports {
    fn of(arrangement: &Arrangement, ends: &[End]) -> Self {
        let mut at: Vec<Vec<(u8, f64, usize, bool)>> = vec![Vec::new(); arrangement.spots.len()];
        for (number, end) in ends.iter().enumerate() {
            for (one, other, is_start) in [(end.from, end.to, true), (end.to, end.from, false)] {
                let (class, key) = rank(arrangement, one, other, is_start);
                if let Some(list) = at.get_mut(one) {
                    list.push((class, key, number, is_start));
                }
            }
        }
        let mut offsets = vec![(0.0, 0.0); ends.len()];
        for list in &mut at {
            list.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)).then(a.3.cmp(&b.3)));
            let last = f64::from(u32::try_from(list.len().saturating_sub(1)).unwrap_or(u32::MAX));
            let space = if last > 0.0 { ((BOX - 6.0) / last).min(6.5) } else { 0.0 };
            for (row, (_, _, number, is_start)) in (0_u32..).zip(list.iter()) {
                let offset = (f64::from(row) - last / 2.0) * space;
                if let Some((start, end)) = offsets.get_mut(*number) {
                    *(if *is_start { start } else { end }) = offset;
                }
            }
        }
        Self { offsets }
    }

    fn at(&self, number: usize, is_start: bool) -> f64 {
        self.offsets.get(number).map_or(0.0, |(start, end)| if is_start { *start } else { *end })
    }
}

/// From top to bottom: calls to boxes above in the same column, near ones first; calls across; calls to boxes below,
/// far ones first. Then arcs lie inside each other and do not cross.
fn rank(arrangement: &Arrangement, one: usize, other: usize, is_start: bool) -> (u8, f64) {
    let (own, there) = (arrangement.y(one), arrangement.y(other));
    if arrangement.is_left(one) != arrangement.is_left(other) {
        return (1, there);
    }
    let is_below = there > own || (one == other && !is_start);
    (if is_below { 2 } else { 0 }, -there)
}

/// The point of a curve at `t`, and the curve's first part up to it (de Casteljau).
pub(crate) fn cut_at(points: [(f64, f64); 4], t: f64) -> [(f64, f64); 4] {
    let between = |a: (f64, f64), b: (f64, f64)| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
    let [a, b, c, d] = points;
    let (ab, bc, cd) = (between(a, b), between(b, c), between(c, d));
    let (abc, bcd) = (between(ab, bc), between(bc, cd));
    [a, ab, abc, between(abc, bcd)]
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
