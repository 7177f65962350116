//! Asks control, over the admin socket of this machine's process or over mutual TLS elsewhere: HTTP/1.1 and JSON.

mod way;

use std::path::Path;

use api::admin::{
    Access, Approve, Budget, Bundle, Certified, Certify, Count, CountQuery, DecisionQuery, Explanation, Failure,
    FailureCode, Finding, Impersonate, Impersonated, JoinToken, LoginLink, MakeJoinToken, Peer, Proposal, Publication,
    Publish, Published, Registered, Restore, Retire, Revocation, Revoke, Rollback, Rotate, Rotation, Status, Withdraw,
};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::limits;

use self::way::Way;
use crate::args::Target;
use crate::env::Env;
use crate::exit::{Exit, Failed};
use crate::paths::{self, ADMIN_SOCKET};

/// The admin service of one control.
#[derive(Clone, Debug)]
pub struct AdminClient {
    way: Way,
}

impl AdminClient {
    /// That of the process in a data directory. Nothing is opened yet.
    pub fn new(data: &Path) -> Self {
        Self { way: Way::Socket(data.join(ADMIN_SOCKET)) }
    }

    /// That of whom the command line and the environment name: a control elsewhere, the process of a data directory, or
    /// the only one that runs on this machine.
    ///
    /// # Errors
    /// When none runs here, several do, or the credentials cannot be used.
    pub fn to(env: &Env, target: &Target) -> Result<Self, Failed> {
        match way::elsewhere(env, target)? {
            Some(elsewhere) => Ok(Self { way: Way::Server(elsewhere) }),
            None => paths::running(env, target.data.as_deref()).map(|data| Self::new(&data)),
        }
    }

    /// Whether it is on another machine, as far as the command line says.
    pub const fn is_elsewhere(&self) -> bool {
        matches!(self.way, Way::Server(_))
    }

    /// What runs there.
    ///
    /// # Errors
    /// As all questions here: [`Failed`] with the service's own words, or why it was not reached.
    pub async fn status(&self) -> Result<Status, Failed> {
        self.get("/v1/status").await
    }

    /// A certificate in the name of a workload.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn impersonate(&self, question: &Impersonate) -> Result<Impersonated, Failed> {
        self.post("/v1/impersonate", question).await
    }

    /// The roots of a domain.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn bundle(&self, domain: &str) -> Result<Bundle, Failed> {
        self.get(&format!("/v1/bundles/{}", escape(domain))).await
    }

    /// Every registered workload with what is held of it.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn identities(&self) -> Result<Vec<Registered>, Failed> {
        self.get("/v1/identities").await
    }

    /// If issuance stopped now: what fails when.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn budget(&self) -> Result<Budget, Failed> {
        self.get("/v1/identities/budget").await
    }

    /// How far the keys of every domain have come.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn rotations(&self) -> Result<Vec<Rotation>, Failed> {
        self.get("/v1/rotations").await
    }

    /// Begins, takes back or forces a rotation.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn rotate(&self, question: &Rotate) -> Result<Rotation, Failed> {
        self.post("/v1/rotations", question).await
    }

    /// Why one call was allowed or refused.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn explain(&self, id: &str) -> Result<Explanation, Failed> {
        self.get(&format!("/v1/decisions/{}", escape(id))).await
    }

    /// A stream of decisions, one JSON object a line.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn decisions(&self, query: &DecisionQuery) -> Result<Lines, Failed> {
        let path = format!("/v1/decisions?{}", query_string(query));
        let response = self.send(Method::GET, &path, None::<&()>).await?;
        let body = self.check(response).await?.into_body();
        Ok(Lines { body, buffer: Vec::new(), from: self.way.name() })
    }

    /// Makes files the current revision, or proposes them.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn publish(&self, question: &Publish) -> Result<Published, Failed> {
        self.post("/v1/publications", question).await
    }

    /// Makes an earlier revision current again, or proposes to.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn rollback(&self, question: &Rollback) -> Result<Published, Failed> {
        self.post("/v1/rollback", question).await
    }

    /// What waits for approval, the latest first.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn proposals(&self) -> Result<Vec<Proposal>, Failed> {
        self.get("/v1/proposals").await
    }

    /// Approves a proposal.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn approve(&self, question: &Approve) -> Result<Published, Failed> {
        self.post("/v1/proposals/approve", question).await
    }

    /// Takes a proposal back.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn withdraw(&self, question: &Withdraw) -> Result<Proposal, Failed> {
        self.post("/v1/proposals/withdraw", question).await
    }

    /// Everybody who joined.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn fleet(&self) -> Result<Vec<Peer>, Failed> {
        self.get("/v1/peers").await
    }

    /// A token with which one peer may join.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn join_token(&self, question: &MakeJoinToken) -> Result<JoinToken, Failed> {
        self.post("/v1/join-tokens", question).await
    }

    /// Forgets a peer.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn retire(&self, question: &Retire) -> Result<Peer, Failed> {
        self.post("/v1/peers/retire", question).await
    }

    /// A certificate of an operator.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn certify(&self, question: &Certify) -> Result<Certified, Failed> {
        self.post("/v1/operators/certify", question).await
    }

    /// The publications, the latest first.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn publications(&self, limit: usize) -> Result<Vec<Publication>, Failed> {
        self.get(&format!("/v1/publications?limit={limit}")).await
    }

    /// Takes a subject's trust away.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn revoke(&self, question: &Revoke) -> Result<Revocation, Failed> {
        self.post("/v1/revocations", question).await
    }

    /// Gives a subject its trust back.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn restore(&self, question: &Restore) -> Result<Revocation, Failed> {
        self.post("/v1/restore", question).await
    }

    /// The revocations in force.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn revocations(&self) -> Result<Vec<Revocation>, Failed> {
        self.get("/v1/revocations").await
    }

    /// Exact counts of a time.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn counts(&self, query: &CountQuery) -> Result<Vec<Count>, Failed> {
        self.get(&format!("/v1/counts?{}", span(query))).await
    }

    /// Who can call a route.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn who_can(&self, route: &str) -> Result<Vec<Access>, Failed> {
        self.get(&format!("/v1/who-can?route={}", escape(route))).await
    }

    /// What a workload can call.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn what_can(&self, caller: &str) -> Result<Vec<Access>, Failed> {
        self.get(&format!("/v1/what-can?caller={}", escape(caller))).await
    }

    /// What an operator should look at.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn doctor(&self) -> Result<Vec<Finding>, Failed> {
        self.get("/v1/doctor").await
    }

    /// A link that logs one browser in.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn login_link(&self) -> Result<LoginLink, Failed> {
        self.post("/v1/login-links", &serde_json::json!({})).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, question: &B) -> Result<T, Failed> {
        let response = self.send(Method::POST, path, Some(question)).await?;
        self.read(response).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        let response = self.send(Method::GET, path, None::<&()>).await?;
        self.read(response).await
    }

    /// One connection for one question: nothing needs to be kept.
    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut sender = self.way.open().await?;
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| self.way.unreached(&error))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.way.host())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| self.way.unreached(&error))?;
        sender.send_request(request).await.map_err(|error| self.way.unanswered(&error))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Failed> {
        let response = self.check(response).await?;
        let bytes = self.collect(response.into_body()).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.way.unreached(&error))
    }

    /// Answers other than 200 are the service's failure.
    async fn check(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failed> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.collect(response.into_body()).await?;
        match serde_json::from_slice::<Failure>(&bytes) {
            Ok(failure) => Err(failed(failure)),
            Err(_) => Err(Failed::new(format!("the admin service answered {status}"))),
        }
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Failed> {
        let limited = http_body_util::Limited::new(body, limits::CALL_RESPONSE_BYTES.default_usize());
        let collected = limited.collect().await.map_err(|error| self.way.unreached(&error))?;
        Ok(collected.to_bytes())
    }
}

/// The service's failure as the command's: what policy refuses is a no.
fn failed(failure: Failure) -> Failed {
    let exit = match failure.code {
        FailureCode::NotAllowed | FailureCode::Unidentified => Exit::No,
        FailureCode::BadRequest
        | FailureCode::WrongMethod
        | FailureCode::TooLarge
        | FailureCode::WrongType
        | FailureCode::NotFound
        | FailureCode::Ambiguous
        | FailureCode::Conflict
        | FailureCode::Unavailable => Exit::CouldNot,
    };
    Failed { exit, ..Failed::new(failure.message).hint(failure.hint) }
}

/// Lines of a response, as they come.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    from: String,
}

impl Lines {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks or a line is not what it should be.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failed> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| self.broken(&error));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.broken(&error)),
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap_or_default()),
            }
        }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Failed {
        Failed::new(format!("the answer of {} broke off: {error}", self.from))
    }
}

/// A question as the query of a URL.
fn query_string(query: &DecisionQuery) -> String {
    let mut parts = vec![format!("follow={}", query.follow)];
    parts.extend(query.caller.as_ref().map(|caller| format!("caller={}", escape(caller))));
    parts.extend(query.outcome.map(|outcome| format!("outcome={}", outcome.as_str())));
    parts.extend(query.since.map(|since| format!("since={since}")));
    parts.extend(query.limit.map(|limit| format!("limit={limit}")));
    parts.join("&")
}

/// A time as the query of a URL.
fn span(query: &CountQuery) -> String {
    let since = query.since.map(|since| format!("since={since}"));
    let until = query.until.map(|until| format!("until={until}"));
    since.into_iter().chain(until).collect::<Vec<_>>().join("&")
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 2.3.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_queries() {
        let query = DecisionQuery { caller: Some("hr/people&x=1".into()), limit: Some(5), ..DecisionQuery::default() };
        assert_eq!(query_string(&query), "follow=false&caller=hr%2Fpeople%26x%3D1&limit=5");
        assert_eq!(escape("0197a1f2…c4"), "0197a1f2%E2%80%A6c4");
        assert_eq!(span(&CountQuery::default()), "");
        assert_eq!(span(&CountQuery { since: Some(1), until: Some(2) }), "since=1&until=2");
    }

    #[test]
    fn only_a_refusal_by_policy_is_a_no() {
        assert_eq!(failed(Failure::new(FailureCode::NotAllowed, "m", "h")).exit, Exit::No);
        assert_eq!(failed(Failure::new(FailureCode::NotFound, "m", "")).exit, Exit::CouldNot);
    }
}
