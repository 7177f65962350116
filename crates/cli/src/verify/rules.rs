//! The rules in plain words, by their ids in the table of standards.

/// What a rule asks. A rule that the verifiers name and this does not is found by a test.
pub fn words(rule: &str) -> &'static str {
    RULES.iter().find(|(id, _)| *id == rule).map_or("a rule of the standards", |(_, words)| words)
}

const RULES: &[(&str, &str)] = &[
    ("ID-1", "a SPIFFE ID is spiffe://, a trust domain and a path; no user, port, query or fragment (SPIFFE-ID 2)"),
    ("ID-2", "a trust domain is a-z, 0-9, dot, dash and underscore, in lower case, at most 255 bytes (SPIFFE-ID 2.1)"),
    (
        "ID-3",
        "a path has segments of letters, digits, dot, dash and underscore; none empty, `.` or `..` (SPIFFE-ID 2.2)",
    ),
    ("ID-4", "a SPIFFE ID has at most 2,048 bytes (SPIFFE-ID 2.3)"),
    ("ID-5", "upper case in scheme and trust domain is refused, never folded (SPIFFE-ID 2.1)"),
    ("XS-1", "an X.509-SVID names one SPIFFE ID, as its only URI (X509-SVID 2, 5.2)"),
    ("XS-2", "a leaf is no authority, signs no certificates, and its SPIFFE ID has a path (X509-SVID 3.1, 4.3, 5.2)"),
    (
        "XS-3",
        "key usage is there and critical; extended key usage, where there, has client and server (X509-SVID 4.3, 4.4)",
    ),
    ("XS-4", "the names are critical where the subject is empty (X509-SVID 3.1)"),
    ("XS-5", "whoever signs is an authority that may sign certificates; its SPIFFE ID has no path (X509-SVID 3.2)"),
    ("XS-6", "the chain leads to a root of the trust domain that the leaf names, and of no other (X509-SVID 5.1)"),
    ("XS-7", "a bundle entry for X.509-SVIDs holds one certificate (X509-SVID 6)"),
    ("JS-1", "a JWT-SVID is a compact JWS, signed with RS, PS or ES 256, 384 or 512 (JWT-SVID 2.1)"),
    ("JS-2", "the header holds alg, kid and typ and nothing else; typ is JWT or JOSE (JWT-SVID 2)"),
    ("JS-3", "sub is a SPIFFE ID, and a JWT key of its own trust domain signed it (JWT-SVID 3.1, 6.2)"),
    ("JS-4", "aud holds the audience, and exp is there and not over (JWT-SVID 3.2, 3.3)"),
    ("JS-5", "a key for JWT-SVIDs has an id; one audience for each token (JWT-SVID 6.1, 7.2)"),
    ("BU-1", "entries of unknown kind or use are passed over; what claims to be usable must be (SPIFFE bundle 4.2)"),
    ("BU-2", "a bundle without keys revokes all of its trust domain (SPIFFE bundle 4.1.3)"),
    ("PV-1", "the path holds: signatures, validity, names, constraints (RFC 5280 6.1)"),
    ("PV-2", "a root is a key with a name, for one trust domain (RFC 5280 6.1.1)"),
    ("PV-5", "a certificate is presented (RFC 8446 4.4.2)"),
    ("PV-6", "keys are at least P-256 or RSA of 2,048 bits, and no signature uses SHA-1"),
    ("PV-7", "names hold no NUL and no characters beyond ASCII (RFC 5280 4.2.1.6)"),
    ("JW-1", "the verifier fixes the algorithms, and the algorithm fits the key (RFC 8725 3.1)"),
    ("JW-5", "a token brings no key of its own: no jku, x5u, jwk or x5c (RFC 8725 3.10)"),
    ("JW-7", "every claim has the type that its name asks for (RFC 7519 4.1)"),
    ("JW-8", "no member has two values (RFC 7519 4)"),
    (
        "JW-9",
        "base64url is strict and without padding, and a signature has exactly its length (RFC 7515 2, RFC 7518 3.4)",
    ),
    ("JW-10", "no critical extension is unknown, and nothing is compressed (RFC 7515 4.1.11)"),
    ("JW-11", "a token is of reasonable size, and no JWE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every id in the sources of the two crates that verify.
    #[test]
    fn every_rule_that_the_verifiers_name_has_words() {
        let mut named = 0;
        for folder in ["../identity/src", "../jose/src"] {
            for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for quoted in text.split('"').skip(1).step_by(1) {
                    let mut parts = quoted.split('-');
                    let (Some(head), Some(number), None) = (parts.next(), parts.next(), parts.next()) else { continue };
                    let is_rule = head.len() == 2 && head.bytes().all(|b| b.is_ascii_uppercase());
                    if is_rule && number.parse::<u8>().is_ok() {
                        named += 1;
                        assert!(RULES.iter().any(|(id, _)| *id == quoted), "{quoted} in {}", path.display());
                    }
                }
            }
        }
        assert!(named > 40, "{named}");
    }

    #[test]
    fn no_rule_has_words_twice() {
        for (at, (id, _)) in RULES.iter().enumerate() {
            assert!(!RULES.iter().skip(at + 1).any(|(other, _)| other == id), "{id}");
        }
    }
}
