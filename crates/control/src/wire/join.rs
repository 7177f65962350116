//! How a key becomes a peer: by a token, once; and how it comes back after its certificate ended.

use ::wire::system;
use api::admin::Role;
use api::issuance::{IssueError, Svid};
use api::wire::{JoinRequest, JoinResponse, RejoinRequest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use identity::{Bundle, BundleSet, VerifiedPeer};
use rustls_pki_types::CertificateDer;
use tonic::Status;
use types::facts::{Administration, Outcome};
use types::{Label, Timestamp, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::hub::sha256;
use super::who::Caller;
use crate::acts::{self, with_causes};
use crate::peers::{Seen, title};
use crate::service::Control;
use crate::store::{Join, Joined, NotDone, Place, SecretHash};

/// A token is not longer.
const TOKEN_BYTES: usize = 256; // tidy: the number of `token_file_bytes` bounds what a peer reads; more is no token of ours

impl Control {
    /// See `Wire.Join`. `from` is where it comes from, for the record.
    ///
    /// # Errors
    /// What it is told; a refusal is on record.
    pub(crate) fn join(&self, request: &JoinRequest, from: &str) -> Result<JoinResponse, Status> {
        let key = key_of_request(&request.csr)?;
        let refused = |subject: &str, why: String| {
            self.refuse("join", subject, &format!("{why} ({from})"));
            Err(Status::unauthenticated(why))
        };
        if request.token.len() > TOKEN_BYTES {
            return refused("", "this is not a join token".to_owned());
        }
        let now = self.parts.clock.now();
        let hash = SecretHash::of(&request.token);
        let record = |joined: &Joined, by: &str| {
            let subject = format!("node:{}", title(joined.place.role, &joined.place.name));
            self.parts.ledger.administration(&joining(&subject, by, from))
        };
        let again = || "make another with `countersign join-token`".to_owned();
        let turn = self.hub.peers.turn();
        let join = self.parts.store.join(hash, &key, &request.name, now, record);
        if let Ok(Join::Joined { joined, .. } | Join::Again(joined)) = &join {
            self.hub.peers.add(joined.clone());
        }
        drop(turn);
        match join {
            Ok(Join::Joined { joined, by }) => {
                tracing::info!(peer = %title(joined.place.role, &joined.place.name), by, from, "a peer joined");
                self.identity_for(&joined.place, &request.csr)
            }
            Ok(Join::Again(joined)) => self.identity_for(&joined.place, &request.csr),
            Ok(Join::Unknown) => refused("", format!("this join token is not known here: {}", again())),
            Ok(Join::Over(place, until)) => {
                refused(&subject(&place), format!("this join token was good until {until}: {}", again()))
            }
            Ok(Join::Used(place)) => refused(
                &subject(&place),
                format!("this join token was used by another key: if that was not you, retire {}", subject(&place)),
            ),
            Ok(Join::Taken(place)) => {
                refused(&subject(&place), format!("{} has joined already: retire it first", subject(&place)))
            }
            Ok(Join::OtherName(place)) => {
                let name: String = request.name.chars().take(63).collect();
                refused(&subject(&place), format!("this join token is for `{}`, not for `{name}`", place.name))
            }
            Err(failure) => Err(self.join_failed(failure, from)),
        }
    }

    fn join_failed(&self, failure: NotDone<crate::NotWritten>, from: &str) -> Status {
        let failure = acts::not_done(&self.parts.ledger, &joining("", "", from), failure);
        tracing::error!(error = %failure.message, hint = failure.hint, "nobody can join");
        Status::unavailable("control cannot take anybody now; its log says why")
    }

    /// See `Wire.Rejoin`.
    ///
    /// # Errors
    /// What it is told; a refusal is on record.
    pub(crate) fn rejoin(&self, request: &RejoinRequest, from: &str) -> Result<JoinResponse, Status> {
        let now = self.parts.clock.now();
        self.comes_back(request, now)
            .map_err(|(subject, why)| {
                self.refuse("rejoin", &subject, &format!("{why} ({from})"));
                Status::unauthenticated(why)
            })
            .and_then(|seen| self.identity_for(&seen.place, &request.csr))
    }

    /// Whether it is who joined; otherwise what it is called and why not.
    fn comes_back(&self, request: &RejoinRequest, now: Timestamp) -> Result<Seen, (String, String)> {
        let nobody = |why: &str| (String::new(), why.to_owned());
        if !self.hub.nonces.take(&request.nonce, now) {
            return Err(nobody("the number that was signed is not one that was given out a moment ago: ask again"));
        }
        let peer = self.once_ours(&request.certificate).map_err(|why| nobody(&why))?;
        let name = system::peer_of(peer.spiffe_id()).ok_or_else(|| nobody("it is neither a proxy nor an agent"))?;
        let called = title(name.0, &name.1);
        let refused = |why: String| (called.clone(), why);
        let seen = self.hub.peers.get(&name).filter(|seen| !seen.in_process());
        let seen = seen.ok_or_else(|| refused("it was retired: it needs a new join token".to_owned()))?;
        // its end counts differently here: revocation, as it is now, and the key as always
        if let Some(why) = self.distrusted(&seen, Some(&peer), now) {
            return Err(refused(why));
        }
        let within = self.rejoin_within(&seen.place);
        if now > peer.not_after().plus_seconds(within) {
            let why = format!(
                "its certificate ended on {}, and it may come back within {} hours only: it needs a new join token",
                peer.not_after(),
                within / 3_600
            );
            return Err(refused(why));
        }
        let key = key_of_request(&request.csr).map_err(|status| refused(status.message().to_owned()))?;
        if seen.key != Some(key) {
            return Err(refused("the request is for another key than the certificate".to_owned()));
        }
        proves_key(request).map_err(refused)?;
        Ok(seen)
    }

    /// A certificate of ours, whose end does not count.
    fn once_ours(&self, der: &[u8]) -> Result<VerifiedPeer, String> {
        if der.len() > limits::CERTIFICATE_BYTES.default_usize() {
            return Err("the certificate is too large".to_owned());
        }
        let (_, read) = X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read".to_owned())?;
        let end = u64::try_from(read.validity().not_after.timestamp()).unwrap_or_default();
        let domain = system::domain(&self.organisation()).ok_or("the organisation's name is too long")?;
        let bundle =
            Bundle::from_der(domain, vec![self.parts.roles.system_root()]).map_err(|error| error.to_string())?;
        let bundles: BundleSet = [bundle].into_iter().collect();
        identity::verify(&[CertificateDer::from(der)], &bundles, Timestamp::from_seconds(end))
            .map_err(|refusal| with_causes(&refusal))
    }

    /// See `Wire.Renew`.
    ///
    /// # Errors
    /// What it is told.
    pub(crate) fn renew(&self, caller: &Caller, csr: &[u8]) -> Result<JoinResponse, Status> {
        let Some(peer) = &caller.peer else {
            return Err(Status::failed_precondition("a role of this process needs no certificate"));
        };
        if key_of_request(csr)? != *peer.key_sha256() {
            let why =
                "a renewed certificate is for the same key: to change the key, retire the peer and let it join again";
            self.refuse("renew", &caller.title(), why);
            return Err(Status::permission_denied(why));
        }
        self.identity_for(&caller.place, csr)
    }

    fn identity_for(&self, place: &Place, csr: &[u8]) -> Result<JoinResponse, Status> {
        let svid = self.parts.roles.mint_peer(place.role, &place.name, csr).map_err(|error| status_of(&error))?;
        Ok(JoinResponse {
            chain: svid.chain_der,
            root: self.parts.roles.system_root(),
            rejoin_within_seconds: self.rejoin_within(place),
        })
    }

    /// Seconds for which an ended identity may come back.
    fn rejoin_within(&self, place: &Place) -> u64 {
        let revision = self.parts.revision.load();
        let group = place.group.as_ref().and_then(|group| revision.nodes().get(group));
        group.cloned().unwrap_or_default().rejoin_within.as_secs()
    }
}

/// `proxy/edge-1`.
fn subject(place: &Place) -> String {
    title(place.role, &place.name)
}

fn joining<'a>(subject: &'a str, by: &'a str, from: &'a str) -> Administration<'a> {
    Administration {
        act: "join",
        outcome: Outcome::Allow,
        operator: by,
        subject,
        why: "",
        note: from,
        revision: None,
        until: None,
    }
}

/// SHA-256 of the public key in a request. That the asker holds it is the issuer's to verify.
fn key_of_request(csr: &[u8]) -> Result<[u8; 32], Status> {
    let bad = |why| Status::invalid_argument(why);
    if csr.len() > limits::CSR_BYTES.default_usize() {
        return Err(bad("the certificate request is too large"));
    }
    let (rest, read) =
        X509CertificationRequest::from_der(csr).map_err(|_| bad("the certificate request cannot be read"))?;
    if !rest.is_empty() {
        return Err(bad("something follows the certificate request"));
    }
    Ok(sha256(read.certification_request_info.subject_pki.raw))
}

/// The signature over the number and the request, by the key of the certificate.
fn proves_key(request: &RejoinRequest) -> Result<(), String> {
    let (_, read) =
        X509Certificate::from_der(&request.certificate).map_err(|_| "the certificate cannot be read".to_owned())?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, read.public_key().subject_public_key.data.as_ref());
    let message = system::rejoin_message(&request.nonce, &request.csr);
    key.verify(&message, &request.signature)
        .map_err(|_| "the signature is not by the key of the certificate".to_owned())
}

/// What a peer is told that was issued nothing.
pub(crate) fn status_of(error: &IssueError) -> Status {
    match error {
        IssueError::NotEntitled(why) => Status::permission_denied(why.clone()),
        IssueError::Unavailable(why) => Status::unavailable(why.clone()),
        IssueError::Limited(why) => Status::resource_exhausted(why.clone()),
        IssueError::BadRequest(why) => Status::invalid_argument(why.clone()),
    }
}

/// As it travels.
pub(crate) fn minted(svid: Svid) -> api::wire::MintResponse {
    api::wire::MintResponse {
        spiffe_id: svid.spiffe_id.to_string(),
        chain: svid.chain_der,
        not_before: svid.not_before.micros(),
        not_after: svid.not_after.micros(),
        serial: svid.serial,
    }
}

impl Caller {
    /// Only one role asks this.
    ///
    /// # Errors
    /// What the others are told.
    pub(crate) fn must_be(&self, role: Role) -> Result<&Label, Status> {
        if self.place.role == role {
            return Ok(&self.place.name);
        }
        Err(Status::permission_denied(format!("only a {} asks this", role.as_str())))
    }
}
