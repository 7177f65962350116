//! Why a caller gets nothing now, for the operator and, in fewer words, for the caller.

use api::issuance::IssueError;
use thiserror::Error;
use tonic::Status;

/// Why nothing is handed out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Refusal {
    /// What the issuer says.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What was issued has ended already by this machine's clock.
    #[error(
        "what the issuer sends has expired here: this machine's clock is ahead of the issuer's by {seconds} s or more"
    )]
    Clock {
        /// By how much, at least.
        seconds: u64,
    },
    /// What was issued is not what was asked for.
    #[error("the issuer's answer cannot be used: {0}")]
    Unusable(String),
    /// The caller asked for a name that is another's.
    #[error("asked for an identity that it is not entitled to")]
    Another,
    /// The agent itself.
    #[error("{0}")]
    Here(&'static str),
}

impl Refusal {
    /// Whether it takes away what was handed out before. Only a refusal by the issuer does; failures do not.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Issue(IssueError::NotEntitled(_)) | Self::Another)
    }

    /// Whether the issuer gave no answer at all.
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Issue(IssueError::Unavailable(_)))
    }

    /// What the caller is told. The issuer's words stay with the operator: they may name selectors (WA-7). Codes as WA-2
    /// has them: who comes again gets an answer some time, but for `PermissionDenied`.
    pub fn status(&self) -> Status {
        match self {
            Self::Issue(IssueError::NotEntitled(_)) => {
                Status::permission_denied("no identity is registered for this process")
            }
            Self::Another => Status::permission_denied("this process is not entitled to the identity that it asks for"),
            Self::Issue(IssueError::Limited(_)) => {
                Status::unavailable("too many identities are being asked for; try again in a moment")
            }
            Self::Clock { seconds } => Status::unavailable(format!(
                "this machine's clock is ahead of the issuer's by {seconds} s or more: no identity is valid here until it is set"
            )),
            Self::Issue(IssueError::Unavailable(_) | IssueError::BadRequest(_)) | Self::Unusable(_) | Self::Here(_) => {
                Status::unavailable("no identity can be issued now; try again")
            }
        }
    }
}
