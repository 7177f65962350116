//! Modes: which checks of a domain refuse, and which only write down that they would have (DESIGN section 4).
//!
//! A [`Relaxation`] and a [`Noted`] refusal are made in this crate only, from the modes of the model: nothing else can
//! excuse a call.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::facts;
use types::{Mode, PolicyId, Reason, limits};

/// The modes of one domain, by check.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Modes {
    /// `requires.identity`: a caller without a verified identity.
    pub identity: Mode,
    /// `consent`: what the domain itself has not agreed to, as the one that is called (`accepts_from`) and as the one that
    /// calls (`calls`). The other side's consent has the other side's mode.
    pub consent: Mode,
    /// `routes.unlisted`: requests that match no listed route.
    pub unlisted: Mode,
    /// `permit`: calls that no policy permits.
    pub permit: Mode,
    /// Guardrails, and the domain's own `forbid`s that `policies` does not name.
    pub default: Mode,
    /// `policy.ID`: own `forbid`s. A name that no `forbid` of the domain bears relaxes nothing.
    pub policies: BTreeMap<PolicyId, PolicyMode>,
}

/// The mode of one `forbid`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PolicyMode {
    /// For the callers that it is not enforced for.
    pub mode: Mode,
    /// The percentage of callers, 0 to 100, that it is enforced for whatever the mode says. See [`is_enforced_for`].
    pub enforce_for: u8,
}

impl From<Mode> for PolicyMode {
    fn from(mode: Mode) -> Self {
        Self { mode, enforce_for: 0 }
    }
}

impl Modes {
    /// Every check in one mode: what `mode` of a domain says.
    pub fn all(mode: Mode) -> Self {
        let policies = BTreeMap::new();
        Self { identity: mode, consent: mode, unlisted: mode, permit: mode, default: mode, policies }
    }

    /// The mode of a policy that is written for the domain or, as a guardrail, for all.
    pub(crate) fn of_policy(&self, id: &PolicyId) -> PolicyMode {
        self.policies.get(id).copied().unwrap_or_else(|| self.default.into())
    }
}

/// Whether a policy that is enforced for a percentage of callers is enforced for this one. The same caller always gets
/// the same answer, and who is among the first ten percent is among the first twenty: FNV-1a over `POLICY NUL CALLER`,
/// stirred by the finalizer of MurmurHash3, modulo 100. The function never changes, or callers would change sides with an
/// update.
pub fn is_enforced_for(policy: &PolicyId, caller: &str, percent: u8) -> bool {
    let bytes = policy.as_str().bytes().chain([0]).chain(caller.bytes());
    let fnv =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let stirred = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let stirred = (stirred ^ (stirred >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (stirred ^ (stirred >> 33)) % 100 < u64::from(percent)
}

/// `requires.identity` as `modes` names it.
pub(crate) const IDENTITY: &str = "requires.identity";
/// `consent` as `modes` names it.
pub(crate) const CONSENT: &str = "consent";
/// `routes.unlisted` as `modes` names it.
pub(crate) const UNLISTED: &str = "routes.unlisted";
/// `permit` as `modes` names it.
pub(crate) const PERMIT: &str = "permit";

/// The check of a policy as `modes` names it: `policy.NAME` for a domain's own, `policy.org/NAME` for a guardrail, which
/// only `mode` relaxes.
pub(crate) fn policy_check(id: &PolicyId) -> String {
    match id.as_str().split_once('/') {
        Some((scope, name)) if scope != "org" => format!("policy.{name}"),
        _ => format!("policy.{id}"),
    }
}

/// The name of the check behind a refusal, as `modes` and records name it; `""` for a reason that no mode relaxes.
/// `determining` are the policies of the refusal, the one that gives the reason first.
pub fn check_of(reason: Reason, determining: &[impl AsRef<str>]) -> String {
    let first = || determining.first().map(|id| id.as_ref().split_once('/').unwrap_or(("org", id.as_ref())));
    let check = match (reason, first()) {
        (Reason::RouteUnlisted, _) => UNLISTED,
        (Reason::ConsentProvider | Reason::ConsentConsumer, _) => CONSENT,
        (Reason::RequiresIdentity, _) => IDENTITY,
        (Reason::PolicyNoPermit, _) => PERMIT,
        (Reason::PolicyForbidden | Reason::PolicyError, Some((scope, name))) => {
            return policy_check(&PolicyId::new(scope, name));
        }
        _ => "",
    };
    check.to_owned()
}

/// That a check does not enforce. Made only here, from the modes of a domain.
///
/// ```compile_fail,E0451
/// let mine = countersign_policy::Relaxation { check: "consent".into(), mode: types::Mode::Observe };
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Relaxation {
    check: Arc<str>,
    mode: Mode,
}

impl Relaxation {
    /// What a mode relaxes: nothing where it enforces.
    pub(crate) fn of(check: &str, mode: Mode) -> Option<Self> {
        (mode < Mode::Enforce).then(|| Self { check: Arc::from(check), mode })
    }

    /// The check, as `modes` of a domain names it.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Observe or shadow.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// A refusal that does not refuse, because its check is relaxed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted {
    relaxation: Relaxation,
    reason: Reason,
    policy: Option<PolicyId>,
}

impl Noted {
    pub(crate) const fn new(relaxation: Relaxation, reason: Reason, policy: Option<PolicyId>) -> Self {
        Self { relaxation, reason, policy }
    }

    /// What relaxes it.
    pub const fn relaxation(&self) -> &Relaxation {
        &self.relaxation
    }

    /// The check, as `modes` of a domain names it.
    pub fn check(&self) -> &str {
        self.relaxation.check()
    }

    /// Observe or shadow.
    pub const fn mode(&self) -> Mode {
        self.relaxation.mode
    }

    /// The reason that the refusal would have.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The policy that would refuse; `None` where no policy does, as for a call that none permits.
    pub const fn policy(&self) -> Option<&PolicyId> {
        self.policy.as_ref()
    }

    /// As it stands in a record.
    pub(crate) fn fact(&self) -> facts::Noted<'_> {
        let policy = self.policy.as_ref().map_or("", PolicyId::as_str);
        facts::Noted { check: self.check(), mode: self.mode(), reason: self.reason.code(), policy }
    }
}

/// Keeps as many noted refusals as a record may name, in their order, and says how many it leaves out. What is in shadow
/// is kept before what is only observed: it makes the call a would-deny.
pub(crate) fn bounded(noted: &mut Vec<Noted>) -> usize {
    let most = limits::NOTED_REFUSALS.default_usize();
    let left = noted.len().saturating_sub(most);
    let shadowed = noted.iter().filter(|noted| noted.mode() == Mode::Shadow).count().min(most);
    let (mut shadow, mut observe) = (shadowed, most - shadowed);
    noted.retain(|noted| {
        let room = if noted.mode() == Mode::Shadow { &mut shadow } else { &mut observe };
        let keeps = *room > 0;
        *room = room.saturating_sub(1);
        keeps
    });
    left
}
