//! `countersign.yaml`: what holds for the whole organisation.

use core::time::Duration;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use types::{Label, Mode, TrustDomain};

use crate::{
    decode::{Fields, Shape, Spanned, bad_value, duration, one_of, parsed, text, whole},
    group::{self, NodeGroup},
    modes,
    operator::{self, Operator, Owner},
    problem::{File, quote},
    stale::{self, Floors, RawStaleness, Staleness},
    yaml::Node,
};

/// The file's name.
pub(crate) const PATH: &str = "countersign.yaml";

/// How long an SVID lives where nothing is said (DESIGN section 6).
const DEFAULT_TTL: Duration = Duration::from_hours(1);
/// The longest that any SVID may live where nothing is said.
const FLOOR_TTL: Duration = Duration::from_hours(24);
/// The shortest: a renewal at half-life must have time for a retry.
const SHORTEST_TTL: Duration = Duration::from_mins(1);
/// The risk of the unknown where nothing is said: the middle.
const RISK_UNKNOWN: u8 = 50;

/// What `countersign.yaml` says, defaults filled in.
pub(crate) struct Organisation {
    /// Absent where missing or malformed; that is reported.
    pub(crate) name: Option<TrustDomain>,
    pub(crate) timezone: TimeZone,
    pub(crate) risk_unknown: u8,
    pub(crate) default_ttl: Duration,
    pub(crate) floor_ttl: Duration,
    /// The weakest mode that any check may have.
    pub(crate) floor_mode: Mode,
    /// Whether `floor` could be read. Where not, nothing is held against it.
    pub(crate) floor_is_known: bool,
    /// Whether `defaults` could be read too.
    pub(crate) default_is_known: bool,
    /// What holds for domains that say nothing.
    pub(crate) stale: Staleness,
    pub(crate) stale_floors: Floors,
    /// Whether all of `defaults` and `floor` could be read.
    pub(crate) stale_is_known: bool,
    /// The organisation's own; empty where nobody's approval is asked for.
    pub(crate) owners: Vec<Spanned<Owner>>,
    pub(crate) operators: BTreeMap<Label, Operator>,
    /// Whether all operators could be read. Where not, a name that seems unknown may be one of them.
    pub(crate) operators_are_known: bool,
    pub(crate) nodes: BTreeMap<Label, NodeGroup>,
    /// Whether all node groups could be read.
    pub(crate) nodes_are_known: bool,
}

impl Default for Organisation {
    fn default() -> Self {
        Self {
            name: None,
            timezone: TimeZone::UTC,
            risk_unknown: RISK_UNKNOWN,
            default_ttl: DEFAULT_TTL,
            floor_ttl: FLOOR_TTL,
            floor_mode: Mode::Observe,
            floor_is_known: false,
            default_is_known: false,
            stale: Staleness::default(),
            stale_floors: Floors::default(),
            stale_is_known: false,
            owners: Vec::new(),
            operators: BTreeMap::new(),
            operators_are_known: false,
            nodes: BTreeMap::new(),
            nodes_are_known: false,
        }
    }
}

/// Settings that `defaults`, `floor` and domains share.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) svid_ttl: Option<Spanned<Duration>>,
    pub(crate) stale: RawStaleness,
}

/// Reads the file.
pub(crate) fn read(root: &Node, file: &File<'_>) -> Organisation {
    let mut organisation = Organisation::default();
    let Some(mut fields) = Fields::open(root, file, "an organisation") else { return organisation };
    let name = fields.required("organisation", "organisation: acme.internal");
    organisation.name = name.and_then(|node| read_name(node, file));
    if let Some(zone) = fields.take("timezone", read_timezone) {
        organisation.timezone = zone;
    }
    if let Some(risk) = fields.take("risk_unknown", |node, file| whole(node, file, 100)) {
        organisation.risk_unknown = u8::try_from(risk).unwrap_or(RISK_UNKNOWN);
    }
    let (defaults, defaults_whole) = file.watch(|| {
        fields.take("defaults", |node, file| {
            let mut fields = Fields::open(node, file, "`defaults`")?;
            fields.take("requires", requires);
            let settings = Settings { svid_ttl: fields.take("svid", svid), stale: stale::read(&mut fields) };
            fields.finish();
            Some(settings)
        })
    });
    let mut floor_mode = None;
    let (floor, floor_whole) = file.watch(|| {
        fields.take("floor", |node, file| {
            let mut fields = Fields::open(node, file, "`floor`")?;
            let settings = Settings { svid_ttl: fields.take("svid", svid), stale: stale::read(&mut fields) };
            floor_mode = fields.take("mode", modes::mode);
            fields.finish();
            Some(settings)
        })
    });
    organisation.owners = fields.take("owners", operator::owners).unwrap_or_default();
    let (operators, operators_whole) = operator::read(fields.optional("operators"), file);
    let (nodes, nodes_whole) = group::read(fields.optional("nodes"), file);
    let unread = fields.finish();
    organisation.operators_are_known = operators_whole && !unread.may_be("operators", Shape::Map);
    organisation.nodes_are_known = nodes_whole && !unread.may_be("nodes", Shape::Map);
    organisation.stale_is_known =
        defaults_whole && floor_whole && ["defaults", "floor"].iter().all(|key| !unread.may_be(key, Shape::Map));
    (organisation.operators, organisation.nodes) = (operators, nodes);
    operator::check_known(&organisation.owners, &organisation, file);
    let (defaults, floor) = (defaults.unwrap_or_default(), floor.unwrap_or_default());
    let is_known =
        |settings: &Settings, whole, key| settings.svid_ttl.is_some() || whole && !unread.may_be(key, Shape::Map);
    organisation.floor_is_known = is_known(&floor, floor_whole, "floor");
    organisation.default_is_known = organisation.floor_is_known && is_known(&defaults, defaults_whole, "defaults");
    organisation.floor_mode = floor_mode.map_or(Mode::Observe, |mode| mode.value);
    settle(&mut organisation, &defaults, &floor, file);
    organisation
}

fn settle(organisation: &mut Organisation, defaults: &Settings, floor: &Settings, file: &File<'_>) {
    organisation.stale_floors = floor.stale.floors();
    organisation.stale = Staleness::default();
    defaults.stale.check(organisation, file);
    organisation.stale = defaults.stale.resolve(&Staleness::default(), &organisation.stale_floors);
    if let Some(ttl) = &floor.svid_ttl {
        organisation.floor_ttl = ttl.value;
        organisation.default_ttl = organisation.default_ttl.min(ttl.value);
    }
    if let Some(ttl) = &defaults.svid_ttl {
        check_floor(ttl, organisation, file);
        organisation.default_ttl = ttl.value.min(organisation.floor_ttl);
    }
}

/// Reports a time to live that is weaker than the floor allows.
pub(crate) fn check_floor(ttl: &Spanned<Duration>, organisation: &Organisation, file: &File<'_>) {
    let floor = organisation.floor_ttl;
    if ttl.value > floor && organisation.floor_is_known {
        let (asked, floor) = (spoken(ttl.value), spoken(floor));
        let message = format!("`svid.ttl` of {asked} is weaker than the floor of {floor}");
        let hint = format!("at most {floor}; the floor stands in {PATH}, or is 24h where it says nothing");
        file.error("settings.below-floor", &ttl.span, message, Some(hint));
    }
}

/// A duration as people write it: in the largest unit that is exact, days from two of them on.
pub(crate) fn spoken(duration: Duration) -> String {
    const UNITS: [(&str, u128); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let millis = duration.as_millis();
    let fits = |(unit, scale): &&(&str, u128)| {
        millis > 0 && millis.is_multiple_of(*scale) && (*unit != "d" || millis > *scale)
    };
    let exact = UNITS.iter().find(fits);
    exact.map_or_else(|| format!("{millis}ms"), |(unit, scale)| format!("{}{unit}", millis / scale))
}

/// `requires`: a verified identity is the one requirement, and it has one value.
pub(crate) fn requires(node: &Node, file: &File<'_>) -> Option<()> {
    let mut fields = Fields::open(node, file, "`requires`")?;
    fields.take("identity", |node, file| one_of(node, file, "`required`", &[("required", ())]));
    fields.finish();
    Some(())
}

/// `svid`: how long a workload's credential lives.
pub(crate) fn svid(node: &Node, file: &File<'_>) -> Option<Spanned<Duration>> {
    let mut fields = Fields::open(node, file, "`svid`")?;
    let ttl = fields.take("ttl", |node, file| {
        let value = duration(node, file)?;
        if value < SHORTEST_TTL {
            let message = format!("`svid.ttl` of {} is too short", spoken(value));
            bad_value(node, file, message, "at least 1m, so that a renewal at half-life has time for a second try");
            return None;
        }
        Some(Spanned { value, span: node.point().clone() })
    });
    fields.finish();
    ttl
}

fn read_name(node: &Node, file: &File<'_>) -> Option<TrustDomain> {
    let name = parsed(node, file, "a name such as `acme.internal`", TrustDomain::parse)?;
    let label_fits = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if name.as_str().split('.').all(label_fits) {
        return Some(name);
    }
    let message = format!("{} is not the name of an organisation", quote(name.as_str()));
    bad_value(node, file, message, "write it like a DNS name: `acme.internal`");
    None
}

fn read_timezone(node: &Node, file: &File<'_>) -> Option<TimeZone> {
    let name = text(node, file, "a time zone such as `Europe/Berlin`")?;
    let zone = policy::model::timezone(name);
    if zone.is_none() {
        let message = format!("{} is not a time zone", quote(name));
        bad_value(node, file, message, "a name of the IANA database such as `Europe/Berlin` or `UTC`");
    }
    zone
}
