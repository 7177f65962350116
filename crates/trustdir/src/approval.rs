//! Whose approval a change needs (docs/decisions, "Operators, roles, approvals").
//!
//! Judged by the revision that runs, never by the one that is to come: nobody becomes an owner by publishing that they are.

use std::collections::{BTreeMap, BTreeSet};

use policy::Act;
use thiserror::Error;
use types::Label;

use crate::{
    operator::{Folder, Operator, Owner},
    revision::Revision,
};

mod loosening;

/// One approval that a change needs: of any of these owners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// What they own.
    pub folder: Folder,
    /// The owners under the current revision. At least one.
    pub owners: Vec<Owner>,
    /// The organisation's owners, who satisfy every need. Empty where it names none.
    pub above: Vec<Owner>,
    /// What asks for it, in order: a path such as `domains/finance/policies/ledger.cedar`, or a sentence such as
    /// `finance: the mode of every check goes from enforce to shadow`.
    pub because: Vec<String>,
}

impl Need {
    /// Whether the approval of this operator is enough.
    pub fn satisfied_by(&self, operator: &str) -> bool {
        self.owners.iter().chain(&self.above).any(|owner| owner.name() == operator)
    }
}

/// The approvals that a candidate needs to become current: of the owners of each folder that it touches, and of the
/// organisation's for everything outside `domains`, for a domain that comes or goes, and for whatever loosens a check.
/// `changed` are the paths of the files that differ. The organisation's needs come first; nothing is needed where nobody
/// is named as owner.
pub fn needs(current: &Revision, candidate: &Revision, changed: &[String]) -> Vec<Need> {
    let mut because: BTreeMap<Folder, BTreeSet<String>> = BTreeMap::new();
    let mut ask = |folder: Folder, words: String| {
        because.entry(folder).or_default().insert(words);
    };
    for path in changed {
        let folders = touched(current, candidate, path);
        folders.into_iter().for_each(|folder| ask(folder, path.clone()));
    }
    for words in loosening::of(current, candidate) {
        ask(Folder::Organisation, words);
    }
    let above = current.owners_of(&Folder::Organisation);
    let need = |(folder, because): (Folder, BTreeSet<String>)| {
        let (owners, because) = (current.owners_of(&folder).to_vec(), because.into_iter().collect());
        (!owners.is_empty()).then(|| Need { folder, owners, above: above.to_vec(), because })
    };
    because.into_iter().filter_map(need).collect()
}

/// The folders that a file belongs to. One of a domain that comes or goes is the organisation's too. A domain that names
/// no owners is the organisation's.
fn touched(current: &Revision, candidate: &Revision, path: &str) -> Vec<Folder> {
    let name = path.strip_prefix("domains/").and_then(|rest| rest.split_once('/'));
    let Some(domain) = name.and_then(|(name, _)| Label::parse(name).ok()) else { return vec![Folder::Organisation] };
    let owned = current.domains().get(&domain).is_some_and(|domain| !domain.owners.is_empty());
    let stays = current.domains().contains_key(&domain) && candidate.domains().contains_key(&domain);
    let own = owned.then_some(Folder::Domain(domain));
    let organisation = (!(owned && stays)).then_some(Folder::Organisation);
    own.into_iter().chain(organisation).collect()
}

/// Why a revision must not become current: nobody could undo it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct NoWayBack {
    /// What nobody could do.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Whether somebody could publish and roll back once this revision is current, and all approvals that the rollback of any
/// change needs could be given: by the operator who rolls back, or by others.
///
/// # Errors
/// [`NoWayBack`] with what nobody could do.
pub fn leaves_a_way_back(candidate: &Revision) -> Result<(), NoWayBack> {
    [Act::Rollback, Act::Publish].into_iter().try_for_each(|act| somebody_can(candidate, act))
}

fn somebody_can(candidate: &Revision, act: Act<'_>) -> Result<(), NoWayBack> {
    let may = |who: &Owner, act| candidate.policies().may(who.name(), act).reason.is_none();
    let heard = heard(candidate);
    let doers: Vec<&Owner> = heard.iter().filter(|who| may(who, act)).collect();
    if doers.is_empty() {
        let why = candidate.policies().may(Owner::Local.name(), act).note;
        let message = format!("after it nobody could {}: {why}", act.as_str());
        let hint = "let admin.cedar permit it to Operator::\"local\", whoever owns the data directory".to_owned();
        return Err(NoWayBack { message, hint });
    }
    let above = candidate.owners_of(&Folder::Organisation);
    let approvable = |doer: &Owner, folder: &Folder| {
        let mut owners = candidate.owners_of(folder).iter().chain(above).peekable();
        owners.peek().is_none()
            || owners.any(|owner| heard.contains(owner) && (owner == doer || may(owner, Act::Approve)))
    };
    let folders =
        || core::iter::once(Folder::Organisation).chain(candidate.domains().keys().cloned().map(Folder::Domain));
    let stuck = |doer: &Owner| folders().find(|folder| !approvable(doer, folder));
    // Every doer gets stuck somewhere; the first tells where.
    let first = doers.iter().copied().map(stuck).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next());
    match first {
        None => Ok(()),
        Some(folder) => Err(nobody_approves(candidate, act, &folder)),
    }
}

/// Those who can ask at all: by a user id, or with a certificate, where somebody is left who may make one.
fn heard(candidate: &Revision) -> BTreeSet<Owner> {
    let named = |who: &dyn Fn(&Operator) -> bool| {
        let found = candidate.operators().iter().filter(|(_, operator)| who(operator));
        found.map(|(name, _)| Owner::Operator(name.clone())).collect::<BTreeSet<_>>()
    };
    let mut heard = named(&|operator| operator.uid.is_some());
    heard.insert(Owner::Local);
    if heard.iter().any(|who| candidate.policies().may(who.name(), Act::Certify).reason.is_none()) {
        heard.append(&mut named(&|_| true));
    }
    heard
}

fn nobody_approves(candidate: &Revision, act: Act<'_>, folder: &Folder) -> NoWayBack {
    let owners: Vec<String> = candidate.owners_of(folder).iter().map(|owner| format!("`{owner}`")).collect();
    let of = match folder {
        Folder::Organisation => "the organisation".to_owned(),
        Folder::Domain(name) => name.to_string(),
    };
    let doing = if act == Act::Publish { "publication" } else { act.as_str() };
    let owners = owners.join(", ");
    let above = candidate.owners_of(&Folder::Organisation);
    let mut all = candidate.owners_of(folder).iter().chain(above);
    let (why, hint) = if all.any(|owner| candidate.policies().may(owner.name(), Act::Approve).reason.is_none()) {
        let hint = "give one of them a `uid`, or let admin.cedar permit `certify` to Operator::\"local\"";
        ("none has a `uid`, and nobody may certify them", hint)
    } else {
        ("none may approve", "give one of them the role `owner` or `security`, or name another owner")
    };
    let message = format!("after it a {doing} could be approved by nobody: of {of}'s owners ({owners}) {why}");
    NoWayBack { message, hint: hint.to_owned() }
}
