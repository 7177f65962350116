//! The Cedar schema: what policies may speak about. It grows with the sources of its attributes, never ahead of them.

use crate::model::Model;

/// The schema's text without its heading.
const CALLS: &str = r#"// The segments of the business, and what can be called in them.
entity Domain;
entity Service in [Domain] = {
  sensitivity: Long,    // 0 public, 1 internal, 2 confidential, 3 restricted
};
entity Route in [Service] = {
  method: String,       // "GET"; "*" where the service judges routes that it does not list
  template: String,     // "/entries/{id}"; "*" likewise
  effect: String,       // "read" or "write"
  sensitivity: Long,    // as of Service
};

// The callers: the verified peer, or Unidentified::"nobody" where identity is not established.
// A service is itself a workload: Workload::"finance/ledger" is in Service::"finance/ledger".
entity Workload in [Service, Domain];
entity Unidentified;

type Call = {
  risk: Long,           // 0 to 100
  ip?: ipaddr,          // the address that the call came from
  now: datetime,        // in UTC
  weekday: Long,        // 1 Monday to 7 Sunday, in the organisation's time zone
  minute_of_day: Long,  // 0 to 1439, in the organisation's time zone
};

// The action is the method of the request.
action read, write;
action GET, HEAD, OPTIONS in [read] appliesTo {
  principal: [Workload, Unidentified],
  resource: [Route],
  context: Call,
};
action POST, PUT, PATCH, DELETE in [write] appliesTo {
  principal: [Workload, Unidentified],
  resource: [Route],
  context: Call,
};
"#;

/// The schema of `admin.cedar`.
const ADMIN: &str = r#"// Administrative acts. Operator::"local" is the user who owns the data directory. That operator may do everything but
// impersonate without a permit, and the operators of countersign.yaml may what their roles stand for, as far as nothing
// here forbids it. For everything else a permit is needed.
entity Role;            // "viewer", "operator", "owner", "security"
entity Operator in [Role];
entity Organisation;    // the one that countersign.yaml names
entity Domain;
entity Workload in [Domain];

// To be issued a short-lived certificate of a workload, which records name as such.
action impersonate appliesTo {
  principal: [Operator],
  resource: [Workload],
};

// To see what control knows; to use the console. Roles: all.
action view, login appliesTo {
  principal: [Operator],
  resource: [Organisation],
};

// To make a trust directory the current revision; to make an earlier revision current again. Roles: owner.
// To approve either where it waits for owners, of whom the operator must be one. Roles: owner, security.
action publish, rollback, approve appliesTo {
  principal: [Operator],
  resource: [Organisation],
};

// To let a proxy or an agent join. Roles: operator. To forget one for good. Roles: operator, security.
// To give an operator a certificate: whoever may do this can act as any operator. Roles: none.
// To begin, take back or force the rotation of a domain's keys. Roles: security.
action join, retire, certify, rotate appliesTo {
  principal: [Operator],
  resource: [Organisation],
};

// To take trust away, and to give it back. The resource is the workload whose SPIFFE ID is named, so that an operator can
// be permitted the workloads of a domain; for everything else it is the organisation. Roles: operator, security.
action revoke, restore appliesTo {
  principal: [Operator],
  resource: [Organisation, Workload],
};
"#;

/// The Cedar schema for the policies of calls, headed by the organisation it is for.
pub fn schema(model: &Model) -> String {
    format!("// What policies of {} may speak about.\n\n{CALLS}", model.organisation)
}

/// The Cedar schema for `admin.cedar`.
pub fn admin_schema() -> &'static str {
    ADMIN
}
