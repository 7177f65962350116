//! Reading a trust directory from disk for a command.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use api::admin::Counts;
use control::DirFiles;
use trustdir::{Loaded, Revision, Severity};

use crate::env::Env;
use crate::exit::{Exit, Failed};
use crate::term::{Palette, count, problems};

/// Reads a trust directory and everything that is wrong with it.
///
/// # Errors
/// When there is no such directory.
pub fn load(dir: &Path) -> Result<Loaded, Failed> {
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(trustdir::load(&DirFiles::new(dir))),
        Ok(_) => {
            Err(Failed::new(format!("`{}` is not a directory", dir.display())).hint("name the trust directory itself"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failed::new(format!("there is no directory `{}`", dir.display()))
                .hint(format!("`countersign init {}` writes a small one to start from", dir.display())))
        }
        Err(error) => Err(Failed::new(format!("`{}` cannot be read: {error}", dir.display()))),
    }
}

/// A revision, for commands that need one: where there is none, every problem is told on standard error.
///
/// # Errors
/// When there is no such directory, or it does not validate.
pub fn revision(dir: &Path, env: &Env) -> Result<(Arc<Revision>, Loaded), Failed> {
    let mut loaded = load(dir)?;
    match loaded.revision.take() {
        Some(revision) => Ok((revision, loaded)),
        None => {
            let _ = problems::show(&mut io::stderr().lock(), Palette::stderr(env), &loaded.problems, &loaded.sources);
            Err(Failed { exit: Exit::No, ..Failed::new(format!("`{}` does not validate", dir.display())) })
        }
    }
}

/// Warnings on standard error, as `up` shows them: they do not keep it from starting.
pub fn tell_warnings(loaded: &Loaded) {
    let warnings = loaded.problems.iter().filter(|problem| problem.severity == Severity::Warning).count();
    if warnings > 0 {
        let text = format!("{}; `countersign check` shows them\n", count(warnings, "warning", "warnings"));
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// What a revision holds, in numbers.
pub fn counts(revision: &Revision) -> Counts {
    Counts {
        domains: revision.domains().len(),
        services: revision.services().len(),
        routes: revision.services().values().map(|service| service.model.routes.len()).sum(),
        workloads: revision.workloads().len(),
        policies: revision.policies().all().filter(|policy| !policy.generated).count(),
    }
}

/// `4 domains, 9 services, 57 routes, 21 workloads, 44 policies`.
pub fn in_words(counts: Counts) -> String {
    [
        count(counts.domains, "domain", "domains"),
        count(counts.services, "service", "services"),
        count(counts.routes, "route", "routes"),
        count(counts.workloads, "workload", "workloads"),
        count(counts.policies, "policy", "policies"),
    ]
    .join(", ")
}
