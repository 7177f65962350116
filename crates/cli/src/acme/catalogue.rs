//! Who there is in the example organisation, and on which ports.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
};

/// The organisation's name: the end of its trust domains and of its hosts.
pub const ORGANISATION: &str = "acme.internal";
/// The prober of the load balancer: no workload, and without a certificate.
pub const PROBER: &str = "prober";
/// The domain whose status page it looks at.
pub const PROBED: &str = "platform";

/// A service of the example organisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// The domain that owns it.
    pub domain: &'static str,
    /// Its name, unique in the whole organisation.
    pub name: &'static str,
    /// The port on 127.0.0.1 that the trust directory names as upstream.
    pub port: u16,
}

/// The services, in the order of their ports.
pub const SERVICES: &[Service] = &[
    Service { domain: "finance", name: "ledger", port: 7101 },
    Service { domain: "finance", name: "invoices", port: 7102 },
    Service { domain: "hr", name: "people", port: 7103 },
    Service { domain: "hr", name: "payroll", port: 7104 },
    Service { domain: "internal-tools", name: "directory", port: 7105 },
    Service { domain: "internal-tools", name: "expenses", port: 7106 },
    Service { domain: "platform", name: "deploys", port: 7107 },
    Service { domain: "platform", name: "audit", port: 7108 },
    Service { domain: "platform", name: "status", port: 7109 },
];

/// The standard port of the first service; the others follow it.
const FIRST: u16 = 7101;
/// How many ports from the first on are tried for services whose own port is taken.
const SCANNED: u16 = 400;

/// The workloads that only call, as domain and name. Names are unique in the whole organisation; each service is a
/// workload of its own name besides.
pub const WORKLOADS: &[(&str, &str)] = &[
    ("finance", "payments"),
    ("finance", "month-end"),
    ("finance", "treasury"),
    ("hr", "portal"),
    ("hr", "onboarding"),
    ("hr", "compensation"),
    ("internal-tools", "search"),
    ("internal-tools", "intranet"),
    ("internal-tools", "chatops"),
    ("platform", "ci"),
    ("platform", "access"),
    ("platform", "oncall"),
];

/// The names of everything that has a path of its own: services, the workloads that only call, the prober.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name).chain(WORKLOADS.iter().map(|(_, name)| *name)).chain([PROBER])
}

/// The port on 127.0.0.1 that each service is to use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ports(pub(super) BTreeMap<&'static str, u16>);

impl Ports {
    /// The standard port of each service where it is free now, and the next free one where it is not.
    ///
    /// # Errors
    /// When too few ports of 127.0.0.1 are free.
    pub fn available() -> io::Result<Self> {
        Self::available_from(FIRST)
    }

    /// As [`Ports::available`], but as if the first service's standard port were `first`.
    ///
    /// # Errors
    /// When too few of the [`SCANNED`] ports from `first` on are free.
    pub(super) fn available_from(first: u16) -> io::Result<Self> {
        // All are held until the last is chosen, so that none is given out twice.
        let mut held = BTreeMap::new();
        for service in SERVICES {
            if let Ok(listener) = listen(first.saturating_add(service.port - FIRST)) {
                held.insert(service.name, listener);
            }
        }
        let mut others =
            (first..=first.saturating_add(SCANNED)).skip(SERVICES.len()).filter_map(|port| listen(port).ok());
        for service in SERVICES {
            if !held.contains_key(service.name) {
                let too_few = || io::Error::new(io::ErrorKind::AddrInUse, "too few ports of 127.0.0.1 are free");
                held.insert(service.name, others.next().ok_or_else(too_few)?);
            }
        }
        let port_of = |(name, listener): (&&'static str, &TcpListener)| Ok((*name, listener.local_addr()?.port()));
        held.iter().map(port_of).collect::<io::Result<_>>().map(Self)
    }

    /// The port of a service, or `None` for a name that is no service.
    pub fn get(&self, name: &str) -> Option<u16> {
        self.0.get(name).copied()
    }

    /// The port to use instead of a standard one, or `None` for a port that is no service's.
    pub(super) fn instead_of(&self, standard: u16) -> Option<u16> {
        SERVICES.iter().find(|service| service.port == standard).and_then(|service| self.get(service.name))
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}
