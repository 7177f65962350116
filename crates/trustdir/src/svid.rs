//! `svid`: how long credentials live, and what kind of key they have.

use core::time::Duration;

use types::KeyKind;

use crate::{
    decode::{Fields, Spanned, bad_value, duration, one_of},
    organisation::{PATH, spoken},
    problem::File,
    yaml::Node,
};

/// The shortest life: a renewal at half-life must have time for a retry.
const SHORTEST: Duration = Duration::from_mins(1);

/// `svid` as written, in `defaults`, in `floor` or in a domain.
#[derive(Clone, Default)]
pub(crate) struct RawSvid {
    ttl: Option<Spanned<Duration>>,
    jwt_ttl: Option<Spanned<Duration>>,
    key: Option<KeyKind>,
}

/// What holds.
#[derive(Clone, Copy)]
pub(crate) struct Svid {
    pub(crate) ttl: Duration,
    pub(crate) jwt_ttl: Duration,
    pub(crate) key: KeyKind,
}

/// What the organisation says about one kind of life.
#[derive(Clone, Copy)]
struct Bound {
    usual: Duration,
    /// The longest that anybody may set.
    floor: Duration,
    /// Whether what the file says of `floor` could be read. Where not, nothing is held against it.
    floor_is_known: bool,
    usual_is_known: bool,
}

/// What the organisation says, for domains to be held against.
pub(crate) struct Bounds {
    ttl: Bound,
    jwt_ttl: Bound,
    key: KeyKind,
}

/// Where nothing is said: certificates as DESIGN section 6 has them; a JWT-SVID is a bearer token, which is good for
/// whoever finds it.
impl Default for Bounds {
    fn default() -> Self {
        let bound = |usual, floor| Bound { usual, floor, floor_is_known: false, usual_is_known: false };
        Self {
            ttl: bound(Duration::from_hours(1), Duration::from_hours(24)),
            jwt_ttl: bound(Duration::from_mins(5), Duration::from_hours(1)),
            key: KeyKind::default(),
        }
    }
}

/// One kind of life, as `svid` names it.
#[derive(Clone, Copy)]
struct Life {
    key: &'static str,
    of: fn(&RawSvid) -> Option<&Spanned<Duration>>,
    standard_floor: &'static str,
}

const TTL: Life = Life { key: "svid.ttl", of: |raw| raw.ttl.as_ref(), standard_floor: "24h" };
const JWT_TTL: Life = Life { key: "svid.jwt_ttl", of: |raw| raw.jwt_ttl.as_ref(), standard_floor: "1h" };

/// Reads `svid` of `defaults` or of a domain.
pub(crate) fn read(node: &Node, file: &File<'_>) -> Option<RawSvid> {
    let mut fields = Fields::open(node, file, "`svid`")?;
    let mut raw = lives(&mut fields);
    raw.key = fields.take("key", key);
    fields.finish();
    Some(raw)
}

/// Reads `svid` of `floor`: kinds of key have no order that everybody agrees on.
pub(crate) fn read_floor(node: &Node, file: &File<'_>) -> Option<RawSvid> {
    let mut fields = Fields::open(node, file, "`svid` of `floor`")?;
    let raw = lives(&mut fields);
    fields.finish();
    Some(raw)
}

fn lives(fields: &mut Fields<'_, '_>) -> RawSvid {
    let ttl = fields.take("ttl", |node, file| life(node, file, TTL.key));
    let jwt_ttl = fields.take("jwt_ttl", |node, file| life(node, file, JWT_TTL.key));
    RawSvid { ttl, jwt_ttl, key: None }
}

fn life(node: &Node, file: &File<'_>, key: &str) -> Option<Spanned<Duration>> {
    let value = duration(node, file)?;
    if value < SHORTEST {
        let message = format!("`{key}` of {} is too short", spoken(value));
        bad_value(node, file, message, "at least 1m, so that a renewal at half-life has time for a second try");
        return None;
    }
    Some(Spanned { value, span: node.point().clone() })
}

fn key(node: &Node, file: &File<'_>) -> Option<KeyKind> {
    let words = KeyKind::ALL.map(|kind| (kind.as_str(), kind));
    one_of(node, file, "`p256`, `p384` or `rsa-2048`", &words)
}

/// Whether `defaults` and `floor` could be read as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) defaults: bool,
    pub(crate) floor: bool,
}

impl Bounds {
    /// What `defaults` and `floor` make of it; reports a default that is weaker than the floor.
    pub(crate) fn new(defaults: &RawSvid, floor: &RawSvid, whole: Whole, file: &File<'_>) -> Self {
        let standard = Self::default();
        Self {
            ttl: standard.ttl.settle(TTL, defaults, floor, whole, file),
            jwt_ttl: standard.jwt_ttl.settle(JWT_TTL, defaults, floor, whole, file),
            key: defaults.key.unwrap_or(standard.key),
        }
    }

    /// Reports what a domain sets weaker than the floor, and warns of what is weaker than usual.
    pub(crate) fn check(&self, raw: &RawSvid, file: &File<'_>) {
        self.ttl.check(TTL, raw, "a stolen credential is good for as long", file);
        self.jwt_ttl.check(JWT_TTL, raw, "a stolen token is good for as long, for whoever has it", file);
    }

    /// What holds in a domain.
    pub(crate) fn resolve(&self, raw: &RawSvid) -> Svid {
        let life = |life: Life, bound: &Bound| (life.of)(raw).map_or(bound.usual, |written| written.value);
        Svid { ttl: life(TTL, &self.ttl), jwt_ttl: life(JWT_TTL, &self.jwt_ttl), key: raw.key.unwrap_or(self.key) }
    }
}

impl Bound {
    fn settle(self, life: Life, defaults: &RawSvid, floor: &RawSvid, whole: Whole, file: &File<'_>) -> Self {
        let (usual, most) = ((life.of)(defaults), (life.of)(floor));
        let mut bound = self;
        bound.floor_is_known = most.is_some() || whole.floor;
        bound.usual_is_known = bound.floor_is_known && (usual.is_some() || whole.defaults);
        if let Some(most) = most {
            bound.floor = most.value;
            bound.usual = bound.usual.min(most.value);
        }
        if let Some(usual) = usual {
            bound.check_floor(life, usual, file);
            bound.usual = usual.value.min(bound.floor);
        }
        bound
    }

    fn check_floor(&self, life: Life, written: &Spanned<Duration>, file: &File<'_>) {
        if written.value > self.floor && self.floor_is_known {
            let (asked, floor) = (spoken(written.value), spoken(self.floor));
            let message = format!("`{}` of {asked} is weaker than the floor of {floor}", life.key);
            let standard = life.standard_floor;
            let hint = format!("at most {floor}; the floor stands in {PATH}, or is {standard} where it says nothing");
            file.error("settings.below-floor", &written.span, message, Some(hint));
        }
    }

    fn check(&self, life: Life, raw: &RawSvid, harm: &str, file: &File<'_>) {
        let Some(written) = (life.of)(raw) else { return };
        self.check_floor(life, written, file);
        let is_weaker = written.value > self.usual && written.value <= self.floor;
        if is_weaker && self.usual_is_known {
            let (asked, usual) = (spoken(written.value), spoken(self.usual));
            let message = format!("`{}` of {asked} is weaker than the organisation's {usual}", life.key);
            file.warn("settings.weaker", &written.span, message, Some(harm.to_owned()));
        }
    }
}
