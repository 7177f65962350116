//! The demo's stream: every decision as it is made, and a word where the story turns.

use std::io::{self, Write};
use std::time::Duration;

use api::admin::{Decision, DecisionQuery, Entry};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use types::facts::Outcome as Answer;
use types::{DecisionId, Reason};

use crate::acme::callers::TAKEN_OVER;
use crate::admin_client::AdminClient;
use crate::env::Env;
use crate::exit::Failed;
use crate::roles::Signals;
use crate::term::Palette;
use crate::term::listing::Listing;
use crate::term::time::Times;

use super::Demo;
use super::folder::Folder;
use super::show::Words;

/// How long everything is as it should be.
const PEACE: Duration = Duration::from_secs(25);
/// How often the services are looked at.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Shows every decision until a signal comes or the process that decides ends.
///
/// # Errors
/// When the stream breaks off, or nobody reads what is written.
pub(super) async fn watch(
    demo: &mut Demo,
    folder: &Folder,
    words: &Words,
    signals: &mut Signals,
    env: &Env,
) -> Result<(), Failed> {
    let query = DecisionQuery { limit: Some(0), follow: true, ..DecisionQuery::default() };
    let mut lines = AdminClient::new(folder.path()).decisions(&query).await?;
    let mut listing = Listing::following(Palette::stdout(env), Times::local()).roomy();
    let mut story = Story::default();
    let mut looking: Option<oneshot::Receiver<()>> = None;
    let takeover = sleep_until(Instant::now() + PEACE);
    tokio::pin!(takeover);
    let mut second = interval(LOOK_AFTER);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signals.any() => return Ok(()),
            entry = lines.next::<Entry>() => match entry? {
                Some(entry) => say(&story.tell(&entry, &listing.line(&entry), words))?,
                None => return Ok(()),
            },
            () = &mut takeover, if !story.taken_over => {
                say(&words.taken_over())?;
                story.taken_over = true;
                looking = Some(demo.callers.take_over(&demo.setting).map_err(|error| super::not_started(&error))?);
            }
            () = looked(&mut looking) => {
                looking = None;
                story.looked_around = true;
            }
            _ = second.tick() => {
                look_after(demo, &mut story);
                say(&story.advise(words))?;
            }
        }
    }
}

/// Done when the intruder has looked around once; never where there is none.
async fn looked(looking: &mut Option<oneshot::Receiver<()>>) {
    match looking {
        // an error means that it could not; its log says why
        Some(told) => drop(told.await),
        None => std::future::pending().await,
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A service that ends by itself is told, once.
fn look_after(demo: &mut Demo, story: &mut Story) {
    if let Some((service, status, log)) = demo.services.ended().filter(|_| !story.service_ended) {
        story.service_ended = true;
        let log = log.display().to_string();
        tracing::error!(service, %status, log, "a service of the example ended");
    }
}

/// How far the story is told.
#[derive(Debug, Default)]
struct Story {
    taken_over: bool,
    looked_around: bool,
    advised: bool,
    revoked: bool,
    service_ended: bool,
    /// The refusal to be explained, and whether it is the one that explains most.
    refusal: Option<(DecisionId, bool)>,
}

impl Story {
    /// The line of a decision, after a heading where the story turns with it.
    fn tell(&mut self, entry: &Entry, line: &str, words: &Words) -> String {
        let turn = match entry {
            Entry::Decision(decision) => self.turn(decision, words),
            Entry::Refusals(_) | Entry::Damage(_) => String::new(),
        };
        format!("{turn}{line}\n")
    }

    fn turn(&mut self, decision: &Decision, words: &Words) -> String {
        let (domain, name) = TAKEN_OVER;
        let its = decision.caller.strip_prefix(domain).and_then(|rest| rest.strip_prefix('/')) == Some(name);
        if !its || !self.taken_over {
            return String::new();
        }
        let is_revoked = decision.reason == Reason::SignalsRevoked.code();
        if decision.outcome == Answer::Deny && !is_revoked {
            self.keep(decision);
        }
        match (is_revoked, std::mem::replace(&mut self.revoked, is_revoked)) {
            (true, false) => words.revoked(),
            (false, true) => words.restored(),
            _ => String::new(),
        }
    }

    /// The salaries of one person are the story that needs the fewest words.
    fn keep(&mut self, decision: &Decision) {
        let best = decision.service == "hr/payroll" && decision.template == "/salaries/{id}";
        if self.refusal.is_none_or(|(_, kept_best)| best && !kept_best) {
            self.refusal = Some((decision.id, best));
        }
    }

    /// What to do, once, when there is something to explain.
    fn advise(&mut self, words: &Words) -> String {
        match self.refusal {
            Some((id, _)) if self.looked_around && !self.advised => {
                self.advised = true;
                words.what_now(&id)
            }
            _ => String::new(),
        }
    }
}
