//! `mode` and `modes`: which checks of a domain refuse, and which only write down that they would have.

use core::ops::Range;

use policy::{PolicyEffect, PolicyNames, model};
use types::{Label, Mode, PolicyId};

use crate::{
    decode::{Fields, Spanned, bad_value, mapping, one_of, text},
    organisation::{Organisation, PATH},
    problem::{File, quote},
    suggest,
    yaml::{Entry, Node, Value},
};

/// The checks that a mode can be named for, beside `policy.ID`.
const CHECKS: [(&str, Check); 4] = [
    ("requires.identity", Check::Identity),
    ("consent", Check::Consent),
    ("routes.unlisted", Check::Unlisted),
    ("permit", Check::Permit),
];

/// What stands before a policy's id.
const POLICY: &str = "policy.";

/// A check with a mode of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Check {
    Identity,
    Consent,
    Unlisted,
    Permit,
    /// An own policy, by the name that is written.
    Policy(String),
}

/// One entry of `modes`.
struct RawMode {
    check: Check,
    /// The key.
    span: Range<usize>,
    mode: Spanned<Mode>,
    enforce_for: u8,
}

/// What a domain says about its modes.
#[derive(Default)]
pub(crate) struct RawModes {
    all: Option<Spanned<Mode>>,
    exceptions: Vec<RawMode>,
}

/// Reads `mode` and `modes`.
pub(crate) fn read(fields: &mut Fields<'_, '_>) -> RawModes {
    let all = fields.take("mode", mode);
    let exceptions = fields.take("modes", |node, file| {
        let entries = mapping(node, file, "`modes`")?;
        Some(entries.iter().filter_map(|entry| read_exception(entry, file)).collect())
    });
    RawModes { all, exceptions: exceptions.unwrap_or_default() }
}

/// One of the three words.
pub(crate) fn mode(node: &Node, file: &File<'_>) -> Option<Spanned<Mode>> {
    let words = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let value = one_of(node, file, "`observe`, `shadow` or `enforce`", &words)?;
    Some(Spanned { value, span: node.point().clone() })
}

fn read_exception(entry: &Entry, file: &File<'_>) -> Option<RawMode> {
    let check = read_check(entry, file);
    let is_policy = entry.key.starts_with(POLICY);
    let (mode, enforce_for) = match &entry.node.value {
        Value::Map(_) if is_policy => read_share(&entry.node, file)?,
        Value::Map(_) => {
            let hint = "write one of `observe`, `shadow` and `enforce`; a percentage is for `policy.ID`".to_owned();
            file.error("yaml.type", entry.node.point(), "expected a mode, found a mapping".to_owned(), Some(hint));
            return None;
        }
        _ => (mode(&entry.node, file)?, 0),
    };
    Some(RawMode { check: check?, span: entry.key_span.clone(), mode, enforce_for })
}

fn read_check(entry: &Entry, file: &File<'_>) -> Option<Check> {
    if let Some(id) = entry.key.strip_prefix(POLICY).filter(|id| !id.is_empty()) {
        return Some(Check::Policy(id.to_owned()));
    }
    let known = CHECKS.iter().find(|(name, _)| *name == entry.key);
    if known.is_none() {
        let hint = suggest::nearest(&entry.key, CHECKS.iter().map(|(name, _)| *name));
        let hint = hint.map(|name| format!("did you mean `{name}`?")).unwrap_or_else(|| {
            let names: Vec<_> = CHECKS.iter().map(|(name, _)| *name).chain(["policy.ID"]).collect();
            format!("the checks are {}; `mode` sets all of them", suggest::list(&names))
        });
        file.error("modes.check", &entry.key_span, format!("there is no check {}", quote(&entry.key)), Some(hint));
    }
    known.map(|(_, check)| check.clone())
}

/// `{ mode: shadow, enforce_for: 10% }`.
fn read_share(node: &Node, file: &File<'_>) -> Option<(Spanned<Mode>, u8)> {
    let mut fields = Fields::open(node, file, "the mode of a policy")?;
    let mode = fields.required("mode", "mode: shadow").and_then(|node| mode(node, file));
    let share = fields.optional("enforce_for");
    let percent = share.map(|node| read_percent(node, file));
    fields.finish();
    let mode = mode?;
    if let Some(node) = share.filter(|_| mode.value != Mode::Shadow) {
        let message = format!("`enforce_for` does not go with `mode: {}`", mode.value);
        bad_value(node, file, message, "it enforces a policy in shadow for some callers: write `mode: shadow`");
        return None;
    }
    Some((mode, percent.unwrap_or(Some(0))?))
}

/// A share of callers from `1%` to `99%`.
fn read_percent(node: &Node, file: &File<'_>) -> Option<u8> {
    let written = match &node.value {
        Value::Number(text) => text,
        _ => text(node, file, "a percentage such as `10%`")?,
    };
    let digits = written.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let percent = digits.filter(|digits| !digits.starts_with('0')).and_then(|digits| digits.parse::<u8>().ok());
    let hint = match (percent, written) {
        (Some(1..=99), _) => return percent,
        (Some(100), _) => "for all callers write `mode: enforce`",
        (None, "0%") => "for no caller leave `enforce_for` out",
        _ => "write a whole percentage from `1%` to `99%`",
    };
    bad_value(node, file, format!("{} is not a share of callers", quote(written)), hint);
    None
}

impl RawModes {
    /// The mode of requests that no route lists.
    pub(crate) fn unlisted(&self) -> Mode {
        self.of(&Check::Unlisted)
    }

    /// The mode of the domain's own consent.
    pub(crate) fn consent(&self) -> Mode {
        self.of(&Check::Consent)
    }

    fn of(&self, check: &Check) -> Mode {
        let own = self.exceptions.iter().find(|exception| exception.check == *check);
        own.map_or_else(|| self.all(), |exception| exception.mode.value)
    }

    fn all(&self) -> Mode {
        self.all.as_ref().map(|all| all.value).unwrap_or_default()
    }

    /// The modes that policies are compiled with.
    pub(crate) fn build(&self, domain: &Label) -> model::Modes {
        let mut modes = model::Modes::all(self.all());
        for RawMode { check, mode, enforce_for, .. } in &self.exceptions {
            let mode = mode.value;
            match check {
                Check::Identity => modes.identity = mode,
                Check::Consent => modes.consent = mode,
                Check::Unlisted => modes.unlisted = mode,
                Check::Permit => modes.permit = mode,
                Check::Policy(name) => {
                    let policy = model::PolicyMode { mode, enforce_for: *enforce_for };
                    modes.policies.insert(PolicyId::new(domain.as_str(), name), policy);
                }
            }
        }
        modes
    }

    /// Reports modes that are weaker than the organisation allows.
    pub(crate) fn check_floor(&self, organisation: &Organisation, file: &File<'_>) {
        let exceptions = self.exceptions.iter().map(|exception| &exception.mode);
        for mode in self.all.iter().chain(exceptions).filter(|mode| mode.value < organisation.floor_mode) {
            let message = format!("`{}` is weaker than the floor of `{}`", mode.value, organisation.floor_mode);
            let hint = format!("the weakest mode that any check may have is `floor.mode` in {PATH}");
            file.error("settings.below-floor", &mode.span, message, Some(hint));
        }
    }

    /// Reports modes of policies that the domain does not forbid by.
    pub(crate) fn check_policies(&self, domain: &Label, policies: &PolicyNames, file: &File<'_>) {
        for RawMode { check, span, .. } in &self.exceptions {
            let Check::Policy(name) = check else { continue };
            if let Some((message, hint)) = problem_with(domain, name, policies) {
                file.error("modes.policy", span, message, Some(hint));
            }
        }
    }
}

/// What is wrong with a policy of `modes`, and what to do about it.
fn problem_with(domain: &Label, name: &str, policies: &PolicyNames) -> Option<(String, String)> {
    let shown = quote(name);
    if let Some((scope, own)) = name.split_once('/') {
        let message = format!("{shown} names a policy with its owner");
        let hint = match scope {
            "org" => "a guardrail has the mode of the whole domain: `mode`".to_owned(),
            scope if scope == domain.as_str() => format!("write `{POLICY}{own}`"),
            scope => format!("it belongs to {scope}, and {domain} cannot relax it"),
        };
        return Some((message, hint));
    }
    let id = PolicyId::new(domain.as_str(), name);
    // What is generated has a dot in its name, and a check of its own.
    let is_generated = name.contains('.');
    match policies.effect(&id) {
        Some(PolicyEffect::Forbid) if !is_generated => return None,
        Some(PolicyEffect::Permit) if !is_generated => {
            let hint = "only what forbids has a mode; for calls that nothing permits there is `permit`".to_owned();
            return Some((format!("{shown} permits"), hint));
        }
        Some(_) => {
            let check = if name.starts_with("consent.") { "consent" } else { "requires.identity" };
            return Some((format!("{shown} is not written in a policy file"), format!("its check is `{check}`")));
        }
        None if policies.may_hold(&id) => return None,
        None => {}
    }
    Some((format!("{domain} has no policy {shown}"), unknown(domain, name, policies)))
}

/// What a name that no policy of the domain bears may have been meant for.
fn unknown(domain: &Label, name: &str, policies: &PolicyNames) -> String {
    let prefix = format!("{domain}/");
    let is_own = |id: &&PolicyId| {
        policies.effect(id) == Some(PolicyEffect::Forbid)
            && id.as_str().strip_prefix(&prefix).is_some_and(|name| !name.contains('.'))
    };
    let own: Vec<&str> = policies.known().filter(is_own).filter_map(|id| id.as_str().strip_prefix(&prefix)).collect();
    if let Some(near) = suggest::nearest(name, own.iter().copied()) {
        return format!("did you mean `{POLICY}{near}`?");
    }
    let elsewhere = policies.known().find(|id| id.as_str().split_once('/').is_some_and(|(_, other)| other == name));
    match elsewhere.map(|id| id.as_str().split_once('/').unwrap_or_default().0) {
        Some("org") => "it is a guardrail, which has the mode of the whole domain: `mode`".to_owned(),
        Some(other) => format!("it belongs to {other}, and {domain} cannot relax it"),
        None if own.is_empty() => format!("no policy in domains/{domain}/policies forbids anything"),
        None => format!("the policies of {domain} that forbid are {}", suggest::list(&own)),
    }
}

/// What a domain does not enforce, a line for each check as `modes` names it: `requires.identity: shadow`,
/// `policy.freeze: shadow, enforced for 10% of callers`, `policies: observe` for guardrails and whatever forbids and is not
/// named, and `insecure_open: ledger GET /healthz` for what is open to everyone.
pub(crate) fn relaxed(domain: &model::Domain) -> Vec<String> {
    let modes = &domain.modes;
    let checks = [
        ("requires.identity", modes.identity),
        ("consent", modes.consent),
        ("routes.unlisted", modes.unlisted),
        ("permit", modes.permit),
        ("policies", modes.default),
    ];
    let checks = checks.into_iter().filter(|(_, mode)| *mode < Mode::Enforce);
    let checks = checks.map(|(check, mode)| format!("{check}: {mode}"));
    let own = modes.policies.iter().filter(|(_, policy)| policy.mode < Mode::Enforce);
    let own = own.map(|(id, policy)| {
        let name = id.as_str().split_once('/').map_or(id.as_str(), |(_, name)| name);
        let share = match policy.enforce_for {
            0 => String::new(),
            percent => format!(", enforced for {percent}% of callers"),
        };
        format!("{POLICY}{name}: {}{share}", policy.mode)
    });
    let open = domain.services.values().flat_map(|service| service.open_routes().map(move |route| (service, route)));
    let open = open.filter_map(|(service, route)| {
        let (method, template) = route.id.call()?;
        Some(format!("insecure_open: {} {method} {template}", service.id.name()))
    });
    checks.chain(own).chain(open).collect()
}
