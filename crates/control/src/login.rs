//! The browser's way in: links that work once, and sessions.

use api::admin::{Failure, FailureCode, LoginLink, Session};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::Act;
use trustdir::Revision;
use types::facts::{Administration, Outcome};
use types::limits;

use crate::acts;
use crate::service::Control;
use crate::store::SecretHash;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// A longer text is no secret of ours and not worth a hash.
const LONGEST_SECRET: usize = 256;

impl Control {
    /// See [`api::admin::Admin::login_link`].
    pub(crate) fn new_link(&self, operator: &str) -> Result<LoginLink, Failure> {
        let Some(console) = &self.parts.console else {
            let hint = "see the output of the running process for why; `admin.address` of node.yaml says where";
            return Err(Failure::new(FailureCode::Unavailable, "no console is served here", hint));
        };
        let revision = self.parts.revision.load_full();
        acts::judge(&self.parts.ledger, &revision, operator, Act::Login, "", "")?;
        let secret = secret()?;
        let now = self.parts.clock.now();
        let until = now.plus_seconds(limits::LOGIN_LINK_TIME.default / 1_000);
        let act = login(operator, "a link was made");
        let act = Administration { until: Some(until), ..act };
        let record = || self.parts.ledger.administration(&act);
        let kept = self.parts.store.add_link(SecretHash::of(&secret), operator, now, until, record);
        kept.map_err(|failure| acts::not_done(&self.parts.ledger, &act, failure))?;
        Ok(LoginLink { url: format!("{}/login#{secret}", console.origin), until })
    }

    /// See [`api::admin::Admin::log_in`].
    pub(crate) fn use_link(&self, link: &str) -> Result<Option<Session>, Failure> {
        if link.len() > LONGEST_SECRET {
            return Ok(None);
        }
        let secret = secret()?;
        let now = self.parts.clock.now();
        let until = now.plus_seconds(limits::SESSION_TIME.default / 1_000);
        let record = |operator: &str| {
            let act = login(operator, "a browser logged in");
            self.parts.ledger.administration(&Administration { until: Some(until), ..act })
        };
        let (link, session) = (SecretHash::of(link), SecretHash::of(&secret));
        let used = self.parts.store.log_in(link, session, now, until, record);
        let used = used.map_err(|failure| acts::not_done(&self.parts.ledger, &login("", ""), failure))?;
        Ok(used.map(|operator| Session { secret, operator, until }))
    }

    /// See [`api::admin::Admin::session`]. A session shows what its operator may see, as long as they may.
    pub(crate) fn operator_of(&self, session: &str) -> Option<String> {
        if session.len() > LONGEST_SECRET {
            return None;
        }
        let found = self.parts.store.session(SecretHash::of(session), self.parts.clock.now());
        let operator =
            found.inspect_err(|error| tracing::error!(%error, "no session can be looked up")).ok().flatten()?;
        let may_view = self.parts.revision.load().policies().may(&operator, Act::View).outcome == Outcome::Allow;
        (may_view && self.stands(&operator).is_ok()).then_some(operator)
    }

    /// Ends the sessions of those who are no operators any more: whoever gets the name later gets none of them. Until it is
    /// done each is refused by itself.
    pub(crate) fn end_sessions_of_the_gone(&self, revision: &Revision) {
        let named = revision.operators().keys().map(types::Label::as_str);
        let stay: Vec<&str> = core::iter::once(acts::LOCAL).chain(named).collect();
        if let Err(error) = self.parts.store.end_sessions_of_others(&stay) {
            tracing::error!(%error, "sessions of operators who are gone could not be ended; they end by themselves");
        }
    }

    /// See [`api::admin::Admin::log_out`].
    pub(crate) fn end_session(&self, session: &str) {
        if let Err(error) = self.parts.store.end_session(SecretHash::of(session)) {
            tracing::error!(%error, "a session could not be ended; it ends by itself");
        }
    }
}

const fn login<'a>(operator: &'a str, note: &'a str) -> Administration<'a> {
    Administration {
        act: Act::Login.as_str(),
        outcome: Outcome::Allow,
        operator,
        subject: "",
        why: "",
        note,
        revision: None,
        until: None,
    }
}

pub(crate) fn secret() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::new(FailureCode::Unavailable, "the system gives no random bytes", ""))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
