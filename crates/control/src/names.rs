//! Names as operators read them: workloads instead of SPIFFE IDs, and short forms of decision ids.

use std::sync::Arc;

use arc_swap::ArcSwap;
use trustdir::Revision;
use types::{DecisionId, SpiffeId, Timestamp, TrustDomain, WorkloadId};

/// `finance/payments` for `spiffe://finance.acme.internal/payments`; other SPIFFE IDs stay as they are.
pub fn caller(spiffe_id: &str, organisation: &TrustDomain) -> String {
    let short = || {
        let (trust_domain, path) = spiffe_id.strip_prefix("spiffe://")?.split_once('/')?;
        let domain = trust_domain.strip_suffix(organisation.as_str())?.strip_suffix('.')?;
        let plain = !domain.is_empty() && !domain.contains('.') && !path.is_empty() && !path.contains('/');
        plain.then(|| format!("{domain}/{path}"))
    };
    short().unwrap_or_else(|| spiffe_id.to_owned())
}

/// The name of a workload whose identity another trust domain issues.
pub fn federated(spiffe_id: &str, revision: &Revision) -> Option<String> {
    let mut named = revision.model().federated.iter();
    named.find(|(id, _)| id.as_str() == spiffe_id).map(|(_, workload)| workload.to_string())
}

/// The SPIFFE ID that `finance/web` has elsewhere, where another trust domain issues it; otherwise the one that was given.
pub fn identity_of(id: SpiffeId, revision: &Revision) -> SpiffeId {
    let name = caller(id.as_str(), &revision.model().organisation).parse::<WorkloadId>();
    let elsewhere = name.ok().and_then(|name| revision.model().federated.id_of(&name));
    elsewhere.cloned().unwrap_or(id)
}

/// Names callers as the running revision does.
#[derive(Clone)]
pub struct Callers {
    organisation: TrustDomain,
    running: Option<Arc<ArcSwap<Revision>>>,
}

impl Callers {
    /// Under whatever revision runs at the moment of the question.
    pub fn under(running: &Arc<ArcSwap<Revision>>) -> Self {
        let organisation = running.load().model().organisation.clone();
        Self { organisation, running: Some(Arc::clone(running)) }
    }

    /// Of an organisation, without a revision.
    #[cfg(test)]
    pub const fn of(organisation: TrustDomain) -> Self {
        Self { organisation, running: None }
    }

    /// `finance/payments`; what has no such name stays as it is.
    pub fn name(&self, spiffe_id: &str) -> String {
        let name = caller(spiffe_id, &self.organisation);
        let elsewhere = self.running.as_ref().filter(|_| name == spiffe_id);
        elsewhere.and_then(|running| federated(spiffe_id, &running.load())).unwrap_or(name)
    }
}

/// A decision's name as somebody typed or pasted it: a whole id, its beginning, or beginning and end with an ellipsis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DecisionName {
    /// The whole id.
    Whole(DecisionId),
    /// What is left of it.
    Part {
        /// Hexadecimal digits that it begins with.
        head: String,
        /// Hexadecimal digits that it ends with.
        tail: String,
    },
}

/// The fewest digits that name a decision. Eight of the beginning hold no more than a minute.
const FEWEST: usize = 8;

impl DecisionName {
    /// Reads a name; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Whole(id));
        }
        let (head, tail) = text.split_once('…').or_else(|| text.split_once("...")).unwrap_or((text, ""));
        let (head, tail) = (digits(head)?, digits(tail)?);
        let length = head.len().saturating_add(tail.len());
        (FEWEST..=32).contains(&length).then_some(Self::Part { head, tail })
    }

    /// Whether it may mean this decision.
    pub fn fits(&self, id: DecisionId) -> bool {
        match self {
            Self::Whole(whole) => *whole == id,
            Self::Part { head, tail } => {
                let text = id.to_string().replace('-', "");
                text.starts_with(head.as_str()) && text.ends_with(tail.as_str())
            }
        }
    }

    /// No such decision was made before this moment, by the clock that made its id: ids begin with 48 bits of
    /// milliseconds (RFC 9562 5.7).
    pub fn not_before(&self) -> Timestamp {
        let head = match self {
            Self::Whole(id) => id.to_string().replace('-', ""),
            Self::Part { head, .. } => head.clone(),
        };
        let millis: String = head.chars().chain(std::iter::repeat('0')).take(12).collect();
        let millis = u64::from_str_radix(&millis, 16).unwrap_or_default();
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }
}

/// Lower-case hexadecimal digits, dashes left out.
fn digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_called_by_their_short_name() {
        let acme = TrustDomain::parse("acme.internal").unwrap();
        assert_eq!(caller("spiffe://finance.acme.internal/payments", &acme), "finance/payments");
        for other in
            ["spiffe://cluster.local/ns/a/sa/b", "spiffe://acme.internal/x", "spiffe://a.b.acme.internal/x", ""]
        {
            assert_eq!(caller(other, &acme), other);
        }
    }

    #[test]
    fn ids_are_found_by_what_listings_print() {
        let id: DecisionId = "01a20790-3693-7102-8304-05060708a1c9".parse().unwrap();
        let other: DecisionId = "01a20790-3693-7102-8304-05060708a1c8".parse().unwrap();
        for name in ["01a20790…a1c9", "01a20790...a1c9", "01A20790-…-A1C9", "01a20790-3693-7102-8304-05060708a1c9"]
        {
            let name = DecisionName::parse(name).unwrap();
            assert!(name.fits(id) && !name.fits(other), "{name:?}");
            assert!(name.not_before().micros() <= 0x01a2_0790_3693 * 1_000);
            assert!(name.not_before().micros() >= 0x01a2_0790_0000 * 1_000);
        }
        assert!(DecisionName::parse("01a20790").unwrap().fits(other));
        for wrong in ["", "01a2", "…", "xyz…12345678", "01a20790…a1c9…1", &"1".repeat(40)] {
            assert!(DecisionName::parse(wrong).is_none(), "{wrong}");
        }
    }
}
