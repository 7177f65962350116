//! The numbers of a public key, and their DER as a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 5480, RFC 8017, RFC 8410).

use crate::algorithm::Algorithm;
use crate::der::{self, BIT_STRING, Reader, SEQUENCE};

/// DER of an `AlgorithmIdentifier`.
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const P384: &[u8] =
    &[0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] =
    &[0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// A point that is written in full.
const UNCOMPRESSED: u8 = 4;

/// A curve of ECDSA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The name in a JWK's `crv`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The bytes of a coordinate.
    pub const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    const fn identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
            Self::P521 => P521,
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }
}

/// A public key in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Params {
    /// The coordinates of a point, each of the curve's size. Not known to be on the curve.
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    /// Modulus and exponent without zeros in front.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An Ed25519 point.
    Ed25519 { x: Vec<u8> },
}

impl Params {
    /// From the DER of a SubjectPublicKeyInfo, written as [`Self::spki`] writes it.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let mut whole = Reader::new(der);
        let content = whole.take(SEQUENCE)?;
        let params = Self::ec(content)
            .or_else(|| Some(Self::Ed25519 { x: key_bits(content, ED25519)?.to_vec() }))
            .or_else(|| Self::rsa(key_bits(content, RSA)?))?;
        (params.spki()? == der).then_some(params)
    }

    fn ec(content: &[u8]) -> Option<Self> {
        let curve = Curve::ALL.into_iter().find(|curve| content.starts_with(curve.identifier()))?;
        let point = key_bits(content, curve.identifier())?;
        let (&UNCOMPRESSED, coordinates) = point.split_first()? else { return None };
        let (x, y) = coordinates.split_at_checked(curve.size())?;
        Some(Self::Ec { curve, x: x.to_vec(), y: y.to_vec() })
    }

    fn rsa(key: &[u8]) -> Option<Self> {
        let mut numbers = Reader::new(Reader::new(key).take(SEQUENCE)?);
        let (n, e) = (numbers.take_unsigned()?, numbers.take_unsigned()?);
        Some(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// The DER of a SubjectPublicKeyInfo.
    pub fn spki(&self) -> Option<Vec<u8>> {
        let (identifier, key) = match self {
            Self::Ec { curve, x, y } => (curve.identifier(), [&[UNCOMPRESSED], x.as_slice(), y].concat()),
            Self::Rsa { n, e } => (RSA, der::value(SEQUENCE, &[&der::unsigned(n)?, &der::unsigned(e)?])?),
            Self::Ed25519 { x } => (ED25519, x.clone()),
        };
        der::value(SEQUENCE, &[identifier, &der::value(BIT_STRING, &[&[0], &key])?])
    }

    /// The algorithms that fit this kind of key.
    pub const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Ec { curve, .. } => match curve.algorithm() {
                Algorithm::Es384 => &[Algorithm::Es384],
                Algorithm::Es512 => &[Algorithm::Es512],
                _ => &[Algorithm::Es256],
            },
            Self::Rsa { .. } => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            Self::Ed25519 { .. } => &[Algorithm::EdDsa],
        }
    }
}

/// The key in a SubjectPublicKeyInfo with this identifier: whole bytes.
fn key_bits<'a>(content: &'a [u8], identifier: &[u8]) -> Option<&'a [u8]> {
    Reader::new(content.strip_prefix(identifier)?).take(BIT_STRING)?.strip_prefix(&[0])
}
