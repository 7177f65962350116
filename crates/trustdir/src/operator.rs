//! Who administers: the operators of `countersign.yaml`, and the owners who approve changes.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use policy::{Act, Policies, model::Role};
use types::Label;

use crate::{
    decode::{Fields, Spanned, bad_value, items, one_of, text, whole},
    domain::named,
    organisation::Organisation,
    problem::{File, quote},
    suggest,
    yaml::{Entry, Node},
};

/// The operator who owns the data directory. It is always there and has no entry.
const LOCAL: &str = "local";

/// Somebody who administers, by name: `Operator::"NAME"` in `admin.cedar`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Operator {
    /// The user id by which the admin socket knows the operator; absent for one who comes with a certificate only.
    pub uid: Option<u32>,
    /// What the operator may without a word in `admin.cedar`. Empty where only that says it.
    pub roles: BTreeSet<Role>,
}

/// Somebody who approves changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// Who owns the data directory.
    Local,
    /// An operator of `countersign.yaml`.
    Operator(Label),
}

impl Owner {
    /// The name in `Operator::"NAME"`.
    pub fn name(&self) -> &str {
        match self {
            Self::Local => LOCAL,
            Self::Operator(name) => name.as_str(),
        }
    }
}

/// `operator:NAME`, as in the trust directory.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operator:{}", self.name())
    }
}

/// A part of the trust directory that has owners.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Folder {
    /// Everything outside `domains`, and what only the organisation decides.
    Organisation,
    /// `domains/NAME`.
    Domain(Label),
}

/// `.` or `domains/NAME`.
impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation => f.write_str("."),
            Self::Domain(name) => write!(f, "domains/{name}"),
        }
    }
}

/// Reads `operators`, and whether all of them could be read.
pub(crate) fn read(node: Option<&Node>, file: &File<'_>) -> (BTreeMap<Label, Operator>, bool) {
    let mut taken: Vec<(u32, Label)> = Vec::new();
    let read = |entry: &Entry| read_operator(&entry.node, file);
    let ((operators, names_are_whole), whole) = file.watch(|| named(node, file, "`operators`", read));
    let mut known = BTreeMap::new();
    for (name, operator) in operators.iter() {
        if name.value.as_str() == LOCAL {
            let hint = "it is the user who owns the data directory, and needs no entry".to_owned();
            file.error("operators.reserved", &name.span, "the name `local` is reserved".to_owned(), Some(hint));
        }
        if let Some(uid) = &operator.uid {
            if let Some((_, other)) = taken.iter().find(|(known, _)| *known == uid.value) {
                let message = format!("the user id {} is `{other}` already", uid.value);
                let hint = "one user is one operator; leave `uid` out for who comes with a certificate".to_owned();
                file.error("operators.uid", &uid.span, message, Some(hint));
            }
            taken.push((uid.value, name.value.clone()));
        }
        let uid = operator.uid.as_ref().map(|uid| uid.value);
        known.insert(name.value.clone(), Operator { uid, roles: operator.roles.clone() });
    }
    (known, names_are_whole && whole)
}

#[derive(Default)]
struct RawOperator {
    uid: Option<Spanned<u32>>,
    roles: BTreeSet<Role>,
}

fn read_operator(node: &Node, file: &File<'_>) -> RawOperator {
    let Some(mut fields) = Fields::open(node, file, "an operator") else { return RawOperator::default() };
    let uid = fields.take("uid", |node, file| {
        let value = whole(node, file, u64::from(u32::MAX - 1)).and_then(|uid| u32::try_from(uid).ok())?;
        Some(Spanned { value, span: node.point().clone() })
    });
    let words = Role::ALL.map(|role| (role.as_str(), role));
    let role = |node: &Node, file: &File<'_>| one_of(node, file, "a role such as `owner`", &words);
    let roles = fields.take("roles", |node, file| Some(items(node, file, "a list of roles", role)));
    fields.finish();
    RawOperator { uid, roles: roles.into_iter().flatten().map(|role| role.value).collect() }
}

/// Reads a list of `owners`.
pub(crate) fn owners(node: &Node, file: &File<'_>) -> Option<Vec<Spanned<Owner>>> {
    Some(items(node, file, "a list of owners such as `operator:alice`", read_owner))
}

fn read_owner(node: &Node, file: &File<'_>) -> Option<Owner> {
    let written = text(node, file, "an owner such as `operator:alice`")?;
    let name = written.strip_prefix("operator:").map(str::trim);
    match name.map(Label::parse) {
        Some(Ok(name)) if name.as_str() == LOCAL => return Some(Owner::Local),
        Some(Ok(name)) => return Some(Owner::Operator(name)),
        Some(Err(error)) => bad_value(node, file, error.to_string(), "an owner is `operator:NAME`"),
        None => {
            let hint = "write `operator:NAME` with a name of `operators` in countersign.yaml, or `operator:local`";
            bad_value(node, file, format!("{} is not an owner", quote(written)), hint);
        }
    }
    None
}

/// Reports owners who are no operators.
pub(crate) fn check_known(owners: &[Spanned<Owner>], organisation: &Organisation, file: &File<'_>) {
    for Spanned { value, span } in owners.iter().filter(|_| organisation.operators_are_known) {
        let Owner::Operator(name) = value else { continue };
        if organisation.operators.contains_key(name) {
            continue;
        }
        let near = suggest::nearest(name.as_str(), organisation.operators.keys().map(Label::as_str).chain([LOCAL]));
        let hint = match near {
            Some(near) => format!("did you mean `operator:{near}`?"),
            None => "add it to `operators` in countersign.yaml".to_owned(),
        };
        let message = format!("there is no operator {}", quote(name.as_str()));
        file.error("name.unknown-operator", span, message, Some(hint));
    }
}

/// Reports owners whose approval would be refused.
pub(crate) fn check_may_approve(owners: &[Spanned<Owner>], policies: &Policies, file: &File<'_>) {
    for Spanned { value, span } in owners {
        if policies.may(value.name(), Act::Approve).reason.is_some() {
            let message = format!("`{value}` is an owner who may not approve anything");
            let hint = format!(
                "give {} the role `owner` or `security`, or let admin.cedar permit the action `approve`",
                value.name()
            );
            file.warn("owners.may-not-approve", span, message, Some(hint));
        }
    }
}

/// Says that the owners of a domain keep nobody out while nobody owns who the operators are.
pub(crate) fn warn_of_no_organisation(owners: &[Spanned<Owner>], file: &File<'_>) {
    let named = owners.iter().find(|owner| matches!(owner.value, Owner::Operator(_)));
    let Some(Spanned { value, span }) = named else { return };
    let message = format!("whoever may publish can become `{value}`: the organisation has no owners");
    let hint = "name `owners` in countersign.yaml, who approve changes of `operators` and admin.cedar".to_owned();
    file.warn("owners.organisation", span, message, Some(hint));
}

/// The operators by user id.
pub(crate) fn by_uid(operators: &BTreeMap<Label, Operator>) -> BTreeMap<u32, Label> {
    operators.iter().filter_map(|(name, operator)| Some((operator.uid?, name.clone()))).collect()
}
