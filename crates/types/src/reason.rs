//! Every reason for which a request is refused: one closed table that is at once the record's field, the metric's
//! label, the response's status and the documentation (STYLE 10, 19). And every way in which an allowed one can fail.

use core::fmt;

use serde::{Serialize, Serializer};

/// The step of a request's life at which a refusal happened (DESIGN section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// TLS handshake and connection limits.
    Accept,
    /// Who calls.
    Identity,
    /// One canonical form.
    Parse,
    /// Which service and route.
    Route,
    /// What is known against the caller.
    Signals,
    /// Size and time limits.
    Limits,
    /// Both domains' consent.
    Consent,
    /// Generated requirements.
    Requires,
    /// Cedar policies.
    Policy,
    /// The decision log.
    Record,
    /// Forwarding to the upstream.
    Upstream,
}

/// Whose fault a refusal is (STYLE 19).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The caller would have to do something else.
    Caller,
    /// Countersign or something it depends on.
    Us,
    /// The service behind the gateway.
    Upstream,
}

macro_rules! reasons {
    ($( $variant:ident $stage:ident $code:literal $status:literal $fault:ident $title:literal $hint:literal; )*) => {
        /// Why a request was refused. The `Display` form is `stage.rule-id`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Reason { $( #[doc = $title] $variant, )* }

        impl Reason {
            /// All reasons, in the order of the request's life.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// `stage.rule-id`.
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The step that refused.
            pub const fn stage(self) -> Stage {
                match self { $( Self::$variant => Stage::$stage, )* }
            }

            /// The HTTP status that answers it. 0 where no HTTP answer is possible: the TLS handshake fails instead.
            pub const fn status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $( Self::$variant => Fault::$fault, )* }
            }

            /// What the caller is told: plain words that name no policy.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }

            /// What the operator is told to look at.
            pub const fn hint(self) -> &'static str {
                match self { $( Self::$variant => $hint, )* }
            }
        }
    };
}

reasons! {
    AcceptTls Accept "accept.tls" 0 Caller "the TLS handshake failed" "the peer spoke something other than TLS 1.3 with a known server name";
    AcceptTimeout Accept "accept.timeout" 0 Caller "the TLS handshake took too long" "the peer opened a connection and did not finish the handshake in time";
    AcceptServerName Accept "accept.server-name" 0 Caller "the server name is not served here" "no domain of this listener claims the host that the peer named (SNI); add it to `hosts` of a service or correct the caller";
    AcceptOverload Accept "accept.overload" 0 Us "too many connections" "the connection limit of this listener is reached";

    IdentityMissing Identity "identity.missing" 0 Caller "a client certificate is required" "the caller presented no certificate; give it an SVID from the workload socket";
    IdentityMalformed Identity "identity.malformed" 0 Caller "the client certificate cannot be read" "the certificate is not DER X.509 version 3";
    IdentityUriSan Identity "identity.uri-san" 0 Caller "the client certificate does not name one SPIFFE ID" "an SVID has exactly one URI SAN, a valid SPIFFE ID (XS-1)";
    IdentityLeafShape Identity "identity.leaf-shape" 0 Caller "the client certificate is not a workload's" "a leaf SVID is no CA, has digitalSignature in a critical key usage, no keyCertSign or cRLSign, and a path (XS-2, XS-3, XS-4)";
    IdentityNoBundle Identity "identity.no-bundle" 403 Caller "the client certificate's trust domain is not known here" "no bundle is held for the trust domain that the certificate names (XS-6)";
    IdentityUntrusted Identity "identity.untrusted" 403 Caller "the client certificate is not trusted" "the chain does not lead to a root of the trust domain that the certificate names (XS-6)";
    IdentityExpired Identity "identity.expired" 403 Caller "the client certificate is expired or not yet valid" "compare the caller's clock and the certificate's validity; a running agent renews at half-life";
    IdentityUnknownWorkload Identity "identity.unknown-workload" 403 Caller "the caller is not registered" "the certificate is valid but the revision has no such workload; add it to `workloads` of its domain";
    IdentityPlaintext Identity "identity.plaintext" 403 Caller "this service is called over TLS with a client certificate" "a listener with `insecure_plaintext` serves only domains whose `requires.identity` is in observe or shadow";
    IdentityNotACaller Identity "identity.not-a-caller" 403 Caller "this identity may not call services" "gateways and system identities do not call services on their own behalf";

    ParseMalformed Parse "parse.malformed" 400 Caller "the request is not well-formed HTTP" "see the note for the rule that was broken (RFC 9112)";
    ParseFraming Parse "parse.framing" 400 Caller "the request's length is ambiguous" "Content-Length with Transfer-Encoding, differing lengths or an unknown transfer coding (FR-1 to FR-3)";
    ParseHeadTooLarge Parse "parse.head-too-large" 431 Caller "the request's header fields are too large" "see `head_bytes` and `header_count` in docs/limits.md";
    ParseHeadTimeout Parse "parse.head-timeout" 408 Caller "the request's header fields took too long" "see `head_time` in docs/limits.md";
    ParseHost Parse "parse.host" 400 Caller "the Host is missing, repeated or invalid" "exactly one Host or :authority, a plain host name with an optional port (FR-5)";
    ParseMethod Parse "parse.method" 405 Caller "the method is not supported" "GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE are; CONNECT and TRACE are refused (FR-8)";
    ParseTargetForm Parse "parse.target-form" 400 Caller "the request target is not an absolute path" "only the origin form is accepted, or the absolute form naming the same host (RFC 9112 3.2)";
    ParseTargetTooLong Parse "parse.target-too-long" 414 Caller "the request target is too long" "see `path_bytes`, `path_segments` and `query_bytes` in docs/limits.md";
    ParseFragment Parse "parse.fragment" 400 Caller "the request target holds a fragment" "`#` never reaches a server (PA-2)";
    ParseEmptySegment Parse "parse.empty-segment" 400 Caller "the path holds an empty segment" "`//` means different things to different servers (PA-2)";
    ParseDotSegment Parse "parse.dot-segment" 400 Caller "the path holds a dot segment" "`.` and `..` must be resolved by the caller (PA-2)";
    ParseEncodedSlash Parse "parse.encoded-slash" 400 Caller "the path holds an encoded slash" "`%2F` means different things to different servers (PA-2)";
    ParseBackslash Parse "parse.backslash" 400 Caller "the request target holds a backslash" "a backslash, raw or encoded, is a slash to some servers (PA-2)";
    ParsePathParameter Parse "parse.path-parameter" 400 Caller "the path holds a semicolon" "`;` parameters are stripped by some servers (PA-2)";
    ParseDoubleEncoding Parse "parse.double-encoding" 400 Caller "the path is encoded twice" "`%25` before two hexadecimal digits means another path to servers that decode twice (PA-3)";
    ParseBadEscape Parse "parse.bad-escape" 400 Caller "the request target holds a broken escape" "escapes are `%` and two hexadecimal digits of valid UTF-8 (PA-2)";
    ParseBadCharacter Parse "parse.bad-character" 400 Caller "the request target holds a character that does not belong there" "control and non-ASCII characters must be percent-encoded, controls not at all (PA-2)";

    RouteUnknownHost Route "route.unknown-host" 421 Caller "this host is not served here" "no service of this listener claims the host";
    RouteServerNameMismatch Route "route.server-name-mismatch" 421 Caller "the Host is not the server name of the connection" "SNI and Host must agree; the caller must open a connection for each host (PA-6)";
    RouteUnlisted Route "route.unlisted" 404 Caller "there is no such route" "the service does not list this method and path; add it to `routes` or the API description, or set `unlisted_routes: judge`";

    RouteStaleRevision Route "route.stale-revision" 503 Us "what decides here is out of date" "control has not confirmed the revision for longer than `when_stale.after` of the domain; `countersign fleet` says who is not connected, and why";

    SignalsRevoked Signals "signals.revoked" 403 Caller "the caller's trust was taken away" "an operator revoked the caller's identity, certificate or key; `countersign subjects` lists who, why and until when";

    SignalsStale Signals "signals.stale" 503 Us "whom to trust is not known freshly enough here" "control was not heard for longer than `signals_stale.after` of the domain; `countersign fleet` says who is not connected, and why";

    LimitsBody Limits "limits.body" 413 Caller "the request body is too large" "see `limits.body` of the service";
    LimitsBodyIncomplete Limits "limits.body-incomplete" 408 Caller "the request body did not arrive whole" "the caller stopped sending or broke the framing of the body";
    LimitsTrailers Limits "limits.trailers" 400 Caller "the request's trailers are too large" "trailers are dropped, within a bound (FR-6)";

    ConsentProvider Consent "consent.provider" 403 Caller "the called domain does not accept calls from the caller's domain" "`accepts_from` of the called domain does not name the caller's domain for this service";
    ConsentConsumer Consent "consent.consumer" 403 Caller "the caller's domain does not list this call" "`calls` of the caller's domain does not name this service for the workload";
    RequiresIdentity Requires "requires.identity" 403 Caller "a verified identity is required" "the route requires a verified workload identity";

    PolicyNoPermit Policy "policy.no-permit" 403 Caller "no policy permits this call" "write a permit for this caller and route, or accept that it is refused";
    PolicyForbidden Policy "policy.forbidden" 403 Caller "a policy forbids this call" "the determining policies are named in the record";
    PolicyError Policy "policy.error" 403 Us "the policies could not be evaluated" "an evaluation error is a denial and an alarm; see the note for the policy and the error";

    RecordFull Record "record.full" 503 Us "the decision cannot be recorded" "the decision log is full or failing; nothing is forwarded without its record";

    UpstreamUnreachable Upstream "upstream.unreachable" 502 Upstream "the service cannot be reached" "no connection to any configured upstream URL";
    UpstreamFailed Upstream "upstream.failed" 502 Upstream "the service did not answer properly" "the upstream closed early or answered something that is not HTTP/1.1";
    UpstreamTimeout Upstream "upstream.timeout" 504 Upstream "the service did not answer in time" "see `limits.first_byte`, `limits.idle` and `limits.total` of the service";
}

impl Reason {
    /// Finds a reason by its code, as the record and command lines name it.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

macro_rules! failures {
    ($( $variant:ident $code:literal $title:literal; )*) => {
        /// Why an allowed exchange did not end well: what its completion says.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Failure {
            /// For this reason, which the caller was told unless its answer had already begun.
            Reason(Reason),
            $( #[doc = $title] $variant, )*
        }

        impl Failure {
            /// Those for which no request is ever refused.
            pub const OTHERS: &'static [Self] = &[ $( Self::$variant, )* ];

            /// As the record names it: the code of the reason, or a word of its own.
            pub const fn code(self) -> &'static str {
                match self { Self::Reason(reason) => reason.code(), $( Self::$variant => $code, )* }
            }

            /// Plain words for it.
            pub const fn title(self) -> &'static str {
                match self { Self::Reason(reason) => reason.title(), $( Self::$variant => $title, )* }
            }
        }
    };
}

failures! {
    CallerGone "caller-gone" "the caller went away before the end";
    CallerStalled "caller-stalled" "the caller stayed and took nothing of the response";
    Stopped "stopped" "the gateway was stopped, and the time for finishing was over before the end";
}

impl Failure {
    /// Finds a failure by its code.
    pub fn from_code(code: &str) -> Option<Self> {
        let other = Self::OTHERS.iter().copied().find(|failure| failure.code() == code);
        other.or_else(|| Reason::from_code(code).map(Self::Reason))
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl Stage {
    /// The name in reason codes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Identity => "identity",
            Self::Parse => "parse",
            Self::Route => "route",
            Self::Signals => "signals",
            Self::Limits => "limits",
            Self::Consent => "consent",
            Self::Requires => "requires",
            Self::Policy => "policy",
            Self::Record => "record",
            Self::Upstream => "upstream",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
