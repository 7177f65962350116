//! A folder for one run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder that goes with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("countersign-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what is left behind in the folder for temporary files hurts nobody
        let _ = fs::remove_dir_all(&self.0);
    }
}
