//! The full state that a stream's next message shows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::issuance::{Entitled, Issuance, IssueError};
use api::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use types::{Clock, Selectors, SpiffeId, Timestamp, TrustDomain, limits};

use crate::refusal::Refusal;
use crate::tokens::Tokens;
use crate::trust::{Known, Trust};
use crate::wallet::{Handed, Held, Wallet};

/// Finds out what a caller may see.
pub(crate) struct Source {
    pub issuance: Arc<dyn Issuance>,
    pub clock: Arc<dyn Clock>,
    pub trust: Arc<Trust>,
    pub wallet: Wallet,
    pub tokens: Tokens,
}

impl Source {
    pub fn new(issuance: Arc<dyn Issuance>, clock: Arc<dyn Clock>) -> Self {
        let trust = Arc::new(Trust::new(Arc::clone(&issuance)));
        let wallet = Wallet::new(Arc::clone(&issuance), Arc::clone(&clock), Arc::clone(&trust));
        let tokens = Tokens::new(Arc::clone(&issuance), Arc::clone(&clock), Arc::clone(&trust));
        Self { issuance, clock, trust, wallet, tokens }
    }

    /// What the issuer says; while it says nothing, what `kept` says that the caller holds and is still good. A refusal is an
    /// answer, and takes away what was handed out. Never empty.
    pub async fn entitled(
        &self,
        selectors: &Selectors,
        kept: impl Fn(&Self) -> Vec<Entitled> + Send,
    ) -> Result<Vec<Entitled>, Refusal> {
        let entitled = match self.issuance.entitled(selectors).await.map_err(Refusal::from) {
            Ok(entitled) => entitled,
            Err(refusal) => {
                let held = kept(self);
                return if refusal.is_away() && !held.is_empty() { Ok(held) } else { Err(refusal) };
            }
        };
        self.wallet.keep_only(selectors, &entitled);
        self.tokens.keep_only(selectors, &entitled);
        if entitled.is_empty() {
            return Err(IssueError::NotEntitled("no workload is recognised".to_owned()).into());
        }
        Ok(entitled)
    }

    /// Whether the caller is anybody: the bundles are for workloads alone.
    pub async fn check_known(&self, selectors: &Selectors) -> Result<Vec<Entitled>, Refusal> {
        let kept =
            |source: &Self| [source.wallet.still_good(selectors), source.tokens.any_still_good(selectors)].concat();
        self.entitled(selectors, kept).await
    }
}

/// One message, until when it is good, and when to look again.
pub(crate) struct State<M> {
    pub message: M,
    /// What it hands out.
    pub handed: Vec<Handed>,
    /// What the message holds is valid until then.
    pub good_until: Timestamp,
    /// When the next renewal is due.
    pub look_again: Timestamp,
}

/// What the streams of the Workload API show. A future that is `Send`, so that a task can run it.
pub(crate) trait View: Clone + PartialEq + Send + Sync + Sized + 'static {
    /// Whether it puts identities into the caller's hands.
    const HANDS_OUT: bool;

    fn look(source: &Source, selectors: &Selectors) -> impl Future<Output = Result<State<Self>, Refusal>> + Send;
}

/// The end of time.
const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl View for X509svidResponse {
    const HANDS_OUT: bool = true;

    async fn look(source: &Source, selectors: &Selectors) -> Result<State<Self>, Refusal> {
        let entitled = source.entitled(selectors, |source| source.wallet.still_good(selectors)).await?;
        let mut handed = Vec::with_capacity(entitled.len());
        for wanted in &entitled {
            // All or nothing: an identity left out would read as one taken away (WA-3).
            handed.push(source.wallet.get(selectors, wanted).await?);
        }
        let known = source.trust.now();
        let hints = hints(entitled.iter().map(|entitled| &entitled.id));
        let held = handed.iter().map(|handed| &handed.held);
        let svids = held.clone().zip(hints).map(|(held, hint)| svid(held, hint, &known)).collect::<Result<_, _>>()?;
        let own = |domain: &TrustDomain| entitled.iter().any(|entitled| entitled.id.trust_domain() == domain);
        Ok(State {
            message: Self { svids, crl: Vec::new(), federated_bundles: x509_bundles(&known, |domain| !own(domain)) },
            good_until: held.clone().map(|held| held.svid.not_after).min().unwrap_or(NEVER),
            look_again: held.map(|held| held.renew_at).min().unwrap_or(NEVER),
            handed,
        })
    }
}

impl View for X509BundlesResponse {
    const HANDS_OUT: bool = false;

    async fn look(source: &Source, selectors: &Selectors) -> Result<State<Self>, Refusal> {
        source.check_known(selectors).await?;
        let bundles = x509_bundles(&source.trust.now(), |_| true);
        Ok(standing(Self { crl: Vec::new(), bundles }))
    }
}

impl View for JwtBundlesResponse {
    const HANDS_OUT: bool = false;

    async fn look(source: &Source, selectors: &Selectors) -> Result<State<Self>, Refusal> {
        let entitled = source.check_known(selectors).await?;
        let known = source.trust.now();
        let own: BTreeSet<_> = entitled.iter().map(|entitled| entitled.id.trust_domain()).collect();
        let shown =
            known.set.iter().filter(|bundle| bundle.jwt_keys().next().is_some() || own.contains(bundle.trust_domain()));
        let shown = shown.map(|bundle| (bundle.trust_domain().id().to_string(), identity::jwt_document(bundle)));
        Ok(standing(Self { bundles: shown.map(|(id, document)| (id, document.into_bytes())).collect() }))
    }
}

/// Shown until something changes.
const fn standing<M>(message: M) -> State<M> {
    State { message, handed: Vec::new(), good_until: NEVER, look_again: NEVER }
}

fn svid(held: &Held, hint: String, known: &Known) -> Result<X509svid, Refusal> {
    let bundle = known.bundles.roots.get(held.svid.spiffe_id.trust_domain()).filter(|roots| !roots.is_empty());
    let bundle = bundle.ok_or(Refusal::Here("the bundle of the own domain is missing"))?;
    Ok(X509svid {
        spiffe_id: held.svid.spiffe_id.to_string(),
        x509_svid: held.svid.chain_der.concat(),
        x509_svid_key: held.key.reveal().to_vec(),
        bundle: bundle.concat(),
        hint,
    })
}

/// By SPIFFE ID of the trust domain, each apart. One without roots is left out: absence is how it is taken away (WA-3).
fn x509_bundles(known: &Known, wanted: impl Fn(&TrustDomain) -> bool) -> HashMap<String, Vec<u8>> {
    let shown = known.bundles.roots.iter().filter(|(domain, roots)| !roots.is_empty() && wanted(domain));
    shown.map(|(domain, roots)| (domain.id().to_string(), roots.concat())).collect()
}

/// What each identity is to be told by: `finance/payments`, the name that policies use. Unique in one answer and within its
/// bound, or left out (WA-4).
pub(crate) fn hints<'a>(ids: impl Iterator<Item = &'a SpiffeId>) -> Vec<String> {
    let mut given = BTreeSet::new();
    let mut hint = |id: &SpiffeId| {
        let domain = id.trust_domain().as_str().split('.').next().unwrap_or_default();
        let hint = format!("{domain}{}", id.path());
        let fits = hint.len() <= limits::WORKLOAD_HINT_BYTES.default_usize();
        if fits && given.insert(hint.clone()) { hint } else { String::new() }
    };
    ids.map(&mut hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wa_4_hints_are_unique_and_bounded() {
        let long = format!("spiffe://a.acme.internal/{}", "x".repeat(1023));
        let fits = format!("spiffe://a.acme.internal/{}", "x".repeat(1022));
        let texts =
            ["spiffe://a.acme.internal/p", "spiffe://b.acme.internal/p", "spiffe://a.other.internal/p", &long, &fits];
        let ids = texts.map(|text| SpiffeId::parse(text).unwrap());
        let hints = hints(ids.iter());
        assert_eq!(
            (hints[0].as_str(), hints[1].as_str(), hints[2].as_str(), hints[3].as_str()),
            ("a/p", "b/p", "", "")
        );
        assert_eq!(hints[4].len(), 1024);
    }
}
