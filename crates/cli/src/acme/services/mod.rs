//! The services' routes and tables, one file each.

mod audit;
mod deploys;
mod directory;
mod expenses;
mod invoices;
mod ledger;
mod payroll;
mod people;
mod status;

use axum::Router;

use super::store::Store;

/// What makes a service: its tables and first rows, and its routes.
pub(super) struct Parts {
    /// SQL that fills a new database.
    pub(super) setup: &'static str,
    /// The routes over that database.
    pub(super) router: fn(Store) -> Router,
}

/// The parts of a service, or `None` for a name that is no service.
pub(super) fn parts(name: &str) -> Option<Parts> {
    let (setup, router): (_, fn(Store) -> Router) = match name {
        "ledger" => (include_str!("ledger.sql"), ledger::router),
        "invoices" => (include_str!("invoices.sql"), invoices::router),
        "people" => (include_str!("people.sql"), people::router),
        "payroll" => (include_str!("payroll.sql"), payroll::router),
        "directory" => (include_str!("directory.sql"), directory::router),
        "expenses" => (include_str!("expenses.sql"), expenses::router),
        "deploys" => (include_str!("deploys.sql"), deploys::router),
        "audit" => (include_str!("audit.sql"), audit::router),
        "status" => (include_str!("status.sql"), status::router),
        _ => return None,
    };
    Some(Parts { setup, router })
}
