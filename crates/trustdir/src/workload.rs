//! A workload of `domain.yaml`: which processes are it, or which identity of another trust domain.

use types::{AttestRule, Label, SpiffeId};

use crate::{
    attest,
    decode::{Fields, Spanned, bad_value, text},
    group,
    problem::{File, quote},
    yaml::Node,
};

/// A workload as written.
pub(crate) struct RawWorkload {
    /// Any of these makes a process this workload. Empty only where that is reported, or where another trust domain issues
    /// its identity.
    pub(crate) rules: Vec<Spanned<AttestRule>>,
    /// The node groups it may run on; absent where nothing is said.
    pub(crate) runs_on: Option<Vec<Spanned<Label>>>,
    /// Its identity, where another trust domain issues it.
    pub(crate) spiffe_id: Option<Spanned<SpiffeId>>,
}

/// Reads a workload.
pub(crate) fn read(node: &Node, file: &File<'_>) -> RawWorkload {
    let nothing = RawWorkload { rules: Vec::new(), runs_on: None, spiffe_id: None };
    let Some(mut fields) = Fields::open(node, file, "a workload") else { return nothing };
    let Some(written) = fields.optional("spiffe_id") else {
        let attest = fields.required("attest", "attest: { any: [ { unix: { uid: 1001, path: /opt/payments/bin } } ] }");
        let rules = attest.map(|node| attest::read(node, file)).unwrap_or_default();
        let runs_on = fields.take("runs_on", group::runs_on);
        fields.finish();
        return RawWorkload { rules, runs_on, spiffe_id: None };
    };
    for (key, why) in [("attest", "nothing here attests it"), ("runs_on", "it is placed there")] {
        if let Some(span) = fields.refuse(key) {
            let message = format!("`{key}` and `spiffe_id` exclude each other");
            let hint = format!("another trust domain issues a `spiffe_id`, so {why}: leave one of the two out");
            file.error("workload.elsewhere", &span, message, Some(hint));
        }
    }
    fields.finish();
    RawWorkload { spiffe_id: read_id(written, file), ..nothing }
}

fn read_id(node: &Node, file: &File<'_>) -> Option<Spanned<SpiffeId>> {
    let example = "such as `spiffe://cluster.local/ns/a/sa/web`";
    let written = text(node, file, &format!("a SPIFFE ID {example}"))?;
    match SpiffeId::parse(written) {
        Ok(id) if id.path().is_empty() => {
            let message = format!("{} names a trust domain and nobody in it", quote(written));
            bad_value(node, file, message, &format!("write the whole ID, {example}"));
            None
        }
        Ok(value) => Some(Spanned { value, span: node.point().clone() }),
        Err(error) => {
            bad_value(node, file, format!("{} is not a SPIFFE ID: {error}", quote(written)), example);
            None
        }
    }
}
