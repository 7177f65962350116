//! The one place where refusals and failures become responses (RFC 9457 problem details; STANDARDS PJ).
//!
//! The caller learns the reason's title and the decision's id; what the operator learns stands in the record.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use types::{DecisionId, Method, Reason};

use crate::{body::ResponseBody, headers};

/// The media type of RFC 9457.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The answer to a refused or failed request.
pub fn problem(reason: Reason, id: DecisionId) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::FORBIDDEN);
    let body = json!({
        "type": format!("urn:countersign:reason:{reason}"),
        "title": reason.title(),
        "status": status.as_u16(),
        "decision": id.to_string(),
    });
    let mut response = Response::new(ResponseBody::Own(Full::new(Bytes::from(format!("{body}\n")))));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, PROBLEM);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(headers::DECISION, headers::decision_value(id));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = Method::ALL.map(Method::as_str).join(", ");
        fields.extend(HeaderValue::try_from(allowed).ok().map(|value| (header::ALLOW, value)));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_names_the_decision_and_no_policy() {
        let id = DecisionId::new(1, [1; 10]);
        for reason in Reason::ALL.iter().filter(|reason| reason.status() != 0) {
            let response = problem(*reason, id);
            assert_eq!(response.status().as_u16(), reason.status());
            assert_eq!(response.headers()["countersign-decision"], id.to_string());
            let body = response.into_body().collect().await.expect("own words").to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body["status"], reason.status());
            assert_eq!(body["type"], format!("urn:countersign:reason:{}", reason.code()));
            assert_eq!(body.as_object().expect("an object").len(), 4);
        }
        assert!(problem(Reason::ParseMethod, id).headers().contains_key("allow"));
    }
}
