//! `when_stale` and `signals_stale`: what enforcers do while control is silent.

use core::{fmt, time::Duration};

use crate::{
    decode::{Fields, Spanned, bad_value, duration, one_of},
    organisation::{Organisation, PATH, spoken},
    problem::File,
    yaml::Node,
};

/// What an enforcer does once what it knows is old. Ages run from when control last said that it is the latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale {
    /// How old is too old.
    pub after: Duration,
    /// And then.
    pub then: Then,
}

/// What is done with calls while what an enforcer knows is too old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Then {
    /// They are refused.
    Deny,
    /// They are decided by what is known.
    Serve,
}

impl Then {
    /// The word in the trust directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Serve => "serve",
        }
    }
}

/// `serve after 15m`.
impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}", self.then.as_str(), spoken(self.after))
    }
}

impl Stale {
    /// `when_stale` where nothing is said: a restart or an update of control goes unnoticed, and a revision that took
    /// rights away is not ignored for long.
    pub(crate) const REVISION: Self = Self { after: Duration::from_mins(15), then: Then::Deny };
    /// `signals_stale` where nothing is said: a revocation must not wait for a cable.
    pub(crate) const SIGNALS: Self = Self { after: Duration::from_mins(5), then: Then::Deny };
}

/// Control is heard once a second: less than this would refuse calls for a hiccup.
const SHORTEST: Duration = Duration::from_secs(2);

/// Both settings of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Staleness {
    pub(crate) revision: Stale,
    pub(crate) signals: Stale,
}

impl Default for Staleness {
    fn default() -> Self {
        Self { revision: Stale::REVISION, signals: Stale::SIGNALS }
    }
}

/// Both settings as written.
#[derive(Default)]
pub(crate) struct RawStaleness {
    revision: RawStale,
    signals: RawStale,
}

/// One setting as written.
#[derive(Default)]
struct RawStale {
    after: Option<Spanned<Duration>>,
    then: Option<Spanned<Then>>,
    /// Whether something is written, and all of it could be read.
    is_whole: bool,
}

/// Reads both keys of `defaults`, `floor` or a domain.
pub(crate) fn read(fields: &mut Fields<'_, '_>) -> RawStaleness {
    RawStaleness {
        revision: fields.take("when_stale", |node, file| read_one(node, file, "`when_stale`")).unwrap_or_default(),
        signals: fields.take("signals_stale", |node, file| read_one(node, file, "`signals_stale`")).unwrap_or_default(),
    }
}

fn read_one(node: &Node, file: &File<'_>, what: &'static str) -> Option<RawStale> {
    let (stale, whole) = file.watch(|| {
        let mut fields = Fields::open(node, file, what)?;
        let after = fields.take("after", |node, file| {
            let value = duration(node, file)?;
            if value < SHORTEST {
                let message = format!("{what} after {} is too soon", spoken(value));
                bad_value(node, file, message, "at least 2s: control is heard once a second");
                return None;
            }
            Some(Spanned { value, span: node.point().clone() })
        });
        let then = fields.take("then", |node, file| {
            let words = [Then::Deny, Then::Serve].map(|then| (then.as_str(), then));
            let value = one_of(node, file, "`deny` or `serve`", &words)?;
            Some(Spanned { value, span: node.point().clone() })
        });
        fields.finish();
        Some(RawStale { after, then, is_whole: false })
    });
    stale.map(|stale| RawStale { is_whole: whole, ..stale })
}

/// The weakest that domains may say; absent for no bound.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Floor {
    after: Option<Duration>,
    then: Option<Then>,
}

/// The floors of both settings.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Floors {
    revision: Floor,
    signals: Floor,
}

impl RawStaleness {
    /// As the floor. A floor that says only how long is one that then denies.
    pub(crate) fn floors(&self) -> Floors {
        let floor = |raw: &RawStale| {
            let then = raw.then.as_ref().map(|then| then.value);
            let after = raw.after.as_ref().map(|after| after.value);
            Floor { after, then: then.or_else(|| raw.is_whole.then_some(Then::Deny)) }
        };
        Floors { revision: floor(&self.revision), signals: floor(&self.signals) }
    }

    /// Filled in with what holds where nothing is said, which the floor bounds.
    pub(crate) fn resolve(&self, standard: &Staleness, floors: &Floors) -> Staleness {
        Staleness {
            revision: self.revision.resolve(standard.revision, floors.revision),
            signals: self.signals.resolve(standard.signals, floors.signals),
        }
    }

    /// Reports what is weaker than the floor, and lists what is weaker than the organisation's own.
    pub(crate) fn check(&self, organisation: &Organisation, file: &File<'_>) {
        let (floors, standard) =
            (&organisation.stale_floors, organisation.stale_is_known.then_some(organisation.stale));
        self.revision.check("when_stale", floors.revision, standard.map(|it| it.revision), file);
        self.signals.check("signals_stale", floors.signals, standard.map(|it| it.signals), file);
    }
}

impl RawStale {
    fn resolve(&self, standard: Stale, floor: Floor) -> Stale {
        let bounded = Stale {
            after: floor.after.map_or(standard.after, |most| standard.after.min(most)),
            then: floor.then.map_or(standard.then, |most| standard.then.min(most)),
        };
        Stale {
            after: self.after.as_ref().map_or(bounded.after, |after| after.value),
            then: self.then.as_ref().map_or(bounded.then, |then| then.value),
        }
    }

    fn check(&self, key: &str, floor: Floor, standard: Option<Stale>, file: &File<'_>) {
        if let Some(after) = &self.after {
            let name = format!("{key}.after");
            check_one(&name, after, floor.after, standard.map(|it| it.after), &spoken, file);
        }
        if let Some(then) = &self.then {
            let name = format!("{key}.then");
            check_one(&name, then, floor.then, standard.map(|it| it.then), &|it| format!("`{}`", it.as_str()), file);
        }
    }
}

/// What is greater is weaker.
fn check_one<T: Copy + Ord>(
    name: &str,
    written: &Spanned<T>,
    floor: Option<T>,
    standard: Option<T>,
    shown: &dyn Fn(T) -> String,
    file: &File<'_>,
) {
    let asked = shown(written.value);
    if let Some(floor) = floor.filter(|floor| written.value > *floor) {
        let floor = shown(floor);
        let message = format!("`{name}` of {asked} is weaker than the floor of {floor}");
        let hint = format!("at most {floor}; the floor stands in {PATH}");
        file.error("settings.below-floor", &written.span, message, Some(hint));
    } else if let Some(standard) = standard.filter(|standard| written.value > *standard) {
        let message = format!("`{name}` of {asked} is weaker than the organisation's {}", shown(standard));
        let hint = "while control is silent, what was taken away may still be there for as long".to_owned();
        file.warn("settings.weaker", &written.span, message, Some(hint));
    }
}
