//! The node itself: its key, its certificate of `system.<organisation>`, and the root that it believes.

use std::{path::Path, sync::Arc};

use api::{admin::Role, wire::JoinResponse};
use identity::{Bundle, BundleSet, VerifiedPeer};
use prost::Message;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::{Label, Timestamp, TrustDomain};
use zeroize::Zeroizing;

use super::{
    Config, ControlAt, StartError,
    held::Belief,
    shelf::{Shelf, digest_of, hex},
};
use crate::system;

const KEY: &str = "node.key";
const IDENTITY: &str = "node.identity";

/// What a peer is and knows of itself.
pub(super) struct Node {
    role: Role,
    name: Label,
    shelf: Option<Arc<Shelf>>,
    /// Whom it believes; `None` before it joined.
    belief: Option<Belief>,
    own: Option<Own>,
}

/// A certificate of this node with its key.
#[derive(Clone)]
pub(super) struct Own {
    key_der: Zeroizing<Vec<u8>>,
    chain: Vec<CertificateDer<'static>>,
    root: Vec<u8>,
    /// When this node verified it, which is when it was good.
    since: Timestamp,
    not_after: Timestamp,
    /// SHA-256 of the token that it came by; empty where it came otherwise.
    token_sha256: Vec<u8>,
}

/// An identity as it lies on the disk.
#[derive(Clone, PartialEq, Message)]
struct OnDisk {
    #[prost(message, optional, tag = "1")]
    answer: Option<JoinResponse>,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(bytes = "vec", tag = "3")]
    token_sha256: Vec<u8>,
}

impl Node {
    /// Opens the folder of a remote peer and reads who it is. A peer in memory needs neither.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let bare = |shelf| Self { role: config.role, name: config.name.clone(), shelf, belief: None, own: None };
        match &config.control {
            ControlAt::Memory { organisation, root, .. } => {
                let belief = belief(organisation, root).map_err(StartError::Root)?;
                Ok(Self { belief: Some(belief), ..bare(None) })
            }
            ControlAt::Remote { root_sha256, token_file, .. } => {
                let shelf = Arc::new(Shelf::open(config.data.join("state"))?);
                let mut node = bare(Some(shelf));
                node.read(root_sha256)?;
                let has_token = || token_file.as_deref().is_some_and(|path| read_token(path).is_ok());
                if node.own.is_none() && !has_token() {
                    return Err(StartError::NoToken);
                }
                Ok(node)
            }
        }
    }

    pub(super) fn shelf(&self) -> Option<Arc<Shelf>> {
        self.shelf.clone()
    }

    pub(super) const fn belief(&self) -> Option<&Belief> {
        self.belief.as_ref()
    }

    pub(super) const fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Reads what an earlier run kept.
    fn read(&mut self, root_sha256: &[u8; 32]) -> Result<(), StartError> {
        let Some(shelf) = self.shelf() else { return Ok(()) };
        let Some(content) = shelf.read(IDENTITY) else { return Ok(()) };
        let read = OnDisk::decode(content.as_slice()).map_err(|_| "it cannot be read".to_owned()).and_then(|on_disk| {
            let key_der = Zeroizing::new(shelf.read(KEY).ok_or("its key is not there")?);
            let since = Timestamp::from_micros(on_disk.since);
            verify(on_disk.answer.unwrap_or_default(), key_der, since, on_disk.token_sha256)
        });
        let (own, peer) = match read {
            Ok(read) => read,
            Err(why) => {
                shelf.set_aside(IDENTITY, &why);
                return Ok(());
            }
        };
        if digest_of(&own.root) != *root_sha256 {
            return Err(StartError::OtherRoot { kept: hex(&digest_of(&own.root)), state: shelf.path("") });
        }
        if system::peer_of(peer.spiffe_id()) != Some((self.role, self.name.clone())) {
            return Err(StartError::OtherName { kept: peer.spiffe_id().to_string(), state: shelf.path("") });
        }
        self.adopt(own, &peer).map_err(StartError::Root)
    }

    fn adopt(&mut self, own: Own, peer: &VerifiedPeer) -> Result<(), String> {
        let organisation = system::organisation(peer.spiffe_id().trust_domain());
        let organisation = organisation.ok_or_else(|| format!("`{}` is no identity of a system", peer.spiffe_id()))?;
        self.belief = Some(belief(&organisation, &own.root)?);
        self.own = Some(own);
        Ok(())
    }

    /// The key of this node, made on first use. It is on the disk before anybody is asked for a certificate, so that the same
    /// token with the same key gives the certificate again, whenever this process ends.
    pub(super) fn key(&self) -> Result<KeyPair, String> {
        if let Some(own) = &self.own {
            return own.key();
        }
        let shelf = self.shelf().ok_or("a peer in memory has no key")?;
        if let Some(der) = shelf.read(KEY).map(Zeroizing::new)
            && let Ok(key) = pair(&der)
        {
            return Ok(key);
        }
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| format!("no key was made: {error}"))?;
        let der = Zeroizing::new(key.serialize_der());
        shelf.keep(KEY, &der).map_err(|error| format!("the node's key cannot be kept: {error}"))?;
        Ok(key)
    }

    /// Takes an answer to Join, Rejoin or Renew: it must be for this node and its key, under the root that is pinned.
    pub(super) fn take(
        &mut self,
        answer: JoinResponse,
        key: &KeyPair,
        root_sha256: &[u8; 32],
        token_sha256: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<(), String> {
        // a renewal changes nothing about the root
        let mut answer = answer;
        if answer.root.is_empty() {
            answer.root = self.own.as_ref().map(|own| own.root.clone()).unwrap_or_default();
        }
        if digest_of(&answer.root) != *root_sha256 {
            let is = hex(&digest_of(&answer.root));
            return Err(format!("control answered with the root {is}, and `control.root_sha256` says another"));
        }
        let token_sha256 = match token_sha256 {
            Some(digest) => digest.to_vec(),
            None => self.own.as_ref().map(|own| own.token_sha256.clone()).unwrap_or_default(),
        };
        let der = Zeroizing::new(key.serialize_der());
        let (own, peer) = verify(answer.clone(), der, now, token_sha256.clone())?;
        if system::peer_of(peer.spiffe_id()) != Some((self.role, self.name.clone())) {
            return Err(format!("control answered with the identity `{}`", peer.spiffe_id()));
        }
        let content = OnDisk { answer: Some(answer), since: now.micros(), token_sha256 }.encode_to_vec();
        if let Some(shelf) = self.shelf() {
            shelf
                .keep(IDENTITY, &content)
                .map_err(|error| format!("the node's certificate cannot be kept: {error}"))?;
        }
        self.adopt(own, &peer)
    }
}

impl Own {
    pub(super) fn key(&self) -> Result<KeyPair, String> {
        pair(&self.key_der)
    }

    /// For a TLS handshake.
    pub(super) fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key_der.to_vec())))
    }

    pub(super) fn root(&self) -> &[u8] {
        &self.root
    }

    pub(super) fn leaf(&self) -> Vec<u8> {
        self.chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    pub(super) const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When half of its life is over.
    pub(super) fn renew_at(&self) -> Timestamp {
        Timestamp::from_micros(self.since.micros() + self.not_after.micros_since(self.since) / 2)
    }

    /// Whether it came by this token.
    pub(super) fn came_by(&self, token_sha256: &[u8; 32]) -> bool {
        self.token_sha256 == token_sha256
    }
}

/// A certificate request for a key. Nothing but the key counts in it.
pub(super) fn request(key: &KeyPair) -> Result<Vec<u8>, String> {
    let request = CertificateParams::default().serialize_request(key);
    request.map(|request| request.der().to_vec()).map_err(|error| format!("no certificate request was made: {error}"))
}

/// A signature by a key: ECDSA P-256 with SHA-256, ASN.1.
pub(super) fn sign(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, String> {
    key.sign(message).map_err(|error| format!("nothing was signed: {error}"))
}

/// The token of a file, without the line's end.
pub(super) fn read_token(path: &Path) -> Result<Zeroizing<String>, String> {
    use std::io::Read;
    let most = types::limits::TOKEN_FILE_BYTES.default;
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    file.take(most)
        .read_to_string(&mut text)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() { Err(format!("`{}` holds no token", path.display())) } else { Ok(token) }
}

fn pair(der: &[u8]) -> Result<KeyPair, String> {
    KeyPair::try_from(der).map_err(|error| format!("the node's key cannot be used: {error}"))
}

fn belief(organisation: &TrustDomain, root: &[u8]) -> Result<Belief, String> {
    let domain = system::domain(organisation).ok_or("the organisation's name is too long")?;
    let bundle = Bundle::from_der(domain, vec![root.to_vec()]).map_err(|error| error.to_string())?;
    Ok(Belief { organisation: organisation.clone(), roots: BundleSet::from_iter([bundle]) })
}

/// The chain was good at the moment `since` under the root that came with it, and belongs to the key.
fn verify(
    answer: JoinResponse,
    key_der: Zeroizing<Vec<u8>>,
    since: Timestamp,
    token_sha256: Vec<u8>,
) -> Result<(Own, VerifiedPeer), String> {
    let chain: Vec<CertificateDer<'static>> = answer.chain.into_iter().map(CertificateDer::from).collect();
    let domain = trust_domain(&chain)?;
    let bundle = Bundle::from_der(domain, vec![answer.root.clone()]).map_err(|error| error.to_string())?;
    let peer = identity::verify(&chain, &BundleSet::from_iter([bundle]), since)
        .map_err(|refusal| format!("the certificate cannot be used: {refusal}"))?;
    if digest_of(&pair(&key_der)?.subject_public_key_info()) != *peer.key_sha256() {
        return Err("the certificate is for another key".to_owned());
    }
    let not_after = peer.not_after();
    Ok((Own { key_der, chain, root: answer.root, since, not_after, token_sha256 }, peer))
}

/// The trust domain that a leaf names. It proves nothing: the root that is pinned does.
fn trust_domain(chain: &[CertificateDer<'static>]) -> Result<TrustDomain, String> {
    let refusal = identity::verify(chain, &BundleSet::default(), Timestamp::default());
    match refusal.err().and_then(|refusal| refusal.claimed) {
        Some(id) => Ok(id.trust_domain().clone()),
        None => Err("the certificate names no identity".to_owned()),
    }
}
