//! Somebody who has taken over a workload: holds its certificate, and looks for what else can be reached with it.

use std::{io::Write, net::SocketAddr, path::Path, time::Duration};

use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{
    client::{Asked, Client, Source, request, way},
    dice::Dice,
};
use crate::acme::{catalogue::ORGANISATION, serve::log};
use crate::https::Credential;

/// The line on standard output that says that the first round is over.
pub const LOOKED_AROUND: &str = "looked around";
/// Between two attempts of the first round.
const HURRY: Duration = Duration::from_millis(600);
/// Between two attempts later on: nobody who means harm stops at the first refusal.
const PATIENCE: Duration = Duration::from_secs(4);
/// Whom it would like to be.
const COVETED: &str = "spiffe://finance.acme.internal/payments";

/// What an attempt shows for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shows {
    /// The certificate of the workload that was taken over.
    Its,
    /// None at all.
    Nothing,
    /// One that it made itself, in a name that it would like to have.
    Forged,
}

/// One attempt.
#[derive(Debug)]
struct Attempt {
    shows: Shows,
    method: &'static str,
    /// The service's name: the server name begins with it.
    service: &'static str,
    /// Another service's name in the `Host` field, or `""`.
    host: &'static str,
    target: &'static str,
    body: &'static str,
}

const fn tries(method: &'static str, service: &'static str, target: &'static str) -> Attempt {
    Attempt { shows: Shows::Its, method, service, host: "", target, body: "" }
}

/// The first round, from what is worth most to what is only odd.
const FIRST: &[Attempt] = &[
    tries("GET", "payroll", "/salaries"),
    tries("GET", "payroll", "/salaries/p-1001"),
    tries("GET", "people", "/people"),
    tries("GET", "people", "/people/p-1005/contact"),
    tries("GET", "people", "/exports/all.csv"),
    tries("GET", "ledger", "/entries?limit=200"),
    Attempt {
        body: r#"{"debit":"1600","credit":"1200","cents":4800000,"text":"Reisebuero Falk, final invoice"}"#,
        ..tries("POST", "ledger", "/entries")
    },
    tries("POST", "invoices", "/invoices/R2042/approval"),
    tries("GET", "audit", "/events?limit=200"),
    tries("POST", "deploys", "/deploys/4/rollback"),
    tries("GET", "vault", "/secrets"),
    tries("GET", "deploys", "/deploys/../../salaries"),
    tries("GET", "status", "/%2e%2e/admin"),
    Attempt { host: "payroll", ..tries("GET", "status", "/salaries") },
    Attempt { shows: Shows::Nothing, ..tries("GET", "ledger", "/entries") },
    Attempt { shows: Shows::Forged, ..tries("GET", "ledger", "/entries") },
];

/// What it comes back to.
const LATER: &[Attempt] = &[
    tries("GET", "payroll", "/salaries/p-1005"),
    tries("GET", "ledger", "/entries?limit=200"),
    tries("GET", "people", "/people/p-1001/contact"),
    tries("GET", "audit", "/events?limit=200"),
    tries("GET", "deploys", "/environments"),
];

/// Tries everything once, says so on standard output, and then goes on slowly.
pub(super) async fn run(socket: &Path, gateway: SocketAddr) -> Result<(), String> {
    let mut client = Client::new(Source::WorkloadApi(socket.to_owned()), gateway);
    let mut dice = Dice::new();
    for attempt in FIRST {
        make(&mut client, attempt, gateway).await;
        tokio::time::sleep(dice.about(HURRY)).await;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{LOOKED_AROUND}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    for attempt in LATER.iter().cycle() {
        tokio::time::sleep(dice.about(PATIENCE)).await;
        make(&mut client, attempt, gateway).await;
    }
    Ok(())
}

/// One attempt, and a line in the log of what came of it.
async fn make(client: &mut Client, attempt: &Attempt, gateway: SocketAddr) {
    let asked = attempt.asked();
    let made = match attempt.shows {
        Shows::Its => client.call(&asked).await.map(|response| response.status()),
        Shows::Nothing => alone(client, None, &asked, gateway).await,
        Shows::Forged => match forged() {
            Ok(credential) => alone(client, Some(&credential), &asked, gateway).await,
            Err(error) => Err(error.to_string()),
        },
    };
    let came = made.map_or_else(|error| error, |status| status.to_string());
    log(&format!("{} https://{}{}: {came}", asked.method, asked.host, asked.target));
}

impl Attempt {
    fn asked(&self) -> Asked {
        let of = |service: &str| format!("{service}.{ORGANISATION}");
        Asked {
            method: self.method,
            host: of(self.service),
            authority: (!self.host.is_empty()).then(|| of(self.host)),
            target: self.target.to_owned(),
            body: self.body.to_owned(),
        }
    }
}

/// On a connection of its own, shown something else than the workload's certificate.
async fn alone(
    client: &mut Client,
    credential: Option<&Credential>,
    asked: &Asked,
    gateway: SocketAddr,
) -> Result<http::StatusCode, String> {
    let known = client.renew().await?;
    let mut connection = way(credential, &known.bundles, &asked.host, gateway)?.open().await?;
    connection.send(request(asked)?).await.map(|response| response.status())
}

/// A certificate in a name that nobody gave us, signed by ourselves.
fn forged() -> Result<Credential, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut wanted = CertificateParams::default();
    wanted.subject_alt_names.push(SanType::URI(COVETED.try_into()?));
    let chain = vec![wanted.self_signed(&key)?.der().clone()];
    Ok(Credential { chain, key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())) })
}

/// What it asks for with the workload's own certificate, on hosts and paths that exist.
#[cfg(test)]
pub(super) fn wants() -> impl Iterator<Item = Asked> {
    let own = FIRST.iter().filter(|attempt| attempt.shows == Shows::Its && attempt.host.is_empty());
    own.filter(|attempt| {
        attempt.service != "vault" && !attempt.target.contains("..") && !attempt.target.contains("%2e")
    })
    .map(Attempt::asked)
}
