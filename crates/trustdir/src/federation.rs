//! `federation` of `countersign.yaml`: the trust domains of others whose workloads may call, and where their bundles come
//! from (docs/federation.md; STANDARDS BU-4 to BU-7).

use core::ops::Range;

use types::{SpiffeId, TrustDomain, limits};

use crate::{
    decode::{Fields, Spanned, bad_value, boolean, list, one_of, parsed, text},
    elsewhere::is_own,
    problem::{File, quote},
    suggest,
    yaml::Node,
};

mod join;
mod url;

pub(crate) use join::join;
pub use url::FederationUrl;

/// A trust domain of somebody else, whose identities are accepted here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Federation {
    /// The trust domain. Never one that ends in the organisation's name.
    pub trust_domain: TrustDomain,
    /// Where its bundle is fetched.
    pub url: FederationUrl,
    /// How the server of that URL proves who it is.
    pub profile: Profile,
    /// Whether the server stands in a private network (RFC 1918, RFC 6598, RFC 4193), which the name of the URL may then
    /// lead to.
    pub private_network: bool,
    /// The bundle to begin with, a SPIFFE bundle document; always there where the server proves itself by it.
    pub first: Option<String>,
}

/// How a bundle endpoint proves who it is. Neither falls back to the other (BU-5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Profile {
    /// By a certificate of the web for the host of the URL.
    HttpsWeb {
        /// The roots that it must end in, DER, at least one; absent for those of the system.
        roots: Option<Vec<Vec<u8>>>,
    },
    /// By an X.509-SVID.
    HttpsSpiffe {
        /// Its SPIFFE ID.
        endpoint_id: SpiffeId,
    },
}

impl Profile {
    /// The word in configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::HttpsWeb { .. } => "https_web",
            Self::HttpsSpiffe { .. } => "https_spiffe",
        }
    }
}

/// An entry as written. What does not fit is reported, and then there is no entry.
pub(crate) struct RawFederation {
    name: Spanned<TrustDomain>,
    url: FederationUrl,
    profile: RawProfile,
    private_network: bool,
    bundle: Option<Spanned<String>>,
    at: Range<usize>,
}

enum RawProfile {
    HttpsWeb { roots: Option<Spanned<String>> },
    HttpsSpiffe { endpoint_id: Spanned<SpiffeId> },
}

/// What `federation` says.
#[derive(Default)]
pub(crate) struct RawFederations {
    entries: Vec<RawFederation>,
    /// Names of entries that do not fit otherwise, too: their problem is reported already.
    names: Vec<TrustDomain>,
    /// Whether every name could be read. Where not, a trust domain that seems unknown may be one of them.
    pub(crate) names_are_known: bool,
}

impl RawFederations {
    /// Whether a trust domain is named.
    pub(crate) fn has(&self, name: &TrustDomain) -> bool {
        self.names.contains(name)
    }

    /// The names, for hints.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.names.iter().map(TrustDomain::as_str)
    }
}

/// Reads `federation`.
pub(crate) fn read(node: Option<&Node>, organisation: Option<&TrustDomain>, file: &File<'_>) -> RawFederations {
    let mut all = RawFederations { names_are_known: true, ..RawFederations::default() };
    let Some(node) = node else { return all };
    // none is what a directory without others says
    if node.value == crate::yaml::Value::List(Vec::new()) {
        return all;
    }
    let Some(items) = list(node, file, "a list of trust domains") else {
        return RawFederations { names_are_known: false, ..all };
    };
    let most = limits::FEDERATED_DOMAINS.default_usize();
    if items.len() > most {
        let message = format!("there are {} federated trust domains; at most {most} are kept", items.len());
        file.error("federation.too-many", node.point(), message, None);
    }
    for item in items.iter().take(most) {
        let (name, entry) = read_one(item, organisation, file);
        all.names_are_known &= name.is_some();
        if let Some(name) = name {
            if all.has(&name.value) {
                let message = format!("the trust domain {} stands here twice", quote(name.value.as_str()));
                let hint = "a trust domain has one bundle: leave one of the entries out (BU-4)".to_owned();
                file.error("value.duplicate", &name.span, message, Some(hint));
            }
            all.names.push(name.value);
        }
        all.entries.extend(entry);
    }
    all.names_are_known &= items.len() <= most;
    check_endpoints(&all, file);
    all
}

fn read_one(
    node: &Node,
    organisation: Option<&TrustDomain>,
    file: &File<'_>,
) -> (Option<Spanned<TrustDomain>>, Option<RawFederation>) {
    let Some(mut fields) = Fields::open(node, file, "a federated trust domain") else { return (None, None) };
    let name = fields.required("name", "name: partner.example").and_then(|node| read_name(node, organisation, file));
    let url = fields.required("url", "url: https://bundles.partner.example/partner.example");
    let url = url.and_then(|node| read_url(node, file));
    let profile = fields.required("profile", "profile: https_web").and_then(|node| read_profile(node, file));
    let private_network = fields.take("private_network", boolean);
    let bundle = fields.optional("bundle").map(|node| read_path(node, "json", file));
    let profile = profile.and_then(|kind| read_proof(&mut fields, kind, node, file));
    fields.finish();
    let entry = || {
        Some(RawFederation {
            name: name.clone()?,
            url: url?,
            profile: profile?,
            private_network: private_network.unwrap_or(false),
            bundle: bundle.map_or(Some(None), |path| path.map(Some))?,
            at: node.point().clone(),
        })
    };
    let entry = entry();
    (name, entry)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Web,
    Spiffe,
}

fn read_profile(node: &Node, file: &File<'_>) -> Option<Kind> {
    one_of(node, file, "`https_web` or `https_spiffe`", &[("https_web", Kind::Web), ("https_spiffe", Kind::Spiffe)])
}

/// What belongs to a profile; what belongs to the other is reported.
fn read_proof(fields: &mut Fields<'_, '_>, kind: Kind, node: &Node, file: &File<'_>) -> Option<RawProfile> {
    let (other, why) = match kind {
        Kind::Web => ("endpoint_id", "with `https_web` a certificate for the URL's host is the proof"),
        Kind::Spiffe => ("roots", "with `https_spiffe` the bundle itself is the proof"),
    };
    if let Some(span) = fields.refuse(other) {
        let message = format!("`{other}` is of the other profile: {why}");
        file.error("federation.profile", &span, message, Some("leave it out, or change `profile`".to_owned()));
    }
    match kind {
        Kind::Web => match fields.optional("roots").map(|node| read_path(node, "pem", file)) {
            None => Some(RawProfile::HttpsWeb { roots: None }),
            Some(path) => Some(RawProfile::HttpsWeb { roots: Some(path?) }),
        },
        Kind::Spiffe => {
            let example = "endpoint_id: spiffe://partner.example/bundle-endpoint";
            let Some(written) = fields.optional("endpoint_id") else {
                let hint = format!("`https_spiffe` needs it, such as `{example}`");
                file.error("yaml.missing-key", node.point(), "missing key `endpoint_id`".to_owned(), Some(hint));
                return None;
            };
            Some(RawProfile::HttpsSpiffe { endpoint_id: read_endpoint_id(written, file)? })
        }
    }
}

fn read_endpoint_id(node: &Node, file: &File<'_>) -> Option<Spanned<SpiffeId>> {
    let written = text(node, file, "a SPIFFE ID such as `spiffe://partner.example/bundle-endpoint`")?;
    let id = SpiffeId::parse(written).ok().filter(|id| !id.path().is_empty());
    if id.is_none() {
        let message = format!("{} is not the SPIFFE ID of a server", quote(written));
        bad_value(node, file, message, "such as `spiffe://partner.example/bundle-endpoint`");
    }
    id.map(|value| Spanned { value, span: node.point().clone() })
}

/// A trust domain that cannot be one of the organisation's, now or when a domain of that name is added.
fn read_name(node: &Node, organisation: Option<&TrustDomain>, file: &File<'_>) -> Option<Spanned<TrustDomain>> {
    let name = match text(node, file, "a trust domain such as `partner.example`")? {
        written if written.starts_with("spiffe://") => {
            let hint = "write the name alone, such as `partner.example`";
            bad_value(node, file, format!("{} is an ID, not the name of a trust domain", quote(written)), hint);
            return None;
        }
        _ => parsed(node, file, "a trust domain", TrustDomain::parse)?,
    };
    if organisation.is_some_and(|own| is_own(&name, own)) {
        let message = format!("{} is a trust domain of this organisation", quote(name.as_str()));
        let hint = "what ends in the organisation's name is its own: its domains stand in `domains`".to_owned();
        file.error("federation.own", node.point(), message, Some(hint));
    }
    Some(Spanned { value: name, span: node.point().clone() })
}

fn read_url(node: &Node, file: &File<'_>) -> Option<FederationUrl> {
    let written = text(node, file, "a URL such as `https://bundles.partner.example/partner.example`")?;
    match FederationUrl::parse(written) {
        Ok(url) => Some(url),
        Err(hint) => {
            bad_value(node, file, format!("{} is not the URL of a bundle", quote(written)), hint);
            None
        }
    }
}

fn read_path(node: &Node, extension: &str, file: &File<'_>) -> Option<Spanned<String>> {
    let example = format!("federation/partner.{extension}");
    let written = text(node, file, &format!("a path such as `{example}`"))?;
    let name = written.strip_prefix("federation/").filter(|name| !name.contains('/'));
    if name.is_some_and(|name| name.strip_suffix(extension).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))) {
        return Some(Spanned { value: written.to_owned(), span: node.point().clone() });
    }
    let message = format!("{} is not a file of the folder `federation`", quote(written));
    bad_value(node, file, message, &format!("put it there, and write `{example}`"));
    None
}

/// An SVID is checked by the bundle of its trust domain: that must be known before the first fetch (BU-7).
fn check_endpoints(all: &RawFederations, file: &File<'_>) {
    for entry in &all.entries {
        let RawProfile::HttpsSpiffe { endpoint_id } = &entry.profile else { continue };
        let theirs = endpoint_id.value.trust_domain();
        if *theirs == entry.name.value {
            if entry.bundle.is_none() {
                let message = "the first fetch needs a bundle that proves the server".to_owned();
                let hint = format!(
                    "get the bundle of `{theirs}` from its operator, and name it: `bundle: federation/partner.json`"
                );
                file.error("federation.first-bundle", &entry.at, message, Some(hint));
            }
        } else if !all.has(theirs) && all.names_are_known {
            let message = format!("nothing here proves who is of {}", quote(theirs.as_str()));
            let hint = suggest::hint(theirs.as_str(), all.names(), "trust domains");
            let hint = hint.unwrap_or_else(|| format!("add an entry for `{theirs}` too"));
            file.error("name.unknown-trust-domain", &endpoint_id.span, message, Some(hint));
        }
    }
}
