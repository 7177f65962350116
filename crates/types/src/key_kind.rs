//! The kinds of key that are made here.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A kind of key. P-256 unless somebody old must understand it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// ECDSA on the curve P-256, with SHA-256.
    #[default]
    P256,
    /// ECDSA on the curve P-384, with SHA-384.
    P384,
    /// RSA of 2,048 bits, PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::Rsa2048];

    /// The word in configuration and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa-2048",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
