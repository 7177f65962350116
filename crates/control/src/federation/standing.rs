//! What is in force of a federated trust domain, and what may take its place (BU-2, BU-3).

use std::time::Duration;

use api::issuance::JwtKey;
use api::keys::ForeignBundle;
use aws_lc_rs::digest::{Context, SHA256};
use identity::{Bundle, BundleError};
use trustdir::{Federation, Profile};
use types::{Timestamp, TrustDomain, limits};

use crate::store::KeptBundle;

/// What is in force of one trust domain.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Its roots and keys. Empty where nothing was ever had, and where it revoked everything.
    pub bundle: Bundle,
    /// The document that it stands in; `""` where there is none.
    pub document: String,
    /// The highest sequence number that was seen: lower ones are refused. Absent where no document had one.
    pub sequence: Option<u64>,
    /// When it was last fetched; absent while it is the one of the trust directory.
    pub fetched: Option<Timestamp>,
    /// How long to wait before the next fetch.
    pub interval: Duration,
}

/// What a fetched document changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Roots and keys are the same.
    Nothing,
    /// Some are gone, and no new one came.
    Less,
    /// There are new ones.
    New,
}

impl Standing {
    /// Nothing: nobody of the trust domain is known.
    fn nothing(domain: &TrustDomain) -> Result<Self, BundleError> {
        Ok(Self {
            bundle: Bundle::new(domain.clone(), Vec::new(), Vec::new())?,
            document: String::new(),
            sequence: None,
            fetched: None,
            interval: Duration::from_millis(limits::BUNDLE_HINT_TIME.default),
        })
    }

    /// What the trust directory begins with.
    pub fn first(federation: &Federation) -> Result<Self, BundleError> {
        let nothing = Self::nothing(&federation.trust_domain)?;
        federation.first.as_deref().map_or(Ok(nothing.clone()), |document| nothing.follow(document, None))
    }

    /// What was kept of it.
    pub fn kept(domain: &TrustDomain, kept: &KeptBundle) -> Result<Self, BundleError> {
        let standing = Self::nothing(domain)?.follow(&kept.document, kept.fetched)?;
        Ok(Self { sequence: kept.sequence.max(standing.sequence), ..standing })
    }

    /// What takes its place: a document that was fetched at a moment. An empty one is taken too, and revokes everything at
    /// once (BU-2).
    ///
    /// # Errors
    /// [`BundleError`] for what is no bundle, and for one whose number goes back. What is in force stays then.
    pub fn follow(&self, document: &str, fetched: Option<Timestamp>) -> Result<Self, BundleError> {
        let read = Bundle::from_document(self.bundle.trust_domain().clone(), document)?;
        read.check_follows(self.sequence)?;
        Ok(Self {
            interval: read.refresh_after(),
            // a document without a number does not make an old number good again
            sequence: read.sequence.max(self.sequence),
            bundle: read.bundle,
            document: document.to_owned(),
            fetched,
        })
    }

    /// What changes when another takes this one's place.
    pub fn change(&self, next: &Self) -> Change {
        let (mut roots, mut keys) = (next.bundle.roots(), next.bundle.jwt_keys());
        let known = roots.all(|root| self.bundle.roots().any(|old| old == root))
            && keys.all(|key| self.bundle.jwt_keys().any(|old| old == key));
        let same = self.bundle.roots().count() == next.bundle.roots().count()
            && self.bundle.jwt_keys().count() == next.bundle.jwt_keys().count();
        match (known, same) {
            (true, true) => Change::Nothing,
            (true, false) => Change::Less,
            (false, _) => Change::New,
        }
    }

    /// As the issuer takes it.
    pub fn foreign(&self) -> ForeignBundle {
        let key = |(kid, spki): (&str, &[u8])| JwtKey { kid: kid.to_owned(), spki_der: spki.to_vec() };
        ForeignBundle {
            roots: self.bundle.roots().map(<[u8]>::to_vec).collect(),
            jwt_keys: self.bundle.jwt_keys().map(key).collect(),
        }
    }

    /// What it holds, in words.
    pub fn words(&self) -> String {
        let (roots, keys) = (self.bundle.roots().count(), self.bundle.jwt_keys().count());
        if roots == 0 && keys == 0 {
            return "it holds nothing: all of the trust domain is revoked".to_owned();
        }
        let many = |number, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
        let sequence = self.sequence.map(|sequence| format!(", sequence {sequence}")).unwrap_or_default();
        format!("{}, {} for JWT-SVIDs{sequence}", many(roots, "root"), many(keys, "key"))
    }
}

/// SHA-256 of all that an entry says about where its bundle comes from. Where that changes, what was had from the old place
/// is not kept: the trust directory's first bundle holds until the new place has been asked.
pub(super) fn source(federation: &Federation) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    };
    add(federation.trust_domain.as_str().as_bytes());
    add(federation.url.to_string().as_bytes());
    add(federation.profile.as_str().as_bytes());
    match &federation.profile {
        Profile::HttpsWeb { roots } => roots.iter().flatten().for_each(|root| add(root)),
        Profile::HttpsSpiffe { endpoint_id } => add(endpoint_id.as_str().as_bytes()),
    }
    add(federation.first.as_deref().unwrap_or_default().as_bytes());
    let mut digest = [0; 32];
    digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    digest
}
