//! `countersign.yaml`: what holds for the whole organisation.

use core::time::Duration;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use types::{Label, Mode, TrustDomain};

use crate::{
    decode::{Fields, Shape, Spanned, bad_value, one_of, parsed, text, whole},
    federation::{self, RawFederations},
    group::{self, NodeGroup},
    modes,
    operator::{self, Operator, Owner},
    problem::{File, quote},
    stale::{self, Floors, RawStaleness, Staleness},
    svid::{self, RawSvid, Whole},
    yaml::Node,
};

/// The file's name.
pub(crate) const PATH: &str = "countersign.yaml";

/// The risk of the unknown where nothing is said: the middle.
const RISK_UNKNOWN: u8 = 50;

/// What `countersign.yaml` says, defaults filled in.
pub(crate) struct Organisation {
    /// Absent where missing or malformed; that is reported.
    pub(crate) name: Option<TrustDomain>,
    pub(crate) timezone: TimeZone,
    pub(crate) risk_unknown: u8,
    /// How long credentials live, and their kind of key.
    pub(crate) svid: svid::Bounds,
    /// The weakest mode that any check may have.
    pub(crate) floor_mode: Mode,
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
    /// The trust domains of others.
    pub(crate) federation: RawFederations,
}

impl Default for Organisation {
    fn default() -> Self {
        Self {
            name: None,
            timezone: TimeZone::UTC,
            risk_unknown: RISK_UNKNOWN,
            svid: svid::Bounds::default(),
            floor_mode: Mode::Observe,
            stale: Staleness::default(),
            stale_floors: Floors::default(),
            stale_is_known: false,
            owners: Vec::new(),
            operators: BTreeMap::new(),
            operators_are_known: false,
            nodes: BTreeMap::new(),
            nodes_are_known: false,
            federation: RawFederations::default(),
        }
    }
}

/// Settings that `defaults`, `floor` and domains share.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) svid: RawSvid,
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
            let svid = fields.take("svid", svid::read).unwrap_or_default();
            let settings = Settings { svid, stale: stale::read(&mut fields) };
            fields.finish();
            Some(settings)
        })
    });
    let mut floor_mode = None;
    let (floor, floor_whole) = file.watch(|| {
        fields.take("floor", |node, file| {
            let mut fields = Fields::open(node, file, "`floor`")?;
            let svid = fields.take("svid", svid::read_floor).unwrap_or_default();
            let settings = Settings { svid, stale: stale::read(&mut fields) };
            floor_mode = fields.take("mode", modes::mode);
            fields.finish();
            Some(settings)
        })
    });
    organisation.owners = fields.take("owners", operator::owners).unwrap_or_default();
    let (operators, operators_whole) = operator::read(fields.optional("operators"), file);
    let (nodes, nodes_whole) = group::read(fields.optional("nodes"), file);
    organisation.federation = federation::read(fields.optional("federation"), organisation.name.as_ref(), file);
    let unread = fields.finish();
    organisation.federation.names_are_known &= !unread.may_be("federation", Shape::List);
    organisation.operators_are_known = operators_whole && !unread.may_be("operators", Shape::Map);
    organisation.nodes_are_known = nodes_whole && !unread.may_be("nodes", Shape::Map);
    organisation.stale_is_known =
        defaults_whole && floor_whole && ["defaults", "floor"].iter().all(|key| !unread.may_be(key, Shape::Map));
    (organisation.operators, organisation.nodes) = (operators, nodes);
    operator::check_known(&organisation.owners, &organisation, file);
    let (defaults, floor) = (defaults.unwrap_or_default(), floor.unwrap_or_default());
    organisation.floor_mode = floor_mode.map_or(Mode::Observe, |mode| mode.value);
    let is_known = |whole, key| whole && !unread.may_be(key, Shape::Map);
    let whole = Whole { defaults: is_known(defaults_whole, "defaults"), floor: is_known(floor_whole, "floor") };
    organisation.svid = svid::Bounds::new(&defaults.svid, &floor.svid, whole, file);
    organisation.stale_floors = floor.stale.floors();
    organisation.stale = Staleness::default();
    defaults.stale.check(&organisation, file);
    organisation.stale = defaults.stale.resolve(&Staleness::default(), &organisation.stale_floors);
    organisation
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
