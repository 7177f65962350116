//! The map of an organisation: who calls whom. [`model`] says what is drawn, [`layout`] where.

pub(crate) mod layout;
pub(crate) mod model;
