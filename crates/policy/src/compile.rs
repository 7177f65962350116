//! The compiler: Cedar files and a model in, policies that can be judged by or everything that is wrong out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Authorizer, Effect, PolicySet, Schema, ValidationMode, Validator};
use types::{Label, PolicyId};

use crate::generate::{self, Generated};
use crate::model::{Domain, Model};
use crate::policies::{Known, Policies, PolicyInfo, Set, Tier};
use crate::problem::{Problem, Severity};
use crate::scope::Scope;
use crate::source::{self, Owner, SourceFile, SourcePolicy, Sources};
use crate::{admin_schema, check, consent, entities, literal, schema};

/// The policies of all files, by owner.
struct Read<'s> {
    guardrails: Vec<SourcePolicy>,
    domains: BTreeMap<&'s Label, Vec<SourcePolicy>>,
    admin: Option<Vec<SourcePolicy>>,
}

/// The stack that compiling runs on. Measured on an unoptimised build: 64 nested brackets take 4 MiB and a chain of 1,000
/// operators 16 MiB, which are the limits `cedar_depth` and `cedar_operators`. Only what is used is ever backed by memory.
const STACK_BYTES: usize = 64 << 20;

/// What is wrong with the files by themselves: syntax, templates, annotations, names used twice, a permit among the
/// guardrails. For when no model could be made; [`compile`] finds the same and more.
pub fn check_syntax(sources: &Sources) -> Vec<Problem> {
    stacker::grow(STACK_BYTES, || {
        let mut problems = Vec::new();
        read(sources, &mut problems);
        sorted(problems)
    })
}

/// Compiles. Every problem of every file is found in one run; there are policies exactly when none of them is an error.
/// One set is made per domain: its own policies, the guardrails and the generated ones.
pub fn compile(model: &Arc<Model>, sources: &Sources) -> (Option<Policies>, Vec<Problem>) {
    stacker::grow(STACK_BYTES, || compile_with_room(model, sources))
}

fn compile_with_room(model: &Arc<Model>, sources: &Sources) -> (Option<Policies>, Vec<Problem>) {
    let mut problems = Vec::new();
    let read = read(sources, &mut problems);
    refuse_unknown_domains(model, sources, &mut problems);
    let policies = match build(model, &read, &mut problems) {
        Ok(policies) => policies,
        Err(words) => {
            problems.push(Problem::error("cedar.internal", "countersign.yaml", words));
            return (None, sorted(problems));
        }
    };
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    ((!failed).then_some(policies), sorted(problems))
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.path.clone(), problem.span.clone().map(|span| span.start)));
    problems
}

fn read<'s>(sources: &'s Sources, problems: &mut Vec<Problem>) -> Read<'s> {
    let guardrails = read_files(Owner::Guardrails, &sources.guardrails, problems);
    for permit in guardrails.iter().filter(|policy| policy.policy.effect() == Effect::Permit) {
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

fn read_files(owner: Owner<'_>, files: &[SourceFile], problems: &mut Vec<Problem>) -> Vec<SourcePolicy> {
    let mut places: HashMap<PolicyId, String> = HashMap::new();
    let mut unique = Vec::new();
    for policy in files.iter().flat_map(|file| source::read(owner, file, problems)).collect::<Vec<_>>() {
        let here = format!("{}:{}", policy.path, policy.line);
        match places.get(&policy.id) {
            None => {
                places.insert(policy.id.clone(), here);
                unique.push(policy);
            }
            Some(first) => {
                let message = format!("the id of `{}` is used twice", policy.id);
                let problem = Problem::error("cedar.duplicate-id", &policy.path, message).at(policy.place_of("@id"));
                problems.push(problem.hint(format!("the first is at {first}")));
            }
        }
    }
    unique
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

/// Checks what was read against the model and joins it. Problems of the files go to `problems`.
///
/// # Errors
/// Words for a fault of ours: a schema, entity or generated policy that Cedar does not take.
fn build(model: &Arc<Model>, read: &Read<'_>, problems: &mut Vec<Problem>) -> Result<Policies, String> {
    let schema = parse_schema(&schema(model))?;
    let validator = Validator::new(schema.clone());
    let admin_validator = Validator::new(parse_schema(admin_schema())?);
    let (entities, uids) = entities::build(model, &schema)?;
    check_written(model, Owner::Guardrails, &read.guardrails, &validator, problems);
    for (name, written) in &read.domains {
        check_written(model, Owner::Domain(name), written, &validator, problems);
    }
    let admin = read.admin.as_deref();
    check_written(model, Owner::Admin, admin.unwrap_or_default(), &admin_validator, problems);

    let callers = consent::all_callers(model);
    let mut infos = BTreeMap::new();
    let mut domains = BTreeMap::new();
    for domain in model.domains.values() {
        let own = read.domains.get(&domain.name).map(Vec::as_slice).unwrap_or_default();
        let generated = generate::policies(model, &callers, domain);
        let set = join(own.iter().chain(&read.guardrails), &generated, &mut infos)?;
        refuse_invalid_generated(domain, &generated, &set, &validator)?;
        domains.insert(domain.name.clone(), set);
    }
    let admin = admin.map(|written| join(written.iter(), &[], &mut infos)).transpose()?;
    let operator = "Operator".parse().map_err(|error| format!("entity type Operator: {error}"))?;
    let (model, authorizer) = (Arc::clone(model), Authorizer::new());
    Ok(Policies { model, authorizer, entities, uids, domains, admin, operator, infos })
}

fn parse_schema(text: &str) -> Result<Schema, String> {
    let (schema, _) = Schema::from_cedarschema_str(text).map_err(|error| format!("the schema: {error}"))?;
    Ok(schema)
}

/// Everything that is checked of a written policy once it can be read.
fn check_written(
    model: &Model,
    owner: Owner<'_>,
    written: &[SourcePolicy],
    validator: &Validator,
    problems: &mut Vec<Problem>,
) {
    for policy in written {
        literal::check(model, owner, policy, problems);
        check::scope(model, owner, policy, problems);
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
    written: impl Iterator<Item = &'p SourcePolicy>,
    generated: &[Generated],
    infos: &mut BTreeMap<PolicyId, PolicyInfo>,
) -> Result<Set, String> {
    let mut set = Set::default();
    let mut add = |id: &PolicyId, tier: Tier, policy: cedar_policy::Policy| {
        set.known.insert(policy.id().clone(), Known { id: id.clone(), tier });
        if policy.effect() == Effect::Permit {
            set.permits.push((id.clone(), Scope::of(&policy)));
        }
        set.policies.add(policy).map_err(|error| format!("{id}: {error}"))
    };
    for policy in written {
        add(&policy.id, Tier::Written, policy.policy.clone())?;
        infos.entry(policy.id.clone()).or_insert_with(|| written_info(policy));
    }
    for policy in generated {
        let parsed = policy.policy()?;
        infos.insert(policy.id.clone(), generated_info(policy, parsed.effect()));
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

fn generated_info(policy: &Generated, effect: Effect) -> PolicyInfo {
    PolicyInfo {
        id: policy.id.clone(),
        reason: policy.reason.clone(),
        effect: effect.into(),
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
