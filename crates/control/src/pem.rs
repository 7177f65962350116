//! PEM (RFC 7468): certificates and requests as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};

/// Characters of a line.
const LINE: usize = 64;

/// One block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(LINE.min(rest.len())).filter(|(line, _)| !line.is_empty()) {
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Certificates, in order.
pub fn certificates<'a>(ders: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    ders.into_iter().map(|der| encode("CERTIFICATE", der)).collect()
}

/// The certificates of a text, in order; `None` where it holds none or something that is broken.
pub fn read_certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    let read: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    read.ok().filter(|found| !found.is_empty()).map(|found| found.iter().map(|der| der.to_vec()).collect())
}

/// The one certificate request of a text.
pub fn read_request(text: &str) -> Option<Vec<u8>> {
    CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).ok().map(|der| der.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [1_usize, 47, 48, 49, 96, 1000] {
            let der = vec![0xa5; length];
            let text = certificates([&der, &der]);
            assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
            assert_eq!(read_certificates(&text).unwrap(), [der.clone(), der.clone()]);
            assert_eq!(read_request(&encode("CERTIFICATE REQUEST", &der)).unwrap(), der);
        }
        assert!(read_certificates("").is_none());
        assert!(read_request("no").is_none());
    }
}
