//! What a check does with its refusals: the way from watching to enforcing (DESIGN section 3).

use core::fmt;

use serde::{Deserialize, Serialize};

/// A check's mode. The order is that of strictness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A refusal is recorded, not counted, and lets the call pass.
    Observe,
    /// A refusal is recorded and counted as a would-deny, and lets the call pass.
    Shadow,
    /// A refusal refuses.
    #[default]
    Enforce,
}

impl Mode {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Shadow, Self::Enforce];

    /// The word in the trust directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
