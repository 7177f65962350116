//! The compiler: Cedar files and a model in, policies that can be judged by or everything that is wrong out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Authorizer, Effect, PolicySet, Schema, ValidationMode, Validator};
use types::{Label, PolicyId};

use crate::generate::{self, Generated};
use crate::lost::Lost;
use crate::model::{Domain, Model};
use crate::modes::{self, CONSENT, IDENTITY, Modes, PERMIT, Relaxation};
use crate::policies::{Known, Policies, PolicyInfo, PolicyNames, Relaxed, Set, Tier};
use crate::problem::{Problem, Severity};
use crate::scope::Scope;
use crate::source::{self, Owner, SourceFile, SourcePolicy, Sources, Written};
use crate::{admin_schema, check, consent, entities, literal, schema};

/// The policies of all files, by owner.
struct Read<'s> {
    guardrails: Written,
    domains: BTreeMap<&'s Label, Written>,
    admin: Option<Written>,
}

impl<'s> Read<'s> {
    fn owners(&self) -> impl Iterator<Item = (Owner<'s>, &Written)> {
        let domains = self.domains.iter().map(|(name, written)| (Owner::Domain(name), written));
        let admin = self.admin.iter().map(|written| (Owner::Admin, written));
        core::iter::once((Owner::Guardrails, &self.guardrails)).chain(domains).chain(admin)
    }
}

/// The stack that compiling runs on. Measured on an unoptimised build: 64 nested brackets take 4 MiB and a chain of 1,000
/// operators 16 MiB, which are the limits `cedar_depth` and `cedar_operators`. Only what is used is ever backed by memory.
const STACK_BYTES: usize = 64 << 20;

/// What is wrong with the policies of a directory that cannot be compiled, because something of what they speak about is
/// `lost`; and their names. Finds everything that [`compile`] would find, but for problems that would vanish with the loss.
pub fn check_incomplete(model: &Model, sources: &Sources, lost: &Lost) -> (PolicyNames, Vec<Problem>) {
    stacker::grow(STACK_BYTES, || {
        let mut problems = Vec::new();
        let read = read(sources, &mut problems);
        if let Err(words) = check_read(model, &read, lost, &mut problems) {
            problems.push(internal(words));
        }
        (names(model, &read, lost), sorted(problems))
    })
}

/// Compiles. Every problem of every file is found in one run; there are policies exactly when none of them is an error.
/// One set is made per domain: its own policies, the guardrails and the generated ones.
pub fn compile(model: &Arc<Model>, sources: &Sources) -> (Option<Policies>, Vec<Problem>) {
    compile_part(model, sources, &Lost::default())
}

/// Compiles a part of an organisation whose whole was compiled before: of what is `lost` nothing is here, and policies may
/// name it.
pub fn compile_part(model: &Arc<Model>, sources: &Sources, lost: &Lost) -> (Option<Policies>, Vec<Problem>) {
    stacker::grow(STACK_BYTES, || compile_with_room(model, sources, lost))
}

fn compile_with_room(model: &Arc<Model>, sources: &Sources, lost: &Lost) -> (Option<Policies>, Vec<Problem>) {
    let mut problems = Vec::new();
    let read = read(sources, &mut problems);
    refuse_unknown_domains(model, sources, &mut problems);
    let checked = check_read(model, &read, lost, &mut problems);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let built = checked.and_then(|schema| if failed { Ok(None) } else { build(model, &read, &schema).map(Some) });
    let policies = built.unwrap_or_else(|words| {
        problems.push(internal(words));
        None
    });
    (policies, sorted(problems))
}

/// Words for a fault of ours.
fn internal(words: String) -> Problem {
    Problem::error("cedar.internal", "countersign.yaml", words)
}

/// The names of all policies, and of which owners some could not be read.
fn names(model: &Model, read: &Read<'_>, lost: &Lost) -> PolicyNames {
    let callers = consent::all_callers(model);
    let generated = model.domains.values().flat_map(|domain| generate::policies(model, &callers, domain));
    let written = read.owners().flat_map(|(_, written)| &written.policies).filter(|policy| policy.is_named);
    let unread = read.owners().filter(|(_, written)| !written.names_are_whole);
    let unread = unread.map(|(owner, _)| (owner.scope().to_owned(), owner == Owner::Admin));
    PolicyNames {
        known: generated
            .chain(generate::admin())
            .map(|policy| (policy.id, policy.effect.into()))
            .chain(written.map(|policy| (policy.id.clone(), policy.policy.effect().into())))
            .collect(),
        lost: unread.chain(lost.names.iter().map(|domain| (domain.to_string(), true))).collect(),
        any_lost: lost.policies || lost.domains || !lost.owners.is_empty(),
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.path.clone(), problem.span.clone().map(|span| span.start)));
    problems
}

fn read<'s>(sources: &'s Sources, problems: &mut Vec<Problem>) -> Read<'s> {
    let guardrails = read_files(Owner::Guardrails, &sources.guardrails, problems);
    for permit in guardrails.policies.iter().filter(|policy| policy.policy.effect() == Effect::Permit) {
        let problem = Problem::error("cedar.guardrail-permit", &permit.path, "a guardrail cannot permit");
        let problem = problem.at(permit.span.clone());
        problems.push(problem.hint("guardrails only forbid; write the permit in the domain that is called"));
    }
    let domains = sources.domains.iter();
    Read {
        guardrails,
        domains: domains.map(|(name, files)| (name, read_files(Owner::Domain(name), files, problems))).collect(),
        admin: sources.admin.as_ref().map(|file| read_files(Owner::Admin, core::slice::from_ref(file), problems)),
    }
}

fn read_files(owner: Owner<'_>, files: &[SourceFile], problems: &mut Vec<Problem>) -> Written {
    let mut places: HashMap<PolicyId, String> = HashMap::new();
    let mut all = Written { policies: Vec::new(), names_are_whole: true };
    for file in files {
        let written = source::read(owner, file, problems);
        all.names_are_whole &= written.names_are_whole;
        all.policies.extend(written.policies);
    }
    for policy in &mut all.policies {
        let here = format!("{}:{}", policy.path, policy.line);
        match places.get(&policy.id) {
            None => {
                places.insert(policy.id.clone(), here);
            }
            Some(first) => {
                let message = format!("the id of `{}` is used twice", policy.id);
                let problem = Problem::error("cedar.duplicate-id", &policy.path, message).at(policy.place_of("@id"));
                problems.push(problem.hint(format!("the first is at {first}")));
                policy.unname(owner);
                all.names_are_whole = false;
            }
        }
    }
    all
}

fn refuse_unknown_domains(model: &Model, sources: &Sources, problems: &mut Vec<Problem>) {
    if model.domains.keys().any(|name| name.as_str() == "org") {
        let problem = Problem::error("cedar.reserved-domain", "domains/org/domain.yaml", "the name `org` is reserved");
        problems.push(problem.hint("decisions name the organisation's guardrails `org/…`"));
    }
    for (name, files) in sources.domains.iter().filter(|(name, _)| !model.domains.contains_key(*name)) {
        let path = files.first().map_or("domains", |file| file.path.as_str());
        problems.push(Problem::error("cedar.unknown-domain", path, format!("there is no domain `{name}`")));
    }
}

/// Checks what was read against the model. Problems of the files go to `problems`.
///
/// # Errors
/// Words for a fault of ours: a schema that Cedar does not take.
fn check_read(model: &Model, read: &Read<'_>, lost: &Lost, problems: &mut Vec<Problem>) -> Result<Schema, String> {
    let schema = parse_schema(&schema(model))?;
    let validator = Validator::new(schema.clone());
    let admin_validator = Validator::new(parse_schema(admin_schema())?);
    for (owner, written) in read.owners() {
        let validator = if owner == Owner::Admin { &admin_validator } else { &validator };
        check_written(model, lost, owner, &written.policies, validator, problems);
    }
    Ok(schema)
}

/// Joins what was read and has no error.
///
/// # Errors
/// Words for a fault of ours: an entity or generated policy that Cedar does not take.
fn build(model: &Arc<Model>, read: &Read<'_>, schema: &Schema) -> Result<Policies, String> {
    let validator = Validator::new(schema.clone());
    let (entities, uids) = entities::build(model, schema)?;
    let callers = consent::all_callers(model);
    let mut infos = BTreeMap::new();
    let mut domains = BTreeMap::new();
    for domain in model.domains.values() {
        let own = read.domains.get(&domain.name).into_iter().flat_map(|written| &written.policies);
        let generated = generate::policies(model, &callers, domain);
        let set = join(&domain.modes, own.chain(&read.guardrails.policies), &generated, &mut infos)?;
        refuse_invalid_generated(domain, &generated, &set, &validator)?;
        domains.insert(domain.name.clone(), set);
    }
    let admin = read.admin.iter().flat_map(|written| &written.policies);
    let admin = join(&Modes::default(), admin, &generate::admin(), &mut infos)?;
    let consumers = model.domains.values();
    let consumers = consumers.filter_map(|domain| Some((domain.name.clone(), consent_of(domain)?))).collect();
    let operator = "Operator".parse().map_err(|error| format!("entity type Operator: {error}"))?;
    let (model, authorizer) = (Arc::clone(model), Authorizer::new());
    Ok(Policies { model, authorizer, entities, uids, domains, consumers, admin, operator, infos })
}

/// What relaxes a domain's consent to what its own workloads call.
fn consent_of(domain: &Domain) -> Option<Relaxation> {
    Relaxation::of(CONSENT, domain.modes.consent)
}

/// What relaxes a policy in a domain of these modes.
fn relaxed(modes: &Modes, tier: Tier, id: &PolicyId) -> Option<Relaxed> {
    match tier {
        Tier::Provider => Relaxation::of(CONSENT, modes.consent).map(Relaxed::from),
        Tier::Consumer => None,
        Tier::Requires => Relaxation::of(IDENTITY, modes.identity).map(Relaxed::from),
        Tier::Permit => Relaxation::of(PERMIT, modes.permit).map(Relaxed::from),
        Tier::Written => {
            let own = modes.of_policy(id);
            let relaxation = Relaxation::of(&modes::policy_check(id), own.mode)?;
            Some(Relaxed { relaxation, enforce_for: own.enforce_for })
        }
    }
}

fn parse_schema(text: &str) -> Result<Schema, String> {
    let (schema, _) = Schema::from_cedarschema_str(text).map_err(|error| format!("the schema: {error}"))?;
    Ok(schema)
}

/// Everything that is checked of a written policy once it can be read.
fn check_written(
    model: &Model,
    lost: &Lost,
    owner: Owner<'_>,
    written: &[SourcePolicy],
    validator: &Validator,
    problems: &mut Vec<Problem>,
) {
    for policy in written {
        literal::check(model, lost, owner, policy, problems);
        check::scope(model, lost, owner, policy, problems);
    }
    let set = match PolicySet::from_policies(written.iter().map(|policy| policy.policy.clone())) {
        Ok(set) => set,
        Err(error) => {
            let path = written.first().map_or("", |policy| policy.path.as_str());
            problems.push(Problem::error("cedar.internal", path, error.to_string()));
            return;
        }
    };
    let by_id: HashMap<_, _> = written.iter().map(|policy| (policy.policy.id(), policy)).collect();
    let result = validator.validate(&set, ValidationMode::Strict);
    let place = |id: &cedar_policy::PolicyId| by_id.get(id).copied();
    for error in result.validation_errors() {
        problems.extend(validation(Severity::Error, place(error.policy_id()), &DetailedError::from(error)));
    }
    for warning in result.validation_warnings() {
        problems.extend(validation(Severity::Warning, place(warning.policy_id()), &DetailedError::from(warning)));
    }
}

fn validation(severity: Severity, policy: Option<&SourcePolicy>, error: &DetailedError) -> Option<Problem> {
    let policy = policy?;
    let mut problem = source::from_cedar(severity, "cedar.validation", &policy.path, error);
    problem.span.get_or_insert(policy.span.clone());
    let prefix = format!("for policy `{}`, ", policy.id);
    problem.message = problem.message.replace(&prefix, "");
    problem.hint = problem.hint.map(|hint| hint.replace(&prefix, ""));
    Some(problem)
}

/// Makes one set of written and generated policies.
fn join<'p>(
    modes: &Modes,
    written: impl Iterator<Item = &'p SourcePolicy>,
    generated: &[Generated],
    infos: &mut BTreeMap<PolicyId, PolicyInfo>,
) -> Result<Set, String> {
    let mut set = Set { permit: Relaxation::of(PERMIT, modes.permit), ..Set::default() };
    let mut add = |id: &PolicyId, tier: Tier, policy: cedar_policy::Policy| {
        let words = |error| format!("{id}: {error}");
        let is_written = tier == Tier::Written;
        let tier = if policy.effect() == Effect::Permit { Tier::Permit } else { tier };
        set.known.insert(policy.id().clone(), Known { id: id.clone(), tier, relaxed: relaxed(modes, tier, id) });
        if tier == Tier::Permit {
            // What opens some routes to everyone is near to no call of another one.
            set.permits.extend(is_written.then(|| (id.clone(), Scope::of(&policy))));
            set.only_permits.add(policy.clone()).map_err(words)?;
        }
        set.policies.add(policy).map_err(words)
    };
    for policy in written {
        add(&policy.id, Tier::Written, policy.policy.clone())?;
        infos.entry(policy.id.clone()).or_insert_with(|| written_info(policy));
    }
    for policy in generated {
        let parsed = policy.policy()?;
        infos.insert(policy.id.clone(), generated_info(policy));
        add(&policy.id, policy.tier, parsed)?;
    }
    set.permits.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(set)
}

fn written_info(policy: &SourcePolicy) -> PolicyInfo {
    PolicyInfo {
        id: policy.id.clone(),
        reason: policy.reason.clone(),
        effect: policy.policy.effect().into(),
        path: Some(policy.path.clone()),
        line: Some(policy.line),
        text: policy.text.clone(),
        generated: false,
    }
}

fn generated_info(policy: &Generated) -> PolicyInfo {
    PolicyInfo {
        id: policy.id.clone(),
        reason: policy.reason.clone(),
        effect: policy.effect.into(),
        path: None,
        line: None,
        text: policy.text.clone(),
        generated: true,
    }
}

/// Holds the generated policies against the schema as well: one that could fail at evaluation would deny every call.
fn refuse_invalid_generated(
    domain: &Domain,
    generated: &[Generated],
    set: &Set,
    validator: &Validator,
) -> Result<(), String> {
    let ids = generated.iter().map(|policy| cedar_policy::PolicyId::new(policy.id.as_str()));
    let policies = ids.filter_map(|id| set.policies.policy(&id).cloned());
    let only = PolicySet::from_policies(policies).map_err(|error| format!("{}: {error}", domain.name))?;
    let result = validator.validate(&only, ValidationMode::Strict);
    match result.validation_errors().next() {
        None => Ok(()),
        Some(error) => Err(format!("a generated policy of {}: {error}", domain.name)),
    }
}
