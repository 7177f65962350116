//! Who looks and who acts: the cookie of a session, and the token without which no page of ours acts.
//!
//! [`Visitor`] and [`Act`] are made from requests only, by the checks here. A handler that takes one cannot run
//! without them.

use std::collections::BTreeMap;

use api::admin::Session;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use types::Timestamp;

use crate::shield::comes_from_us;
use crate::{Console, Site, answer, show};

/// The form field of the session's token.
const TOKEN: &str = "token";

/// A browser with a session.
pub(crate) struct Visitor {
    frame: Frame,
    /// The session's secret, for the end of it.
    secret: String,
}

/// What every page shows around its content.
#[derive(Clone)]
pub(crate) struct Frame {
    /// The place in the rail.
    pub here: &'static str,
    /// Who is logged in.
    pub operator: String,
    /// The token for forms.
    pub token: String,
    /// The organisation's trust domain suffix.
    pub organisation: String,
    /// The running revision, shortened.
    pub revision: String,
    /// Why calls are not taken or not decided; empty where they are.
    pub problems: Vec<String>,
}

impl Frame {
    /// Whether the page belongs to this place of the rail.
    pub fn is_at(&self, place: &str) -> bool {
        self.here == place
    }
}

impl Visitor {
    /// What the pages of a place show.
    pub fn at(&self, here: &'static str) -> Frame {
        Frame { here, ..self.frame.clone() }
    }

    /// The operator, as acts name it.
    pub fn operator(&self) -> String {
        self.frame.operator.clone()
    }

    /// The session's secret.
    pub fn into_secret(self) -> String {
        self.secret
    }
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let locked = || answer::locked(&parts.headers, parts.method == axum::http::Method::POST);
        let secret = cookie(&parts.headers, &console.site).ok_or_else(locked)?;
        let asked = console.clone().aside(move |admin, _| {
            let operator = admin.session(&secret)?;
            let (status, health) = (admin.status(), admin.health());
            let frame = Frame {
                here: "",
                operator,
                token: token_of(&secret),
                organisation: status.organisation,
                revision: show::short_revision(&status.revision),
                problems: health.problems,
            };
            Some(Self { frame, secret })
        });
        asked.await.ok().flatten().ok_or_else(locked)
    }
}

/// A form sent by a page of ours in a session.
pub(crate) struct Act {
    /// Who acts.
    pub visitor: Visitor,
    fields: BTreeMap<String, String>,
}

impl Act {
    /// A field without the space around it; `""` where it is missing.
    pub fn field(&self, name: &str) -> String {
        self.fields.get(name).map(|text| text.trim().to_owned()).unwrap_or_default()
    }
}

impl FromRequest<Console> for Act {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        if !comes_from_us(request.headers(), &console.site) {
            return Err(foreign());
        }
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, console).await?;
        let fields = fields(Request::from_parts(parts, body), console).await?;
        let given = fields.get(TOKEN).map(String::as_str).unwrap_or_default();
        if verify_slices_are_equal(given.as_bytes(), visitor.frame.token.as_bytes()).is_err() {
            let words = "the form is not of this session, and nothing was done: load the page again\n";
            return Err(answer::plain(StatusCode::FORBIDDEN, words));
        }
        Ok(Self { visitor, fields })
    }
}

/// A form sent by a page of ours, session or not.
pub(crate) struct Stranger(pub BTreeMap<String, String>);

impl FromRequest<Console> for Stranger {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        if !comes_from_us(request.headers(), &console.site) {
            return Err(foreign());
        }
        Ok(Self(fields(request, console).await?))
    }
}

/// For a form that was sent from elsewhere.
fn foreign() -> Response {
    let words = "the form was not sent by a page of this console, and nothing was done\n";
    answer::plain(StatusCode::FORBIDDEN, words)
}

async fn fields(request: Request, console: &Console) -> Result<BTreeMap<String, String>, Response> {
    let form = Form::<BTreeMap<String, String>>::from_request(request, console).await;
    form.map(|Form(fields)| fields)
        .map_err(|rejection| answer::plain(rejection.status(), "the form cannot be read, and nothing was done\n"))
}

/// Bound to the session, so that no other session's page can make it, and stored nowhere.
fn token_of(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, b"countersign console form").as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cookie(headers: &HeaderMap, site: &Site) -> Option<String> {
    let name = site.cookie();
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = values.find(|(key, _)| *key == name).map(|(_, value)| value)?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The cookie of a new session. `None` where its secret is no text for a cookie, which control does not make.
pub(crate) fn set(session: &Session, now: Timestamp, site: &Site) -> Option<HeaderValue> {
    let is_fit = session.secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let seconds = session.until.seconds().saturating_sub(now.seconds());
    let text = format!("{}={}; {}; Max-Age={seconds}", site.cookie(), session.secret, site.cookie_attributes());
    HeaderValue::from_str(&text).ok().filter(|_| is_fit)
}

/// The cookie that ends the browser's side of a session.
pub(crate) fn clear(site: &Site) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{}=; {}; Max-Age=0", site.cookie(), site.cookie_attributes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(secret: &str) -> Session {
        Session { secret: secret.into(), operator: "local".into(), until: Timestamp::from_seconds(100) }
    }

    fn site(port: u16) -> Site {
        Site::loopback(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; countersign-1=other"));
        headers.append(header::COOKIE, HeaderValue::from_static("countersign-8441=s3cret"));
        assert_eq!(cookie(&headers, &site(8441)).unwrap(), "s3cret");
        assert_eq!(cookie(&headers, &site(1)).unwrap(), "other");
        assert_eq!(cookie(&headers, &site(2)), None);
        assert_eq!(cookie(&HeaderMap::new(), &site(8441)), None);
        // over TLS a cookie that plain HTTP could have set is none
        assert_eq!(cookie(&headers, &Site::tls(8441, [])), None);
    }

    #[test]
    fn the_cookie_is_for_this_site_and_no_script() {
        let value = set(&session("s3cret"), Timestamp::from_seconds(40), &site(8441)).unwrap();
        assert_eq!(value, "countersign-8441=s3cret; Path=/; HttpOnly; SameSite=Strict; Max-Age=60");
        assert_eq!(set(&session("a; Domain=evil"), Timestamp::default(), &site(8441)), None);
        let value = set(&session("s3cret"), Timestamp::from_seconds(40), &Site::tls(443, [])).unwrap();
        assert_eq!(value, "__Host-countersign-443=s3cret; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=60");
    }

    #[test]
    fn tokens_differ_by_session_and_do_not_show_the_secret() {
        assert_ne!(token_of("a"), token_of("b"));
        assert_eq!(token_of("a").len(), 64);
        assert!(!token_of("s3cret").contains("s3cret"));
    }
}
