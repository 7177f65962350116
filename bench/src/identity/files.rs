//! Trust directories with many workloads.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The organisation of all of them.
pub const ORGANISATION: &str = "acme.internal";
/// The node group on which everything runs.
pub const POOL: &str = "pool";
/// Workloads of one domain.
const OF_ONE_DOMAIN: usize = 1000;

/// The names of the domains that so many workloads have.
pub fn domains(workloads: usize) -> impl Iterator<Item = String> {
    (0..workloads.div_ceil(OF_ONE_DOMAIN)).map(|number| format!("unit-{number}"))
}

/// The domain and the name of a workload.
pub fn workload(number: usize) -> (String, String) {
    (format!("unit-{}", number / OF_ONE_DOMAIN), format!("caller-{number}"))
}

/// The program by which one of many is recognised. Nothing is there: only its name is asked for.
pub fn program(number: usize) -> String {
    format!("/opt/bench/caller-{number}")
}

/// A trust directory, and how many workloads it has.
pub struct Directory(PathBuf, usize);

impl Directory {
    /// One with so many workloads.
    pub fn of_many(folder: &Path, workloads: usize) -> Result<Self> {
        let this = Self::begin(folder, workloads)?;
        for (index, domain) in domains(workloads).enumerate() {
            let numbers = index * OF_ONE_DOMAIN..workloads.min((index + 1) * OF_ONE_DOMAIN);
            let lines = numbers.map(|number| (workload(number).1, vec![program(number)]));
            this.domain(&domain, lines)?;
        }
        Ok(this)
    }

    /// One with a domain `unit-0` of these workloads, each with the programs by which it is recognised.
    pub fn of(folder: &Path, workloads: &[(String, Vec<String>)]) -> Result<Self> {
        let this = Self::begin(folder, workloads.len())?;
        this.domain("unit-0", workloads.iter().cloned())?;
        Ok(this)
    }

    fn begin(folder: &Path, workloads: usize) -> Result<Self> {
        let this = Self(folder.to_path_buf(), workloads);
        this.write(
            "countersign.yaml",
            &format!("organisation: {ORGANISATION}\nnodes: {{ {POOL}: {{ join: token }} }}\n"),
        )?;
        Ok(this)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// How many workloads it has.
    pub const fn workloads(&self) -> usize {
        self.1
    }

    fn domain(&self, name: &str, workloads: impl Iterator<Item = (String, Vec<String>)>) -> Result<()> {
        let mut text = format!("domain: {name}\nservices: {{}}\nworkloads:\n");
        for (workload, programs) in workloads {
            let rules: Vec<String> =
                programs.iter().map(|path| format!("{{ unix: {{ path: \"{path}\" }} }}")).collect();
            writeln!(text, "  {workload}: {{ runs_on: [{POOL}], attest: {{ any: [{}] }} }}", rules.join(", "))?;
        }
        self.write(&format!("domains/{name}/domain.yaml"), &text)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }
}
