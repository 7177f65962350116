//! Header fields on their way to the upstream: what callers may not say is removed, what we say is added.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use types::DecisionId;

/// The response field that every answer carries, and the request field by which an upstream can name the decision.
pub const DECISION: HeaderName = HeaderName::from_static("countersign-decision");

/// Exact names that only a proxy may say (HD-1, HD-4, PA-5, WT-1), and `Proxy`, which some runtimes take for a setting.
const STRIPPED: [&str; 11] = [
    "x-real-ip",
    "true-client-ip",
    "forwarded",
    "remote-user",
    "proxy",
    "txn-token",
    "workload-identity-token",
    "workload-proof-token",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Prefixes that only a proxy may use (HD-1), those of common authenticating proxies included.
const STRIPPED_PREFIXES: [&str; 14] = [
    "countersign-",
    "client-cert",
    "x-client-cert",
    "x-forwarded-",
    "x-spiffe-",
    "x-envoy-",
    "x-original-",
    "x-rewrite-",
    "x-auth-request-",
    "x-remote-",
    "x-ssl-",
    "ssl-client-",
    "x-goog-authenticated-",
    "x-amzn-oidc-",
];

/// Removes identity and routing fields, in their underscore spellings too.
pub fn strip_identity(fields: &mut HeaderMap) {
    let stripped: Vec<HeaderName> = fields.keys().filter(|name| is_stripped(name.as_str())).cloned().collect();
    for name in stripped {
        fields.remove(name);
    }
}

/// HTTP/2 may split the cookie field; HTTP/1.1 may not (RFC 9113 8.2.3).
pub fn join_cookies(fields: &mut HeaderMap) {
    if fields.get_all(header::COOKIE).iter().count() < 2 {
        return;
    }
    let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    match HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        Ok(joined) => drop(fields.insert(header::COOKIE, joined)),
        Err(_) => drop(fields.remove(header::COOKIE)),
    }
}

/// The decision id as a field value.
pub fn decision_value(id: DecisionId) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn is_stripped(name: &str) -> bool {
    let folded;
    let name = if name.contains('_') {
        folded = name.replace('_', "-");
        folded.as_str()
    } else {
        name
    };
    STRIPPED.contains(&name) || STRIPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_stripped_in_every_spelling_and_the_rest_stays() {
        let mut fields = HeaderMap::new();
        for name in [
            "client-cert",
            "client_cert",
            "x_forwarded_client_cert",
            "x-forwarded-for",
            "x-spiffe-id",
            "x-envoy-internal",
            "x_original_url",
            "countersign-assertion",
            "x-forwarded-user",
            "x_remote_user",
            "ssl-client-cert",
            "x-auth-request-email",
            "proxy",
            "countersign-decision",
            "txn-token",
            "authorization",
            "x-request-id",
            "accept",
        ] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        strip_identity(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization", "x-request-id"]);
    }

    #[test]
    fn cookies_become_one_field() {
        let mut fields = HeaderMap::new();
        fields.append(header::COOKIE, HeaderValue::from_static("a=1"));
        fields.append(header::COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut fields);
        assert_eq!(fields.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
