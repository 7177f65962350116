//! The lines on standard error: which of them, and how they are written. `docs/operation.md` says what never stands in
//! one.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::env::Env;
use crate::exit::Failed;
use crate::term::Palette;

/// What is logged where nobody says otherwise.
const USUAL: &str = "warn";

/// From now on what the parts report goes to standard error. `COUNTERSIGN_LOG` chooses which lines, as in
/// `COUNTERSIGN_LOG=info`, and `COUNTERSIGN_LOG_FORMAT` whether they are `text` or `json`, one object a line. What is not
/// understood is given back, and left out.
pub fn to_stderr(env: &Env) -> Vec<Failed> {
    let (filter, wrong_filter) = chosen(env);
    let (json, wrong_format) = is_json(env);
    // an install that fails means that somebody else logs already, which is as good
    let chosen = tracing_subscriber::registry().with(filter).with(filter_fn(is_ours_or_rare));
    let _ = chosen.with(written(json, env)).try_init();
    wrong_filter.into_iter().chain(wrong_format).collect()
}

fn written<S>(json: bool, env: &Env) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if json {
        return Box::new(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    }
    Box::new(fmt::layer().with_ansi(Palette::stderr(env).is_on()).with_writer(std::io::stderr))
}

/// Libraries write whatever they see at `debug` and `trace`, header fields included. We cannot promise for them what never
/// stands in a log, so those levels are ours alone, whatever `COUNTERSIGN_LOG` asks for.
fn is_ours_or_rare(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("countersign")
}

fn chosen(env: &Env) -> (EnvFilter, Option<Failed>) {
    match EnvFilter::try_new(env.log.as_deref().unwrap_or(USUAL)) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let failed = Failed::new(format!("COUNTERSIGN_LOG is not understood and left out: {error}"));
            (EnvFilter::new(USUAL), Some(failed.hint("write it like `info` or `countersign_proxy=debug,warn`")))
        }
    }
}

fn is_json(env: &Env) -> (bool, Option<Failed>) {
    match env.log_format.as_deref() {
        None | Some("text") => (false, None),
        Some("json") => (true, None),
        Some(other) => {
            let failed = Failed::new(format!("COUNTERSIGN_LOG_FORMAT is not understood and left out: `{other}`"));
            (false, Some(failed.hint("it is `text` or `json`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_told_and_left_out() {
        let of = |log: &str, format: &str| {
            let env = Env { log: Some(log.into()), log_format: Some(format.into()), ..Env::default() };
            (chosen(&env).1.is_some(), is_json(&env).0, is_json(&env).1.is_some())
        };
        assert_eq!(of("info", "json"), (false, true, false));
        assert_eq!(of("countersign_proxy=debug,warn", "text"), (false, false, false));
        assert_eq!(of("a=b=c", "xml"), (true, false, true));
    }
}
