//! What would have to change where no policy was asked: a sentence for every reason.

use api::admin::Identity;
use types::{Reason, Stage, limits};

use super::Story;
use super::change::{domain, file, list};

/// The way to an identity.
const SVID: &str = "an SVID of its own from the workload socket";

impl Story<'_> {
    /// The sentence of a reason.
    pub(super) fn sentence(&self, reason: Reason) -> String {
        match reason.stage() {
            Stage::Accept => self.at_the_door(reason),
            Stage::Identity => self.about_the_caller(reason),
            Stage::Parse => about_the_form(reason),
            Stage::Route => self.about_the_route(reason),
            Stage::Signals | Stage::Limits => self.about_the_moment(reason),
            Stage::Consent | Stage::Requires | Stage::Policy => self.about_policies(reason),
            Stage::Record | Stage::Upstream => self.about_machines(reason),
        }
    }

    fn at_the_door(&self, reason: Reason) -> String {
        let listener = &self.decision.listener;
        match reason {
            Reason::AcceptTls => format!(
                "The peer would have to speak TLS 1.3 to listener {listener} and name the server it wants; something else \
                 was sent, such as plain HTTP, or an older TLS."
            ),
            Reason::AcceptTimeout => format!(
                "The peer would have to finish its handshake within {}; look for a health check that only opens \
                 connections, or a network that loses packets.",
                seconds(&limits::HANDSHAKE_TIME)
            ),
            Reason::AcceptOverload => format!(
                "Connections to listener {listener} would have to end first: it holds as many as `{}` allows. \
                 `countersign decisions` shows who opens them.",
                limits::CONNECTIONS.name
            ),
            _ => format!(
                "A service would have to name {} in its `hosts`, on a listener that serves its domain; or the caller would \
                 have to ask for a host that is served{}.",
                self.host(),
                self.meant()
            ),
        }
    }

    fn about_the_caller(&self, reason: Reason) -> String {
        let own = domain(&self.decision.caller);
        match reason {
            Reason::IdentityMalformed => "The caller would have to present a DER X.509 version 3 certificate; look at what \
                                          its TLS client loads."
                .to_owned(),
            Reason::IdentityUriSan => {
                format!("The caller would have to present {SVID}: this certificate does not name exactly one SPIFFE ID.")
            }
            Reason::IdentityLeafShape => "The caller would have to present a workload's certificate, not a CA's or a \
                                          signing one; look at the order of its chain: the leaf comes first."
                .to_owned(),
            Reason::IdentityNoBundle => format!(
                "The caller would have to come with a certificate of a domain of this organisation{}.",
                self.claim()
            ),
            Reason::IdentityUntrusted => format!(
                "The caller's certificate would have to be issued under the present root of its trust domain{}. After \
                 another root, or another data directory, restart the caller so that it fetches one.",
                self.claim()
            ),
            Reason::IdentityExpired => "The caller would have to present a certificate that is valid now: look at its clock, \
                                        and whether it still fetches SVIDs from the workload socket; they are renewed at \
                                        half their life."
                .to_owned(),
            Reason::IdentityUnknownWorkload => format!(
                "The workload would have to be registered under `workloads` in {}, or the caller would have to use an \
                 identity that is{}.",
                file(own),
                self.meant()
            ),
            Reason::IdentityPlaintext => format!(
                "The caller would have to call {} over TLS with its certificate; without, only domains are served whose \
                 `requires.identity` is in observe or shadow.",
                self.host()
            ),
            Reason::IdentityNotACaller => format!(
                "A workload would have to make this call: {} is a gateway's or the system's identity, and those call \
                 nothing on their own behalf.",
                if self.decision.caller.is_empty() { "the caller's" } else { self.decision.caller.as_str() }
            ),
            _ => format!(
                "The caller would have to present a certificate: give it {SVID} (`countersign identity fetch`), and let its \
                 TLS client send it."
            ),
        }
    }

    fn about_the_route(&self, reason: Reason) -> String {
        match reason {
            Reason::RouteUnknownHost => format!(
                "A service would have to name {} in its `hosts`; or the caller would have to ask for a host that is \
                 served{}.",
                self.host(),
                self.meant()
            ),
            Reason::RouteServerNameMismatch => format!(
                "The caller would have to open a connection of its own for {}: the server name of a connection and the \
                 Host of its requests must agree.",
                self.host()
            ),
            _ => {
                let nearest = self.decision.note.strip_prefix("nearest: ");
                let meant = nearest.map_or_else(String::new, |route| format!("; probably meant is {route}"));
                format!(
                    "The service behind {} would have to list {} and this path (`routes` or `api` in its domain.yaml), or \
                     the caller would have to ask for a route that it lists{meant}. Paths are not recorded.",
                    self.host(),
                    if self.decision.method.is_empty() { "the method" } else { self.decision.method.as_str() }
                )
            }
        }
    }

    fn about_the_moment(&self, reason: Reason) -> String {
        let (service, theirs) = (self.service(), domain(&self.decision.service));
        match reason {
            Reason::LimitsBody => format!(
                "The caller would have to send a smaller body, or {service} would have to allow a larger one (`limits.body` \
                 in {}).",
                file(theirs)
            ),
            Reason::LimitsBodyIncomplete => format!(
                "The caller would have to send the whole body in time: it stopped, or broke the framing; silence may last \
                 as long as `limits.idle` of {service}."
            ),
            Reason::LimitsTrailers => format!(
                "The caller would have to send shorter trailers, at most {} bytes, or none: they are dropped anyway.",
                limits::TRAILER_BYTES.default
            ),
            _ => format!(
                "An operator would have to give it back its trust: `countersign restore {}`. `countersign subjects` says \
                 who took it away, why and until when.",
                self.revoked_subject()
            ),
        }
    }

    /// For callers without identity; of others the demands of policies are told one by one.
    fn about_policies(&self, reason: Reason) -> String {
        let theirs = match domain(&self.decision.service) {
            "" => "the called domain",
            theirs => theirs,
        };
        match reason {
            Reason::PolicyError => {
                let failing = list(&self.decision.determining);
                let named = if failing.is_empty() { failing } else { format!(" ({failing})") };
                format!(
                    "The policies that fail would have to be mended{named}; until then every call that meets them is refused."
                )
            }
            Reason::PolicyForbidden | Reason::PolicyNoPermit => format!(
                "The caller would have to present {SVID}, or a policy of {theirs} would have to permit callers without \
                 identity."
            ),
            _ => format!("The caller would have to present {SVID}: the route asks for a verified identity."),
        }
    }

    fn about_machines(&self, reason: Reason) -> String {
        match reason {
            Reason::RecordFull => {
                "The decision log would have to take records again: free space on its disk, or raise \
                                   `decision_log.max_size` in node.yaml."
                    .to_owned()
            }
            _ => format!(
                "{} would have to answer: look at the process behind `upstream` in {}; {}.",
                self.service(),
                file(domain(&self.decision.service)),
                reason.hint()
            ),
        }
    }

    fn host(&self) -> &str {
        if self.decision.host.is_empty() { "the host" } else { &self.decision.host }
    }

    fn service(&self) -> &str {
        if self.decision.service.is_empty() { "the service" } else { &self.decision.service }
    }

    /// What was probably meant by a name that is not known.
    fn meant(&self) -> String {
        self.evidence.meant.as_ref().map_or_else(String::new, |meant| format!("; probably meant is {meant}"))
    }

    /// What a refused certificate claimed.
    fn claim(&self) -> String {
        match &self.decision.identity {
            Identity::Unidentified { claimed } if !claimed.is_empty() => format!("; this one claims {claimed}"),
            Identity::Unidentified { .. } | Identity::Verified(_) => String::new(),
        }
    }

    /// The subject as `restore` takes it: the one that the note names, or the caller.
    fn revoked_subject(&self) -> String {
        let is_subject = |word: &&str| ["spiffe://", "serial:", "key:"].iter().any(|kind| word.starts_with(kind));
        let ends: &[char] = &[',', ';', ')', '.'];
        let named = self.decision.note.split_whitespace().find(is_subject).map(|word| word.trim_end_matches(ends));
        match (named, &self.decision.identity) {
            (Some(subject), _) => subject.to_owned(),
            (None, Identity::Verified(certificate)) => certificate.spiffe_id.clone(),
            (None, Identity::Unidentified { .. }) => "SUBJECT".to_owned(),
        }
    }
}

fn about_the_form(reason: Reason) -> String {
    match reason {
        Reason::ParseMethod => {
            "The caller would have to use another method: GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE \
                                are supported."
                .to_owned()
        }
        Reason::ParseHeadTooLarge => format!(
            "The caller would have to send smaller header fields: at most {} bytes and {} fields. Large cookies and tokens \
             are the usual cause.",
            limits::HEAD_BYTES.default,
            limits::HEADER_COUNT.default
        ),
        Reason::ParseHeadTimeout => {
            format!("The caller would have to send its header fields within {}.", seconds(&limits::HEAD_TIME))
        }
        Reason::ParseTargetTooLong => format!(
            "The caller would have to ask for a shorter path or query: at most {} and {} bytes.",
            limits::PATH_BYTES.default,
            limits::QUERY_BYTES.default
        ),
        _ => format!(
            "The caller, or a proxy before it, would have to send the request in another form; odd ones are refused here, \
             never rewritten: {}.",
            reason.hint()
        ),
    }
}

/// `5 s (`handshake_time`)`.
fn seconds(limit: &limits::Limit) -> String {
    format!("{} s (`{}`)", limit.default / 1_000, limit.name)
}
