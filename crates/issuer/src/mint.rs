//! Who gets what: registrations and selectors in, recorded certificates and tokens out.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use api::admin::Keys;
use api::issuance::{IssueError, JwtSvid, Svid, WorkloadOrder};
use api::keys::Place;
use identity::sign::sha256;
use types::{Label, Selectors, SpiffeId, Timestamp, WorkloadId};

use crate::authority::LEAF_BACKDATE_SECONDS;
use crate::domain::Domain;
use crate::issuer::{Issuer, State, unavailable};
use crate::jwt::{check_audience, hex};
use crate::leaf::Order;
use crate::limiter::Kind;
use crate::predecessor::Succeeding;
use crate::record::{Asked, Issued};
use crate::registrations::{WorkloadRegistration, trust_domain, workload_id};
use crate::request;

/// The life of an impersonation certificate (DESIGN section 10).
pub const IMPERSONATION_SECONDS: u64 = 300;

/// Whose key signs.
pub(crate) enum Signing<'a> {
    System,
    Domain(&'a Label),
}

/// A workload that is registered, recognised and placed.
struct Recognised<'a> {
    workload: &'a WorkloadId,
    registration: &'a WorkloadRegistration,
    /// Which of its rules, counted from 1.
    rule: usize,
}

impl Recognised<'_> {
    /// Why it may have what it asks for, as the record says it.
    fn why(&self, place: &Place) -> String {
        format!("rule {} of {} {place}", self.rule, self.workload)
    }
}

impl Issuer {
    /// An SVID with which an operator speaks as a workload for five minutes. Whether the operator may is the caller's
    /// to decide; the certificate and the record name the operator.
    ///
    /// # Errors
    /// [`IssueError::NotEntitled`] for a workload that is not registered, [`IssueError::BadRequest`] for a request or
    /// an operator's name that cannot be used, [`IssueError::Unavailable`] when the issuance cannot be recorded.
    pub fn mint_impersonation(
        &self,
        workload: &WorkloadId,
        operator: &str,
        csr_der: &[u8],
    ) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = workload_id(workload, self.organisation()).filter(|id| state.workloads.contains_key(id));
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked { via: operator, ..Asked::plain(spiffe_id) };
        let Some(id) = &id else {
            let why = format!("workload `{workload}` is not registered");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let ttl = Duration::from_secs(IMPERSONATION_SECONDS);
        let order = Order { via: Some(operator), ..Order::new(id, &[], ttl, LEAF_BACKDATE_SECONDS) };
        self.mint(&state, &Signing::Domain(workload.domain()), &asked, &order, csr_der, "an operator speaks as it")
    }

    /// An SVID for a workload that was attested at a place. The issuer matches the selectors and the place itself; what is
    /// not placed there is refused, and that is recorded. A predecessor that proves itself is named in the new one.
    ///
    /// # Errors
    /// [`IssueError::NotEntitled`] where no rule matches, the workload may not run there or trust was taken from it or the
    /// node; [`IssueError::Limited`] where too much was asked for; [`IssueError::BadRequest`] for a request or a
    /// predecessor that cannot be used; [`IssueError::Unavailable`] when the issuance cannot be recorded.
    pub fn mint_workload_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        order: &WorkloadOrder,
    ) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let attested = selectors.to_string();
        let asked = asked(place, &order.id, &attested);
        let recognised = self
            .recognise(&state, place, selectors, &order.id, Kind::X509)
            .map_err(|error| self.book.refuse(&asked, error))?;
        let domain = recognised.workload.domain();
        let predecessors =
            self.predecessors(&state, domain, place, order).map_err(|error| self.book.refuse(&asked, error))?;
        let wanted = Order {
            node: place.node(),
            predecessors: &predecessors,
            ..Order::new(&order.id, &[], recognised.registration.ttl, LEAF_BACKDATE_SECONDS)
        };
        self.mint(&state, &Signing::Domain(domain), &asked, &wanted, &order.csr_der, &recognised.why(place))
    }

    /// A JWT-SVID for a workload that was attested at a place: as [`Self::mint_workload_at`]. Recorded with the digest of
    /// the token.
    ///
    /// # Errors
    /// As [`Self::mint_workload_at`]; [`IssueError::BadRequest`] for no audience, too many, or one that is empty or long.
    pub fn mint_jwt_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError> {
        let state = self.snapshot();
        let attested = selectors.to_string();
        let asked = asked(place, id, &attested);
        let signed = check_audience(audience)
            .and_then(|()| self.recognise(&state, place, selectors, id, Kind::Jwt))
            .and_then(|recognised| Ok((self.sign_jwt(&state, &recognised, id, audience)?, recognised.why(place))));
        let (svid, why) = signed.map_err(|error| self.book.refuse(&asked, error))?;
        let serial = format!("sha256:{}", hex(&sha256(svid.token.as_bytes())));
        let why = format!("{why}; JWT-SVID for {}", listed(audience));
        self.book.issue(&asked, &Issued { serial: &serial, not_after: svid.not_after, why: &why })?;
        Ok(svid)
    }

    /// Issues the server identity of a gateway, `_gateway/NAME` of a domain, with all its hosts. Recorded.
    ///
    /// # Errors
    /// [`IssueError`]: an unknown domain, a proxy from which trust was taken, too many questions, a request that is none,
    /// or nothing can be recorded.
    pub fn mint_for_gateway(&self, domain: &Label, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = trust_domain(domain, self.organisation())
            .and_then(|domain| SpiffeId::from_segments(&domain, &["_gateway", name.as_str()]).ok());
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked::plain(spiffe_id);
        let (Some(id), Some(registration)) = (&id, state.registrations.domains.get(domain)) else {
            let why = format!("domain `{domain}` is not registered");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let account = format!("proxy/{name}");
        let allowed = self.node_not_revoked(&state, "proxy", name).and_then(|()| {
            self.limiter.ask(&account, Kind::X509)?;
            self.limiter.issue(&account, id, Kind::X509)
        });
        allowed.map_err(|error| self.book.refuse(&asked, error))?;
        let order = Order::new(id, &registration.hosts, registration.ttl, LEAF_BACKDATE_SECONDS);
        let why = format!("gateway of {domain}");
        self.mint(&state, &Signing::Domain(domain), &asked, &order, csr_der, &why)
    }

    /// Signs, records, and only then hands out.
    pub(crate) fn mint(
        &self,
        state: &State,
        signing: &Signing<'_>,
        asked: &Asked<'_>,
        order: &Order<'_>,
        csr_der: &[u8],
        why: &str,
    ) -> Result<Svid, IssueError> {
        let now = self.clock().now();
        let signed = state.not_revoked(order.id, now).and_then(|()| {
            let key = request::public_key(csr_der)?;
            state.key_not_revoked(key, now)?;
            self.sign_leaf(state, signing, order, key, now)
        });
        let svid = signed.map_err(|error| self.book.refuse(asked, error))?;
        self.book.issue(asked, &Issued { serial: &svid.serial, not_after: svid.not_after, why })?;
        Ok(svid)
    }

    fn sign_leaf(
        &self,
        state: &State,
        signing: &Signing<'_>,
        order: &Order<'_>,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Svid, IssueError> {
        let label = match signing {
            Signing::System => return self.system.authority.sign(order, key, now).map_err(unavailable),
            Signing::Domain(label) => label,
        };
        self.signed_by_current(state, label, Keys::X509, order.ttl, |domain, ttl| {
            let held = &domain.x509.current;
            let svid = held.key.sign(&Order { ttl, ..*order }, key, now).map_err(unavailable)?;
            held.signed_until(svid.not_after);
            Ok(svid)
        })
    }

    fn sign_jwt(
        &self,
        state: &State,
        recognised: &Recognised<'_>,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError> {
        let now = self.clock().now();
        state.not_revoked(id, now)?;
        let (label, life) = (recognised.workload.domain(), recognised.registration.jwt_ttl);
        self.signed_by_current(state, label, Keys::Jwt, life, |domain, life| {
            let held = &domain.jwt.current;
            let issued_at = Timestamp::from_seconds(now.seconds());
            let not_after = issued_at.plus_seconds(life.as_secs());
            let token = held.key.sign(id, audience, issued_at, not_after).map_err(unavailable)?;
            held.signed_until(not_after);
            Ok(JwtSvid { spiffe_id: id.clone(), token, issued_at, not_after })
        })
    }

    /// Lets the key of the moment sign something, with the life that it may have. Where another key signs since the
    /// snapshot was taken, that one does.
    fn signed_by_current<T>(
        &self,
        state: &State,
        label: &Label,
        keys: Keys,
        wanted: Duration,
        sign: impl Fn(&Domain, Duration) -> Result<T, IssueError>,
    ) -> Result<T, IssueError> {
        let domain = state.domain(label)?;
        if let Some(life) = self.allowed_life(domain, keys, wanted)? {
            return sign(domain, life);
        }
        let state = self.snapshot();
        let domain = state.domain(label)?;
        let life = self.allowed_life(domain, keys, wanted)?;
        sign(domain, life.ok_or_else(|| unavailable("its keys are changing; ask again".to_owned()))?)
    }

    /// How long something may be good that the key of the moment signs; nothing where another key signs by now. A life
    /// that is longer than any before is written down first, so that the key is not let go of while something that it
    /// signed is good; where that fails, the longest one that is written counts.
    fn allowed_life(&self, domain: &Domain, keys: Keys, wanted: Duration) -> Result<Option<Duration>, IssueError> {
        let longest = domain.longest(keys);
        if wanted.as_secs() <= longest {
            return Ok(Some(wanted));
        }
        match self.write_longest(domain, keys, wanted.as_secs()) {
            Ok(written) => Ok(written.then_some(wanted)),
            Err(error) if longest > 0 => {
                tracing::error!(%error, domain = %domain.label, "credentials are shorter than asked for");
                Ok(Some(Duration::from_secs(longest)))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Whether a workload is registered, recognised, placed there, and within its limits, from a node that is trusted.
    fn recognise<'s>(
        &self,
        state: &'s State,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        kind: Kind,
    ) -> Result<Recognised<'s>, IssueError> {
        let node = place.node().map(Label::as_str).unwrap_or_default();
        if let Some(name) = place.node() {
            self.node_not_revoked(state, "agent", name)?;
        }
        self.limiter.ask(node, kind)?;
        let registered = state.workloads.get(id).and_then(|workload| Some((workload, state.registration(workload)?)));
        let rule = registered.and_then(|(_, registration)| registration.recognised_by(selectors));
        let (Some((workload, registration)), Some(rule)) = (registered, rule) else {
            return Err(IssueError::NotEntitled(format!("no rule of `{id}` matches this process")));
        };
        if !registration.runs_at(place) {
            return Err(IssueError::NotEntitled(not_placed(id, place, registration)));
        }
        self.limiter.issue(node, id, kind)?;
        Ok(Recognised { workload, registration, rule })
    }

    /// What the new certificate says of those before it.
    fn predecessors(
        &self,
        state: &State,
        domain: &Label,
        place: &Place,
        order: &WorkloadOrder,
    ) -> Result<Vec<identity::Predecessor>, IssueError> {
        let Some(predecessor) = &order.predecessor else { return Ok(Vec::new()) };
        let succeeding = Succeeding {
            id: &order.id,
            node: place.node(),
            csr_der: &order.csr_der,
            bundle: &state.domain(domain)?.bundle,
            signals: &state.signals,
            now: self.clock().now(),
        };
        succeeding.check(predecessor)
    }

    /// Whether trust was taken from a peer, `agent` or `proxy`, for which something is asked.
    fn node_not_revoked(&self, state: &State, role: &str, name: &Label) -> Result<(), IssueError> {
        let system = self.system.authority.trust_domain();
        let id = SpiffeId::from_segments(system, &[role, name.as_str()]).ok();
        let revoked = id.map(|id| state.signals.revoked_id(&id, self.clock().now()).is_some());
        match revoked {
            Some(false) => Ok(()),
            Some(true) | None => Err(IssueError::NotEntitled(format!("node:{role}/{name} is revoked"))),
        }
    }
}

impl State {
    pub(crate) fn domain(&self, domain: &Label) -> Result<&Arc<Domain>, IssueError> {
        self.domains.get(domain).ok_or_else(|| unavailable(format!("the key of domain `{domain}` is not held")))
    }

    pub(crate) fn registration(&self, workload: &WorkloadId) -> Option<&WorkloadRegistration> {
        self.registrations.workloads.get(workload)
    }

    pub(crate) fn not_revoked(&self, id: &SpiffeId, now: Timestamp) -> Result<(), IssueError> {
        match self.signals.revoked_id(id, now) {
            None => Ok(()),
            Some(_) => Err(IssueError::NotEntitled(format!("`{id}` is revoked"))),
        }
    }

    fn key_not_revoked(&self, spki_der: &[u8], now: Timestamp) -> Result<(), IssueError> {
        match self.signals.revoked_key(&sha256(spki_der), now) {
            None => Ok(()),
            Some(_) => Err(IssueError::NotEntitled("the key of the request is revoked; make another one".to_owned())),
        }
    }
}

fn asked<'a>(place: &'a Place, id: &'a SpiffeId, attested: &'a str) -> Asked<'a> {
    let node = place.node().map(Label::as_str).unwrap_or_default();
    Asked { spiffe_id: id.as_str(), selectors: attested, via: "", node }
}

/// Audiences as the record shows them: escaped, so that none can pass for another field.
fn listed(audience: &[String]) -> String {
    audience.iter().map(|one| format!("`{}`", one.escape_debug())).collect::<Vec<_>>().join(", ")
}

/// Why a workload may not run at a place, in words that name the setting.
fn not_placed(id: &SpiffeId, place: &Place, registration: &WorkloadRegistration) -> String {
    let list = |labels: &BTreeSet<Label>| labels.iter().map(Label::as_str).collect::<Vec<_>>().join(", ");
    let here = match place {
        Place::Everywhere => "every group".to_owned(),
        Place::Node { groups, .. } if groups.is_empty() => "none".to_owned(),
        Place::Node { groups, .. } => list(groups),
    };
    match &registration.runs_on {
        Some(placed) => format!("`{id}` runs on {} (`runs_on`), and this node belongs to {here}", list(placed)),
        None => format!("`{id}` names no node group in `runs_on`, and this node belongs to {here}"),
    }
}
