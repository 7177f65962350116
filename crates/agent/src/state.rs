//! The full state that a stream's next message shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::issuance::{Issuance, IssueError};
use api::workload::{X509BundlesResponse, X509svid, X509svidResponse};
use tonic::Status;
use types::{Clock, Selectors, SpiffeId, Timestamp, TrustDomain};

use crate::wallet::{Held, Wallet};

/// Finds out what a caller may see.
pub(crate) struct Source {
    pub issuance: Arc<dyn Issuance>,
    pub clock: Arc<dyn Clock>,
    pub wallet: Wallet,
}

/// One message, until when it is good, and when to look again.
pub(crate) struct State<M> {
    pub message: M,
    /// What the message holds is valid until then.
    pub good_until: Timestamp,
    /// When the next renewal is due.
    pub look_again: Timestamp,
}

/// What the streams of the Workload API show. A future that is `Send`, so that a task can run it.
pub(crate) trait View: Clone + PartialEq + Send + Sync + Sized + 'static {
    fn look(source: &Source, selectors: &Selectors) -> impl Future<Output = Result<State<Self>, IssueError>> + Send;
}

/// The end of time.
const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl View for X509svidResponse {
    async fn look(source: &Source, selectors: &Selectors) -> Result<State<Self>, IssueError> {
        let ids = entitled(source, selectors).await?;
        let mut held = Vec::with_capacity(ids.len());
        for id in &ids {
            // All or nothing: an identity left out would read as one taken away (WA-3).
            held.push(source.wallet.get(selectors, id).await?);
        }
        let roots = source.issuance.bundles().roots;
        let svids = held.iter().map(|held| svid(held, &roots)).collect::<Result<Vec<_>, _>>()?;
        let own = |domain: &TrustDomain| ids.iter().any(|id| id.trust_domain() == domain);
        let federated_bundles = by_id(roots.iter().filter(|(domain, _)| !own(domain)));
        Ok(State {
            message: Self { svids, crl: Vec::new(), federated_bundles },
            good_until: held.iter().map(|held| held.svid.not_after).min().unwrap_or(NEVER),
            look_again: held.iter().map(|held| held.renew_at).min().unwrap_or(NEVER),
        })
    }
}

impl View for X509BundlesResponse {
    async fn look(source: &Source, selectors: &Selectors) -> Result<State<Self>, IssueError> {
        entitled(source, selectors).await?;
        let bundles = by_id(source.issuance.bundles().roots.iter());
        Ok(State { message: Self { crl: Vec::new(), bundles }, good_until: NEVER, look_again: NEVER })
    }
}

/// What the issuer says; while it says nothing, what was handed out before and is still good. A refusal is an answer, and
/// takes away what was handed out.
async fn entitled(source: &Source, selectors: &Selectors) -> Result<Vec<SpiffeId>, IssueError> {
    let ids = match source.issuance.entitled(selectors).await {
        Ok(ids) => ids,
        Err(error) => {
            let held = source.wallet.still_good(selectors);
            let is_away = matches!(error, IssueError::Unavailable(_)) && !held.is_empty();
            return if is_away { Ok(held) } else { Err(error) };
        }
    };
    source.wallet.keep_only(selectors, &ids);
    if ids.is_empty() { Err(IssueError::NotEntitled("no workload is recognised".to_owned())) } else { Ok(ids) }
}

fn svid(held: &Held, roots: &BTreeMap<TrustDomain, Vec<Vec<u8>>>) -> Result<X509svid, IssueError> {
    let bundle = roots.get(held.svid.spiffe_id.trust_domain());
    let bundle = bundle.ok_or_else(|| IssueError::Unavailable("the bundle of the own domain is missing".to_owned()))?;
    Ok(X509svid {
        spiffe_id: held.svid.spiffe_id.to_string(),
        x509_svid: held.svid.chain_der.concat(),
        x509_svid_key: held.key.reveal().to_vec(),
        bundle: bundle.concat(),
        hint: String::new(),
    })
}

fn by_id<'a>(bundles: impl Iterator<Item = (&'a TrustDomain, &'a Vec<Vec<u8>>)>) -> HashMap<String, Vec<u8>> {
    bundles.map(|(domain, roots)| (domain.id().to_string(), roots.concat())).collect()
}

/// What the caller is told. The issuer's words stay with the operator: they may name selectors (WA-7).
pub(crate) fn status(error: &IssueError) -> Status {
    match error {
        IssueError::NotEntitled(_) => Status::permission_denied("no identity is registered for this process"),
        IssueError::Unavailable(_) | IssueError::BadRequest(_) => Status::unavailable("no identity can be issued now"),
    }
}
