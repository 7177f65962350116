//! One certificate, read once: the extensions that SPIFFE's rules are about, each at most once and fully understood.

use types::{Reason, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::{
    BasicConstraints, ExtendedKeyUsage, GeneralName, GeneralSubtree, KeyUsage, NameConstraints, ParsedExtension,
    X509Extension,
};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use crate::extension::{NODE_OID, PREDECESSORS_OID, VIA_OID, read_name};
use crate::predecessor::{Predecessor, read_predecessors};
use crate::refusal::SvidRefusal;

/// The extensions that path validation processes and that may therefore be critical.
static UNDERSTOOD: [&Oid<'static>; 6] = [
    &OID_X509_EXT_KEY_USAGE,
    &OID_X509_EXT_SUBJECT_ALT_NAME,
    &OID_X509_EXT_BASIC_CONSTRAINTS,
    &OID_X509_EXT_NAME_CONSTRAINTS,
    &OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    &OID_X509_EXT_EXTENDED_KEY_USAGE,
];

/// The subject alternative names that matter here.
#[derive(Default)]
pub(crate) struct Names<'a> {
    pub critical: bool,
    pub uris: Vec<&'a str>,
    pub dns: Vec<&'a str>,
}

/// What matters of name constraints.
pub(crate) struct Constraints {
    pub critical: bool,
    /// Some are about URIs.
    pub uris: bool,
    /// Some are about DNS names and start with a dot, which means something for URIs only (RFC 5280 4.2.1.10).
    pub dotted: bool,
}

/// A parsed certificate with its extensions taken apart.
pub(crate) struct Certificate<'a> {
    pub der: &'a [u8],
    pub x509: X509Certificate<'a>,
    pub names: Names<'a>,
    /// Critical flag and bits.
    pub key_usage: Option<(bool, KeyUsage)>,
    pub purposes: Option<ExtendedKeyUsage<'a>>,
    /// Critical flag and content.
    pub basic: Option<(bool, BasicConstraints)>,
    pub via: Option<&'a str>,
    pub node: Option<&'a str>,
    pub predecessors: Vec<Predecessor>,
    pub constraints: Option<Constraints>,
    /// Whether policies are constrained, which nothing here relies on and path validation does not process.
    pub constrains_policies: bool,
    /// A critical extension that path validation does not know either.
    pub unknown_critical: bool,
}

impl<'a> Certificate<'a> {
    /// Parses DER without leftovers. What cannot be understood in full is refused, because two readers that skip
    /// different things see different certificates.
    pub fn read(der: &'a [u8]) -> Result<Self, SvidRefusal> {
        if der.len() > limits::CERTIFICATE_BYTES.default_usize() {
            return Err(malformed(format!("a certificate of {} bytes is too large", der.len())));
        }
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| malformed("a certificate is not DER X.509".to_owned()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow a certificate".to_owned()));
        }
        if x509.version() != X509Version::V3 {
            return Err(malformed("a certificate is not version 3".to_owned()));
        }
        x509.extensions_map().map_err(|_| malformed("a certificate repeats an extension".to_owned()))?;
        let mut certificate = Self {
            der,
            names: Names::default(),
            key_usage: None,
            purposes: None,
            basic: None,
            via: None,
            node: None,
            predecessors: Vec::new(),
            constraints: None,
            constrains_policies: false,
            unknown_critical: false,
            x509,
        };
        for extension in certificate.x509.extensions().to_vec() {
            certificate.take(&extension)?;
        }
        Ok(certificate)
    }

    fn take(&mut self, extension: &X509Extension<'a>) -> Result<(), SvidRefusal> {
        self.unknown_critical |= extension.critical && !UNDERSTOOD.contains(&&extension.oid);
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                self.names = read_names(extension.critical, &san.general_names)?;
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some((extension.critical, *usage)),
            ParsedExtension::ExtendedKeyUsage(purposes) => self.purposes = Some(purposes.clone()),
            ParsedExtension::BasicConstraints(basic) => self.basic = Some((extension.critical, basic.clone())),
            ParsedExtension::NameConstraints(constraints) => {
                self.constraints = Some(read_constraints(extension.critical, constraints));
            }
            ParsedExtension::PolicyConstraints(_) => self.constrains_policies = true,
            ParsedExtension::ParseError { .. } => {
                return Err(malformed(format!("extension {} cannot be read", extension.oid)));
            }
            ParsedExtension::UnsupportedExtension { .. } => self.take_private(extension)?,
            _ => {}
        }
        Ok(())
    }

    /// The extensions that only Countersign writes.
    fn take_private(&mut self, extension: &X509Extension<'a>) -> Result<(), SvidRefusal> {
        let is = |oid: &[u64]| extension.oid.iter().is_some_and(|found| found.eq(oid.iter().copied()));
        let unreadable = |name| malformed(format!("the extension `{name}` does not hold what it should"));
        if is(VIA_OID) {
            self.via = Some(read_name(extension.value).ok_or_else(|| unreadable("via"))?);
        } else if is(NODE_OID) {
            self.node = Some(read_name(extension.value).ok_or_else(|| unreadable("node"))?);
        } else if is(PREDECESSORS_OID) {
            self.predecessors = read_predecessors(extension.value).ok_or_else(|| unreadable("predecessors"))?;
        }
        Ok(())
    }

    /// Whether the subject is the empty sequence.
    pub fn subject_is_empty(&self) -> bool {
        self.x509.subject().iter_rdn().next().is_none()
    }
}

fn read_constraints(critical: bool, constraints: &NameConstraints<'_>) -> Constraints {
    let trees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let any = |is: fn(&GeneralSubtree<'_>) -> bool| trees.into_iter().flatten().flatten().any(is);
    Constraints {
        critical,
        uris: any(|subtree| matches!(subtree.base, GeneralName::URI(_))),
        dotted: any(|subtree| matches!(subtree.base, GeneralName::DNSName(name) if name.starts_with('.'))),
    }
}

fn read_names<'a>(critical: bool, names: &[GeneralName<'a>]) -> Result<Names<'a>, SvidRefusal> {
    let mut found = Names { critical, ..Names::default() };
    for name in names {
        match name {
            GeneralName::URI(uri) => found.uris.push(plain(uri)?),
            GeneralName::DNSName(dns) => found.dns.push(plain(dns)?),
            GeneralName::RFC822Name(mailbox) => {
                plain(mailbox)?;
            }
            GeneralName::Invalid(..) => return Err(odd_name()),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Ok(found)
}

/// PV-7: an IA5String without control characters, NUL above all (CVE-2025-66220).
fn plain(name: &str) -> Result<&str, SvidRefusal> {
    if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { Ok(name) } else { Err(odd_name()) }
}

fn odd_name() -> SvidRefusal {
    let detail = "a subject alternative name holds NUL, a control character or something that is not IA5";
    SvidRefusal::new(Reason::IdentityUriSan, "PV-7", detail)
}

pub(crate) fn malformed(detail: String) -> SvidRefusal {
    SvidRefusal::new(Reason::IdentityMalformed, "PV-1", detail)
}
