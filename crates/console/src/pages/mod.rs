//! The pages, one file each: what is asked of the admin service, and what of the answer is shown.

pub(crate) mod access;
pub(crate) mod decision;
pub(crate) mod decisions;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod map;
pub(crate) mod overview;
pub(crate) mod peer;
pub(crate) mod probes;
pub(crate) mod proposals;
pub(crate) mod revisions;
pub(crate) mod trust;
