//! The double's identities, keys and federated trust domains.

use api::admin::{
    Budget, BudgetLine, Failure, FailureCode, Federated, Held, Keys, Registered, Rotate, Rotation, RotationAct,
    RotationPhase,
};
use types::{KeyKind, Timestamp};

use super::{Double, World};

impl Double {
    pub fn registered(&self, now: Timestamp) -> Vec<Registered> {
        let one = |domain: &str, name: &str, rules: &[&str], held: Vec<Held>| Registered {
            spiffe_id: format!("spiffe://{domain}.acme.internal/{name}"),
            workload: format!("{domain}/{name}"),
            key: KeyKind::P256,
            ttl_seconds: 3_600,
            rules: rules.iter().map(|rule| self.foreign(rule)).collect(),
            runs_on: Some(vec![self.foreign("vm-pay")]),
            revoked: false,
            held,
        };
        let held = |node: &str, seconds: u64, failures| Held {
            node: self.foreign(node),
            serial: "5c1e08".into(),
            not_after: now.plus_seconds(seconds),
            failures,
            connected: failures < 9,
        };
        match self.world {
            World::Empty => Vec::new(),
            World::Large => (0..400)
                .map(|at| {
                    let name = format!("caller-{at}");
                    one("domain-3", &name, &["unix uid:1001"], vec![held("vm-1", 1_800, u32::from(at == 399))])
                })
                .collect(),
            World::Acme | World::Hostile => {
                let payments =
                    ["unix uid:1001 path:/opt/payments/bin", "k8s prod/pay/payments, systemd payments.service"];
                let many = (0..6).map(|at| held(&format!("vm-pay-{at}"), 1_500 + at * 60, 0)).collect();
                let web = Registered {
                    spiffe_id: self.foreign("spiffe://cluster.local/ns/a/sa/web"),
                    runs_on: None,
                    ..one("hr", "web", &[], Vec::new())
                };
                let intranet = one("internal-tools", "intranet", &["unix uid:1009"], vec![held("vm-in-1", 1_200, 0)]);
                let ledger = Registered { runs_on: None, ..one("finance", "ledger", &["unix uid:1002"], many) };
                vec![
                    ledger,
                    one("finance", "month-end", &["unix uid:1003"], Vec::new()),
                    one("finance", "payments", &payments, vec![held("vm-pay-1", 1_740, 3), held("vm-pay-2", 2_600, 9)]),
                    web,
                    Registered { revoked: true, key: KeyKind::Rsa2048, ..intranet },
                ]
            }
        }
    }

    pub fn outage_budget(&self, now: Timestamp) -> Budget {
        let registered = self.registered(now);
        let held = registered.iter().flat_map(|one| one.held.iter().map(move |held| (one, held)));
        let mut first: Vec<BudgetLine> = held
            .map(|(one, held)| BudgetLine {
                spiffe_id: one.spiffe_id.clone(),
                node: held.node.clone(),
                not_after: held.not_after,
                seconds: held.not_after.micros_since(now) / 1_000_000,
            })
            .collect();
        first.sort_by_key(|line| line.not_after);
        let counted = first.len() as u64;
        first.truncate(12);
        let unknown = self.foreign("agent/vm-pay-2 joined and never said what it holds");
        Budget {
            at: now,
            first_failure: first.first().map(|line| line.not_after),
            seconds: first.first().map(|line| line.seconds),
            first,
            counted,
            unknown: if self.world == World::Empty { Vec::new() } else { vec![unknown] },
        }
    }

    /// The keys of every domain, at rest but for one.
    pub fn keys(&self, now: Timestamp) -> Vec<Rotation> {
        let domains: Vec<String> = self.domains();
        let key = |domain: &String, keys: Keys| Rotation {
            domain: domain.clone(),
            keys,
            phase: RotationPhase::Idle,
            since: None,
            held: false,
            current: if keys == Keys::X509 { "9f86d081884c7d65".repeat(4) } else { "a1b2c3d4e5f60718".into() },
            other: String::new(),
            key: KeyKind::P256,
            waiting_for: Vec::new(),
            given_up: Vec::new(),
            retires_at: None,
            not_after: (keys == Keys::X509).then(|| now.plus_seconds(86_400 * 3_000)),
            reach: None,
        };
        let of = |keys| domains.iter().map(move |domain| key(domain, keys)).collect::<Vec<_>>();
        let mut all = of(Keys::X509);
        all.extend(of(Keys::Jwt));
        all
    }

    fn domains(&self) -> Vec<String> {
        match self.world {
            World::Empty => Vec::new(),
            World::Large => (0..12).map(|at| format!("domain-{at}")).collect(),
            World::Acme | World::Hostile => ["finance", "hr", "internal-tools", "platform"].map(str::to_owned).to_vec(),
        }
    }

    /// One that waits, and one that only waits for time.
    pub fn moving(&self, now: Timestamp) -> Vec<Rotation> {
        let mut all = self.keys(now);
        if let Some(finance) = all.iter_mut().find(|one| one.domain == "finance" && one.keys == Keys::X509) {
            finance.phase = RotationPhase::Published;
            finance.since = Some(Self::before(now, 340));
            finance.other = "03ac674216f3e15c".repeat(4);
            finance.waiting_for = vec![
                self.foreign("proxy/edge-3, not connected since 09:09, runs the bundles of before"),
                "agent/vm-pay-2, which was never heard".into(),
            ];
            finance.given_up = vec![self.foreign("proxy/edge-9, not heard for 8 days")];
        }
        if let Some(hr) = all.iter_mut().find(|one| one.domain == "hr" && one.keys == Keys::Jwt) {
            hr.phase = RotationPhase::Signing;
            hr.since = Some(Self::before(now, 40));
            hr.other = "0000aaaabbbbcccc".into();
            hr.retires_at = Some(now.plus_seconds(260));
        }
        all
    }

    /// Forward, back, or at once.
    pub fn rotated(&self, operator: &str, request: &Rotate) -> Result<Rotation, Failure> {
        if operator == "vera" {
            return Err(Failure::new(FailureCode::NotAllowed, "no policy permits operator `vera` to rotate", ""));
        }
        let mut all = self.rotations.lock().unwrap();
        let found = all.iter_mut().find(|one| one.domain == request.domain && one.keys == request.keys);
        let missing = || Failure::new(FailureCode::NotFound, format!("there is no domain `{}`", request.domain), "");
        let found = found.ok_or_else(missing)?;
        match request.act {
            RotationAct::Start if found.phase == RotationPhase::Idle => {
                found.phase = RotationPhase::Published;
                found.other = "03ac674216f3e15c".repeat(4);
            }
            RotationAct::Start => found.held = false,
            RotationAct::Back if found.phase == RotationPhase::Idle => {
                return Err(Failure::new(FailureCode::Conflict, "nothing rotates there", "see the list"));
            }
            RotationAct::Back => (found.phase, found.held) = (RotationPhase::Prepared, true),
            RotationAct::Emergency => {
                found.current = "03ac674216f3e15c".repeat(4);
                found.phase = RotationPhase::Idle;
            }
        }
        Ok(found.clone())
    }

    pub fn foreign_domains(&self, now: Timestamp) -> Vec<Federated> {
        let one = |name: &str, roots, fetched: Option<u64>, problem: &str| Federated {
            trust_domain: name.into(),
            url: self.foreign(&format!("https://bundles.{name}/bundle.json")),
            profile: "https_web".into(),
            roots,
            sequence: (roots > 0).then_some(41),
            fetched: fetched.map(|ago| Self::before(now, ago)),
            next: Some(now.plus_seconds(200)),
            problem: if problem.is_empty() { String::new() } else { self.foreign(problem) },
        };
        match self.world {
            World::Acme | World::Hostile => vec![
                one("cluster.local", 2, Some(90), ""),
                one(
                    "partner.example",
                    1,
                    Some(90_000),
                    "the server's certificate is not valid for bundles.partner.example",
                ),
                one("gone.example", 0, Some(30), ""),
                one("new.example", 1, None, ""),
            ],
            World::Empty | World::Large => Vec::new(),
        }
    }
}
