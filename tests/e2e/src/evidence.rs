//! What the decision log says of a call, read as an operator reads it: `decisions --json` and `explain`.

use serde_json::Value;

use crate::answer::Answer;
use crate::site::Site;
use crate::wait::wait_for;

/// Longer than any test runs.
const ALL: &str = "1d";

/// What a refusal must look like in the log.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The reason code.
    pub reason: &'a str,
    /// The caller as listings name it, `""` where nobody was identified.
    pub caller: &'a str,
}

impl Site {
    /// Every entry of the log, oldest first.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn entries(&self) -> Vec<Value> {
        self.listed(&[])
    }

    /// Every decision about one caller, oldest first.
    pub fn decisions_of(&self, caller: &str) -> Vec<Value> {
        self.listed(&["--caller", caller])
    }

    fn listed(&self, filters: &[&str]) -> Vec<Value> {
        let listed = self.run([&["decisions", "--json", "--since", ALL], filters].concat());
        assert_eq!(listed.code, Some(0), "{listed:#?}");
        listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Every decision of the log, oldest first.
    pub fn decisions(&self) -> Vec<Value> {
        self.entries().into_iter().filter(|entry| entry["kind"] == "decision").collect()
    }

    /// The one record of a decision, with its end where it was allowed.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn record(&self, id: &str) -> Value {
        wait_for(&format!("the record of {id}"), || {
            let mut found = self.decisions().into_iter().filter(|decision| decision["id"] == id);
            let record = found.next()?;
            assert!(found.next().is_none(), "two records of {id}");
            (record["outcome"] == "deny" || !record["completion"].is_null()).then_some(record)
        })
    }

    /// Looks that a call was allowed, answered well, and recorded so; gives its record.
    ///
    /// # Panics
    /// When not.
    pub fn allowed(&self, answer: &Answer, caller: &str) -> Value {
        let record = self.record(&answer.decision());
        assert_eq!(record["outcome"], "allow", "{record:#}");
        assert_eq!(record["reason"], "", "{record:#}");
        assert_eq!(record["caller"], caller, "{record:#}");
        assert!(record["determining"].as_array().is_some_and(|policies| !policies.is_empty()), "{record:#}");
        self.explained(&record);
        record
    }

    /// Looks that a call was allowed and answered, and ended well.
    ///
    /// # Panics
    /// When not.
    pub fn ended_well(&self, answer: &Answer, caller: &str) -> Value {
        assert_eq!(answer.broken, "", "{answer:?}");
        let record = self.allowed(answer, caller);
        let end = &record["completion"];
        assert_eq!((&end["reason"], &end["status"]), (&Value::from(""), &Value::from(answer.status)), "{record:#}");
        record
    }

    /// Looks that a call was refused over HTTP, told so in the usual shape, and recorded so; gives its record.
    ///
    /// # Panics
    /// When not.
    pub fn refused(&self, answer: &Answer, want: Refused<'_>) -> Value {
        assert_eq!(answer.status, want.status, "{answer:?}");
        assert_eq!(answer.reason(), want.reason, "{answer:?}");
        let record = self.record(&answer.decision());
        assert_eq!(record["outcome"], "deny", "{record:#}");
        assert_eq!(record["reason"], want.reason, "{record:#}");
        assert_eq!(record["caller"], want.caller, "{record:#}");
        assert!(record["completion"].is_null(), "{record:#}");
        self.explained(&record);
        record
    }

    /// Looks that the newest decision is a refusal before HTTP for this reason; gives its record.
    ///
    /// # Panics
    /// When it is not, in time.
    pub fn refused_at_tls(&self, reason: &str) -> Value {
        let record = wait_for(&format!("a refusal for {reason}"), || {
            self.decisions().pop().filter(|newest| newest["reason"] == reason)
        });
        assert_eq!(record["outcome"], "deny", "{record:#}");
        assert_eq!(record["protocol"], "tls", "{record:#}");
        assert_eq!(record["caller"], "", "{record:#}");
        self.explained(&record);
        record
    }

    /// Looks that `explain` tells the story of a record, by its full id.
    ///
    /// # Panics
    /// When it does not.
    pub fn explained(&self, record: &Value) -> String {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let told = self.run(["explain", &text("id")]);
        assert_eq!(told.code, Some(0), "{told:#?}");
        let noted = record["noted"].as_array().into_iter().flatten();
        let is_shadowed = noted.clone().any(|noted| noted["mode"] == "shadow");
        let outcome = match text("outcome").as_str() {
            "allow" if is_shadowed => "would-deny",
            "allow" => "allow",
            _ => "DENY",
        };
        assert!(told.stdout.starts_with(outcome), "{}", told.stdout);
        for policy in record["determining"].as_array().into_iter().flatten() {
            let name = policy.as_str().unwrap_or_default();
            // what is generated from a setting is named by the place of the setting
            let is_named = told.stdout.contains(name) || (name.contains('.') && told.stdout.contains("domain.yaml:"));
            assert!(is_named, "{policy} is not named:\n{}", told.stdout);
        }
        for check in noted.filter_map(|noted| noted["check"].as_str()) {
            let name = check.rsplit('.').next().unwrap_or_default();
            assert!(told.stdout.contains(name), "what was noted of {check} is not told:\n{}", told.stdout);
        }
        told.stdout
    }
}
