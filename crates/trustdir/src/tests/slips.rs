//! A table of slips in the wide directory: what each is told, what it loses, and what it speaks of.

/// One slip.
pub(super) struct Slip {
    pub(super) name: &'static str,
    /// File, text, and what stands there instead. Without a text the file is a new one, and with neither it is gone.
    pub(super) edits: &'static [(&'static str, &'static str, &'static str)],
    /// `severity code path` of each problem.
    pub(super) told: &'static [&'static str],
    /// What is not known until it is mended.
    loses: &'static [&'static str],
    /// What must be known for it to be told.
    speaks: &'static [&'static str],
    /// Whether it is one of those that are found together in one run.
    pub(super) is_in_the_whole: bool,
}

impl Slip {
    /// Whether nothing is unknown because of it.
    pub(super) fn is_harmless(&self) -> bool {
        self.loses.is_empty()
    }

    /// Whether another slip cannot be told beside this one.
    pub(super) fn hides(&self, other: &Self) -> bool {
        other.speaks.iter().any(|name| self.loses.contains(name))
    }

    const fn loses(self, loses: &'static [&'static str]) -> Self {
        Self { loses, ..self }
    }

    const fn speaks(self, speaks: &'static [&'static str]) -> Self {
        Self { speaks, ..self }
    }

    const fn in_the_whole(self) -> Self {
        Self { is_in_the_whole: true, ..self }
    }
}

const fn slip(
    name: &'static str,
    edits: &'static [(&'static str, &'static str, &'static str)],
    told: &'static [&'static str],
) -> Slip {
    Slip { name, edits, told, loses: &[], speaks: &[], is_in_the_whole: false }
}

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";
const HR: &str = "domains/hr/domain.yaml";
const LEGAL: &str = "domains/legal/domain.yaml";

/// What can be lost: the file of a domain, its `names` (services and workloads), `consent` and `policies`; the `routes`
/// of a service; anybody's `hosts`; `domains` of the organisation, its `floor`, `operators` and
/// `nodes`.
pub(super) const SLIPS: &[Slip] = &[
    // What loses nothing.
    slip(
        "unknown key",
        &[(HR, "domain: hr\n", "domain: hr\nsurprise: 1\n")],
        &["error yaml.unknown-key domains/hr/domain.yaml"],
    )
    .in_the_whole(),
    slip(
        "unknown list",
        &[(LEGAL, "domain: legal\n", "domain: legal\nstewards: [group:corp/legal]\n")],
        &["error yaml.unknown-key domains/legal/domain.yaml"],
    )
    .speaks(&["legal file"]),
    slip(
        "bad duration",
        &[(FIN, "    sensitivity: confidential\n", "    sensitivity: confidential\n    limits: { idle: 1x }\n")],
        &["error value.bad domains/finance/domain.yaml"],
    )
    .speaks(&["finance file"])
    .in_the_whole(),
    slip(
        "bad value",
        &[(FIN, "    sensitivity: confidential\n", "    sensitivity: secret\n")],
        &["error value.unknown domains/finance/domain.yaml"],
    )
    .speaks(&["finance file"]),
    slip(
        "bad mode",
        &[(LEGAL, "workloads:\n", "mode: weak\nworkloads:\n")],
        &["error value.unknown domains/legal/domain.yaml"],
    )
    .speaks(&["legal file"]),
    slip(
        "no such check",
        &[(HR, "domain: hr\n", "domain: hr\nmodes: { consents: shadow }\n")],
        &["error modes.check domains/hr/domain.yaml"],
    ),
    slip(
        "no such policy to relax",
        &[(LEGAL, "domain: legal\n", "domain: legal\nmodes: { policy.freeze: shadow }\n")],
        &["error modes.policy domains/legal/domain.yaml"],
    )
    .speaks(&["legal file", "legal policies"]),
    slip(
        "open and asking for identity",
        &[(HR, "{id}\": {}", "{id}\": { requires: { identity: required }, insecure_open: true }")],
        &["error value.bad domains/hr/domain.yaml"],
    )
    .speaks(&["hr/people file"]),
    slip(
        "bad time zone",
        &[(ORG, "organisation: acme.internal\n", "organisation: acme.internal\ntimezone: Mars/Olympus\n")],
        &["error value.bad countersign.yaml"],
    )
    .in_the_whole(),
    slip(
        "bad name of the organisation",
        &[(ORG, "acme.internal", "acme..internal")],
        &["error value.bad countersign.yaml"],
    ),
    slip("bad rule", &[(LEGAL, "uid: 1003", "uid: clerk")], &["error yaml.type domains/legal/domain.yaml"])
        .speaks(&["legal file"]),
    slip(
        "plain text",
        &[(LEGAL, "http://127.0.0.1:7301", "http://10.0.0.1:7301")],
        &["error upstream.plaintext domains/legal/domain.yaml"],
    )
    .speaks(&["legal file", "legal services"]),
    slip(
        "bad value of a route",
        &[(HR, "\"GET /people/{id}\": {}", "\"GET /people/{id}\": 7")],
        &["error yaml.type domains/hr/domain.yaml"],
    )
    .speaks(&["hr/people file"]),
    slip(
        "bad value of a test",
        &[("domains/finance/tests/ledger.yaml", "risk: 20", "risk: 101")],
        &["error value.bad domains/finance/tests/ledger.yaml"],
    )
    .in_the_whole(),
    slip(
        "no reason",
        &[("domains/hr/policies/a.cedar", "", "@id(\"a\")\nforbid (principal, action, resource);\n")],
        &["error cedar.reason domains/hr/policies/a.cedar"],
    )
    .in_the_whole(),
    slip(
        "misspelt reason",
        &[("domains/hr/policies/b.cedar", "", "@id(\"b\")\n@raeson(\"r\")\nforbid (principal, action, resource);\n")],
        &["error cedar.annotation domains/hr/policies/b.cedar"],
    ),
    slip(
        "no reason, and a slip in the policy",
        &[(
            "domains/hr/policies/c.cedar",
            "",
            "@id(\"c\")\nforbid (principal == Workload::\"nobody\", action, resource);\n",
        )],
        &["error cedar.reason domains/hr/policies/c.cedar", "error cedar.unknown-literal domains/hr/policies/c.cedar"],
    ),
    slip(
        "unknown attribute",
        &[(
            "domains/hr/policies/d.cedar",
            "",
            "@id(\"d\")\n@reason(\"r\")\nforbid (principal, action == \
            Action::\"GET\", resource) when { context.rsk > 1 };\n",
        )],
        &["error cedar.validation domains/hr/policies/d.cedar"],
    )
    .in_the_whole(),
    slip(
        "unknown domain in a policy",
        &[(
            "domains/hr/policies/e.cedar",
            "",
            "@id(\"e\")\n@reason(\"r\")\nforbid (principal \
            in Domain::\"lagel\", action, resource);\n",
        )],
        &["error cedar.unknown-literal domains/hr/policies/e.cedar"],
    )
    .speaks(&["domains"])
    .in_the_whole(),
    // What contradicts something else.
    slip(
        "ambiguous routes",
        &[(
            HR,
            "      \"GET /people/{id}\": {}\n",
            "      \"GET /people/{id}\": {}\n      \"GET /people/{name}\": {}\n",
        )],
        &["error route.ambiguous domains/hr/domain.yaml"],
    )
    .speaks(&["hr/people file"])
    .in_the_whole(),
    slip(
        "claimed twice",
        &[(HR, "[hr.acme.internal]", "[hr.acme.internal, hr.acme.internal/people]")],
        &["error host.claimed-twice domains/hr/domain.yaml"],
    )
    .loses(&["hr hosts"])
    .speaks(&["hr file", "hr/people hosts"])
    .in_the_whole(),
    slip(
        "claimed by two domains",
        &[(LEGAL, "[legal.acme.internal]", "[legal.acme.internal, ledger.acme.internal]")],
        &["error host.two-domains domains/legal/domain.yaml"],
    )
    .speaks(&["legal file", "legal services", "finance file", "finance hosts"]),
    slip(
        "below the floor",
        &[(LEGAL, "domain: legal\n", "domain: legal\nsvid: { ttl: 2d }\n")],
        &["error settings.below-floor domains/legal/domain.yaml"],
    )
    .speaks(&["floor", "legal file"])
    .in_the_whole(),
    slip(
        "an owner who is no operator",
        &[(LEGAL, "domain: legal\n", "domain: legal\nowners: [operator:alice]\n")],
        &["error name.unknown-operator domains/legal/domain.yaml"],
    )
    .speaks(&["operators", "legal file"])
    .in_the_whole(),
    slip(
        "a group that there is none of",
        &[(LEGAL, "clerk: { ", "clerk: { runs_on: [vm-legal], ")],
        &["error name.unknown-group domains/legal/domain.yaml"],
    )
    .speaks(&["nodes", "legal file"])
    .in_the_whole(),
    slip(
        "staler than the floor",
        &[
            (ORG, "organisation: acme.internal\n", "organisation: acme.internal\nfloor: { when_stale: { after: 1h } }\n"),
            (LEGAL, "domain: legal\n", "domain: legal\nwhen_stale: { after: 2h }\n"),
        ],
        &["error settings.below-floor domains/legal/domain.yaml"],
    )
    .speaks(&["floor", "legal file"]),
    slip(
        "an administrator who is nobody",
        &[(
            "admin.cedar",
            "",
            "@id(\"ci\")\n@reason(\"r\")\npermit (principal == Operator::\"ci\", action == Action::\"publish\", resource);\n",
        )],
        &["warning cedar.unknown-operator admin.cedar"],
    )
    .speaks(&["operators"]),
    slip(
        "one-sided consent",
        &[(FIN, "calls: {", "accepts_from: { hr: [ledger] }\ncalls: {")],
        &["warning consent.one-sided domains/finance/domain.yaml"],
    )
    .speaks(&["finance file", "finance consent", "hr consent"])
    .in_the_whole(),
    slip(
        "a permit without consent",
        &[(
            "domains/legal/policies/f.cedar",
            "",
            "@id(\"f\")\n@reason(\"r\")\npermit (principal == Workload::\"hr/jobs\", \
            action, resource in Service::\"legal/cases\");\n",
        )],
        &["warning cedar.never-allows domains/legal/policies/f.cedar"],
    )
    .speaks(&["hr names", "legal names", "hr consent", "legal consent"]),
    // What names nothing, or what is another's.
    slip(
        "foreign literal",
        &[(
            "domains/finance/policies/g.cedar",
            "",
            "@id(\"g\")\n@reason(\"r\")\nforbid (principal, \
            action, resource in Service::\"hr/jobs\");\n",
        )],
        &["error cedar.foreign-resource domains/finance/policies/g.cedar"],
    )
    .speaks(&["hr names"])
    .in_the_whole(),
    slip(
        "unknown workload in a policy",
        &[(
            "domains/hr/policies/h.cedar",
            "",
            "@id(\"h\")\n@reason(\"r\")\nforbid (principal == \
            Workload::\"finance/payment\", action, resource);\n",
        )],
        &["error cedar.unknown-literal domains/hr/policies/h.cedar"],
    )
    .speaks(&["finance names"])
    .in_the_whole(),
    slip(
        "unknown service in a guardrail",
        &[(
            "policies/i.cedar",
            "",
            "@id(\"i\")\n@reason(\"r\")\nforbid (principal, \
            action, resource in Service::\"hr/peeple\");\n",
        )],
        &["error cedar.unknown-literal policies/i.cedar"],
    )
    .speaks(&["hr names"]),
    slip(
        "unknown route in a guardrail",
        &[(
            "policies/j.cedar",
            "",
            "@id(\"j\")\n@reason(\"r\")\nforbid (principal, action, \
            resource == Route::\"legal/cases GET /casez\");\n",
        )],
        &["error cedar.unknown-literal policies/j.cedar"],
    )
    .speaks(&["legal names", "legal/cases routes"]),
    slip(
        "no pseudo-route",
        &[(
            "policies/k.cedar",
            "",
            "@id(\"k\")\n@reason(\"r\")\nforbid (principal, \
            action, resource == Route::\"hr/people *\");\n",
        )],
        &["error cedar.unknown-literal policies/k.cedar"],
    )
    .speaks(&["hr/people routes"]),
    slip(
        "unknown service that is called",
        &[(FIN, "[hr/people]", "[hr/people, hr/peeple]")],
        &["error name.unknown-service domains/finance/domain.yaml"],
    )
    .loses(&["finance consent"])
    .speaks(&["finance file", "hr names"]),
    slip(
        "unknown domain that is accepted",
        &[(HR, "{ finance: [people] }", "{ finance: [people], legl: [people] }")],
        &["error name.unknown-domain domains/hr/domain.yaml"],
    )
    .loses(&["hr consent"])
    .speaks(&["domains"]),
    slip(
        "unknown caller of a test",
        &[(
            "domains/finance/tests/l.yaml",
            "",
            "- { name: l, call: { as: finance/payment, request: \
            GET https://hr.acme.internal/x }, expect: deny }\n",
        )],
        &["error name.unknown-workload domains/finance/tests/l.yaml"],
    )
    .speaks(&["finance names"])
    .in_the_whole(),
    slip(
        "unknown host of a test",
        &[(
            "domains/finance/tests/m.yaml",
            "",
            "- { name: m, call: { as: nobody, request: GET \
            https://leger.acme.internal/x }, expect: deny }\n",
        )],
        &["error name.unknown-host domains/finance/tests/m.yaml"],
    )
    .speaks(&["hosts"]),
    slip(
        "unlisted route of a test",
        &[(
            "domains/finance/tests/n.yaml",
            "",
            "- { name: n, call: { as: nobody, request: GET \
            https://legal.acme.internal/casez }, expect: deny }\n",
        )],
        &["warning test.unlisted domains/finance/tests/n.yaml"],
    )
    .speaks(&["legal hosts", "legal/cases routes"]),
    slip(
        "unlisted route of a test, under a prefix",
        &[(
            "domains/finance/tests/t.yaml",
            "",
            "- { name: t, call: { as: nobody, request: GET \
            https://hr.acme.internal/people/7/8 }, expect: deny }\n",
        )],
        &["warning test.unlisted domains/finance/tests/t.yaml"],
    )
    .speaks(&["hr hosts", "hr/people routes"]),
    slip(
        "unknown policy of a test",
        &[(
            "domains/finance/tests/o.yaml",
            "",
            "- { name: o, call: { as: nobody, request: GET https://hr.acme.internal/x \
            }, expect: deny, by: legal/clerk-reads-case }\n",
        )],
        &["error name.unknown-policy domains/finance/tests/o.yaml"],
    )
    .speaks(&["legal policies"]),
    slip(
        "unknown generated policy of a test",
        &[(
            "domains/finance/tests/p.yaml",
            "",
            "- { name: p, call: { as: nobody, request: GET https://hr.acme.internal/x \
            }, expect: deny, by: hr/consent.calls.peeple }\n",
        )],
        &["error name.unknown-policy domains/finance/tests/p.yaml"],
    )
    .speaks(&["hr names", "policies"])
    .in_the_whole(),
    slip(
        "unknown domain that is another's name",
        &[(HR, "{ finance: [people] }", "{ finance: [people], law: [people] }")],
        &["error name.unknown-domain domains/hr/domain.yaml"],
    )
    .loses(&["hr consent"])
    .speaks(&["domains", "law"]),
    // What loses something.
    slip("misspelt services", &[(HR, "services:", "service:")], &["error yaml.unknown-key domains/hr/domain.yaml"])
        .loses(&["hr names", "hr/people file", "hr/people routes", "hr hosts", "hosts", "hr file", "hr consent"]),
    slip(
        "services of another name",
        &[(LEGAL, "services:", "apps:")],
        &["error yaml.unknown-key domains/legal/domain.yaml"],
    )
    .loses(&["legal names", "legal/cases routes", "legal hosts", "hosts", "legal services"]),
    slip(
        "not YAML",
        &[(FIN, "domain: finance\n", "domain: finance\n	calls: {}\n")],
        &["error yaml.syntax domains/finance/domain.yaml"],
    )
    .loses(&["finance file", "finance names", "finance hosts", "hosts", "finance consent"]),
    slip(
        "no description that can be read",
        &[("domains/legal/apis/cases.yaml", "paths:", "paths")],
        &["error yaml.syntax domains/legal/apis/cases.yaml"],
    )
    .loses(&["legal/cases routes"])
    .speaks(&["legal services", "legal descriptions"])
    .in_the_whole(),
    slip(
        "no such description",
        &[(LEGAL, "apis/cases.yaml", "apis/casez.json")],
        &["error api.missing domains/legal/domain.yaml"],
    )
    .loses(&["legal/cases routes", "legal descriptions"])
    .speaks(&["legal file", "legal services"]),
    slip(
        "bad route",
        &[(HR, "      \"GET /people/{id}\"", "      \"GET people\": {}\n      \"GET /people/{id}\"")],
        &["error route.template domains/hr/domain.yaml"],
    )
    .loses(&["hr/people routes"])
    .speaks(&["hr/people file"]),
    slip("misspelt hosts", &[(FIN, "hosts:", "host:")], &["error yaml.unknown-key domains/finance/domain.yaml"])
        .loses(&["hosts", "finance hosts"])
        .speaks(&["finance file"]),
    slip(
        "bad name of a workload",
        &[(FIN, "  payments: { attest", "  Payments: { attest")],
        &["error value.name domains/finance/domain.yaml"],
    )
    .loses(&["finance names", "finance consent"])
    .speaks(&["finance file"]),
    slip("a service twice", &[(HR, "  jobs:", "  people:")], &["error yaml.duplicate-key domains/hr/domain.yaml"])
        .loses(&["hr names", "hr hosts", "hosts", "hr file"]),
    slip(
        "bad name of a domain",
        &[("domains/Legal/domain.yaml", "", "domain: legal\n")],
        &["error file.unexpected domains/Legal/domain.yaml"],
    )
    .loses(&["domains", "hosts", "policies", "legal policies"]),
    slip("no domain.yaml", &[(LEGAL, "", "")], &["error domain.missing domains/legal/domain.yaml"]).loses(&[
        "legal services",
        "legal names",
        "legal/cases routes",
        "legal hosts",
        "hosts",
        "policies",
        "legal policies",
        "legal consent",
    ]),
    slip(
        "another name than the folder",
        &[(LEGAL, "domain: legal", "domain: law")],
        &["error domain.folder domains/legal/domain.yaml"],
    )
    .loses(&["law", "hosts", "policies", "legal policies", "legal consent"])
    .speaks(&["legal file"]),
    slip(
        "another ending",
        &[(LEGAL, "", ""), ("domains/legal/domain.yml", "", "domain: legal\n")],
        &["error file.unexpected domains/legal/domain.yml"],
    )
    .loses(&["legal services", "legal names", "legal/cases routes", "legal hosts", "hosts", "legal consent"]),
    slip(
        "another ending of a description",
        &[("domains/legal/apis/cases.yaml", "", ""), ("domains/legal/apis/cases.yam", "", "openapi: 3.1.0\n")],
        &["error file.unexpected domains/legal/apis/cases.yam"],
    )
    .loses(&["legal/cases routes", "legal descriptions"]),
    slip(
        "another ending of the organisation",
        &[(ORG, "", ""), ("countersign.yml", "", "organisation: acme.internal\n")],
        &["error file.unexpected countersign.yml"],
    )
    .loses(&["floor", "operators", "nodes"]),
    slip(
        "operators that cannot be read",
        &[(
            ORG,
            "organisation: acme.internal\n",
            "organisation: acme.internal\noperators: { bob: { uid: bob } }\n",
        )],
        &["error yaml.type countersign.yaml"],
    )
    .loses(&["operators"]),
    slip(
        "misspelt groups",
        &[(ORG, "organisation: acme.internal\n", "organisation: acme.internal\nnode: { vm: { join: token } }\n")],
        &["error yaml.unknown-key countersign.yaml"],
    )
    .loses(&["nodes"]),
    slip(
        "misspelt folder",
        &[(
            "domains/legla/policies/r.cedar",
            "",
            "@id(\"r\")\n@reason(\"r\")\nforbid (principal, \
            action, resource in Service::\"legal/cases\");\n",
        )],
        &["error domain.missing domains/legla/domain.yaml"],
    )
    .loses(&["hosts", "policies", "legal policies"]),
    slip(
        "misspelt ending of a policy",
        &[("domains/legal/policies/s.ceder", "", "// empty\n")],
        &["error file.unexpected domains/legal/policies/s.ceder"],
    )
    .loses(&["policies", "legal policies"]),
    slip(
        "a policy that does not parse",
        &[("domains/legal/policies/cases.cedar", "permit (", "permit (;")],
        &[
            "error cedar.syntax domains/legal/policies/cases.cedar",
            "error cedar.syntax domains/legal/policies/cases.cedar",
        ],
    )
    .loses(&["legal policies", "legal/policies/cases.cedar"]),
    slip(
        "no id",
        &[("domains/legal/policies/q.cedar", "", "@reason(\"r\")\nforbid (principal, action, resource);\n")],
        &["error cedar.id domains/legal/policies/q.cedar"],
    )
    .loses(&["legal policies"])
    .in_the_whole(),
    slip(
        "an id twice",
        &[(
            "domains/legal/policies/cases.cedar",
            "@id",
            "@id(\"clerk-reads-cases\")\n@reason(\"r\")\nforbid (principal, action, resource);\n@id",
        )],
        &["error cedar.duplicate-id domains/legal/policies/cases.cedar"],
    )
    .loses(&["legal policies"])
    .speaks(&["legal/policies/cases.cedar"]),
    slip(
        "another value of unlisted_routes",
        &[(HR, "unlisted_routes: judge", "unlisted_routes: always")],
        &["error value.unknown domains/hr/domain.yaml"],
    )
    .speaks(&["hr file"]),
    slip(
        "floor that cannot be read",
        &[(
            ORG,
            "organisation: acme.internal\n",
            "organisation: acme.internal\nfloor: { svid: { ttl: 3 }, mode: strict }\n",
        )],
        &["error value.bad countersign.yaml", "error value.unknown countersign.yaml"],
    )
    .loses(&["floor"]),
];
