//! The files that `countersign init` writes: one domain, two services, policies with reasons, tests. They load and pass
//! without a warning, and teach by their comments.

use types::TrustDomain;

use crate::files::MemoryFiles;

/// The name for which the files are written; the real one takes its place.
const WRITTEN_FOR: &str = "example.internal";

/// Path and content.
const FILES: [(&str, &str); 10] = [
    ("README.md", include_str!("../starter/README.md")),
    ("countersign.yaml", include_str!("../starter/countersign.yaml")),
    ("admin.cedar", include_str!("../starter/admin.cedar")),
    ("policies/guardrails.cedar", include_str!("../starter/policies/guardrails.cedar")),
    ("domains/shop/domain.yaml", include_str!("../starter/domains/shop/domain.yaml")),
    ("domains/shop/apis/orders.yaml", include_str!("../starter/domains/shop/apis/orders.yaml")),
    ("domains/shop/policies/orders.cedar", include_str!("../starter/domains/shop/policies/orders.cedar")),
    ("domains/shop/policies/stock.cedar", include_str!("../starter/domains/shop/policies/stock.cedar")),
    ("domains/shop/tests/orders.yaml", include_str!("../starter/domains/shop/tests/orders.yaml")),
    ("domains/shop/tests/stock.yaml", include_str!("../starter/domains/shop/tests/stock.yaml")),
];

/// The files of a first trust directory for an organisation such as `example.internal`.
pub fn starter(organisation: &TrustDomain) -> MemoryFiles {
    let renamed = |content: &str| content.replace(WRITTEN_FOR, organisation.as_str());
    MemoryFiles::new(FILES.iter().map(|(path, content)| (*path, renamed(content))))
}
