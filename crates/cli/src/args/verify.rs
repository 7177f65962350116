//! `verify`: why a credential is or would be refused, by the code that decides calls, without asking anybody.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use types::{Timestamp, TrustDomain};

/// `verify`.
#[derive(Subcommand, Debug)]
pub enum Verify {
    /// A SPIFFE ID
    Id(VerifyId),
    /// An X.509-SVID with the roots of its trust domain
    ///
    /// FILE holds PEM certificates, the leaf first, then intermediates.
    Svid(VerifySvid),
    /// A JWT-SVID with the keys of its trust domain
    JwtSvid(VerifyJwtSvid),
}

/// `verify id`.
#[derive(Args, Debug)]
pub struct VerifyId {
    /// Such as spiffe://finance.acme.internal/payments
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub text: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `verify svid`.
#[derive(Args, Debug)]
pub struct VerifySvid {
    /// PEM certificates, leaf first; `-` for standard input
    #[arg(value_name = "FILE")]
    pub chain: PathBuf,
    /// What is common.
    #[command(flatten)]
    pub with: With,
}

/// `verify jwt-svid`.
#[derive(Args, Debug)]
pub struct VerifyJwtSvid {
    /// The token itself, @FILE, or `-` for standard input
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// Who is asked to accept it: must be among its audiences
    #[arg(long, value_name = "TEXT")]
    pub audience: String,
    /// What is common.
    #[command(flatten)]
    pub with: With,
}

/// What verifications with bundles have in common.
#[derive(Args, Debug)]
pub struct With {
    /// The bundle of a trust domain: a SPIFFE bundle document (JSON), or roots in PEM; once for each trust domain
    #[arg(long = "bundle", value_name = "TRUST_DOMAIN=FILE", required = true, value_parser = bundle)]
    pub bundles: Vec<(TrustDomain, PathBuf)>,
    /// At another moment, such as 2026-11-23T09:14:02Z [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    pub at: Option<Timestamp>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Reads `example.org=roots.pem`.
fn bundle(text: &str) -> Result<(TrustDomain, PathBuf), String> {
    let (domain, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(|| {
        format!("`{text}` is not of the form TRUST_DOMAIN=FILE, such as finance.acme.internal=bundle.json")
    })?;
    let domain = TrustDomain::parse(domain).map_err(|error| format!("`{domain}` is no trust domain: {error}"))?;
    Ok((domain, path.into()))
}

/// Reads a moment of RFC 3339.
fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is no moment: write it like 2026-11-23T09:14:02Z");
    let parsed: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(parsed.as_microsecond()).map(Timestamp::from_micros).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_named_by_trust_domain() {
        let (domain, path) = bundle("example.org=a=b.pem").unwrap();
        assert_eq!((domain.as_str(), path), ("example.org", PathBuf::from("a=b.pem")));
        for wrong in ["", "example.org", "example.org=", "=x", "Example.org=x", "spiffe://example.org=x"] {
            assert!(bundle(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_of_rfc_3339() {
        assert_eq!(moment("2026-11-23T09:14:02Z").unwrap(), Timestamp::from_seconds(1_795_425_242));
        assert_eq!(moment("2026-11-23T10:14:02+01:00").unwrap(), Timestamp::from_seconds(1_795_425_242));
        for wrong in ["", "now", "2026-11-23", "2026-11-23T09:14:02", "1960-01-01T00:00:00Z"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
