//! From files to a revision, or to everything that is wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use policy::{Model, Policies, PolicyNames, SourceFile, Sources};
use types::{Label, RevisionId};

use crate::{
    assemble::{self, Parts},
    decode::Spanned,
    domain::{self, RawDomain},
    federation,
    files::{Collected, Files, Place, collect},
    lost::Lost,
    openapi::{self, Description},
    operator,
    organisation::{self, Organisation},
    problem::{File, Problem, Sink, quote},
    revision::Revision,
    revision_id, suggest, tests_check,
    tests_file::{self, RawCase, TestCase},
    yaml,
};

/// What became of a trust directory.
#[derive(Debug)]
pub struct Loaded {
    /// The revision; absent where there was an error.
    pub revision: Option<Arc<Revision>>,
    /// Errors and warnings in the order of paths and places; at most `problems` of the limits registry, then one that
    /// says how many more there are.
    pub problems: Vec<Problem>,
    /// The text of every file that was read, by path: for excerpts.
    pub sources: BTreeMap<String, String>,
}

/// Names that are no business domains: `system` and `devices` are trust domains of Countersign itself, `org` is how
/// decisions name the organisation's guardrails.
const RESERVED: [&str; 3] = ["system", "devices", "org"];

/// Loads a trust directory. Every problem is found in one run; the same files give the same revision, always.
pub fn load(files: &impl Files) -> Loaded {
    let sink = Sink::default();
    let collected = collect(files, &sink);
    let id = revision_id::of(&collected.digests);
    let revision = if collected.is_unread { None } else { build(&collected, id, Served::All, &sink) };
    let revision = revision.filter(|_| !sink.has_errors()).map(Arc::new);
    Loaded { revision, problems: sink.into_problems(), sources: collected.into_sources() }
}

/// Of which domains everything is there.
#[derive(Clone, Copy)]
pub(crate) enum Served<'a> {
    /// Of all.
    All,
    /// Of these. Of the others there is `domain.yaml` alone.
    Only(&'a BTreeSet<Label>),
}

impl Served<'_> {
    /// Whether everything of a domain is there.
    pub(crate) fn has(self, domain: &Label) -> bool {
        match self {
            Self::All => true,
            Self::Only(domains) => domains.contains(domain),
        }
    }
}

/// Makes a revision of what was collected, under a name that was worked out elsewhere.
pub(crate) fn build(collected: &Collected, id: RevisionId, served: Served<'_>, sink: &Sink) -> Option<Revision> {
    let mut lost = Lost::default();
    let organisation = read_organisation(collected, sink);
    let domains = read_domains(collected, sink, &mut lost);
    let apis = read_apis(&domains, collected, served, sink);
    let cases = read_tests(collected, sink);
    lost.names.operators = !organisation.operators_are_known;
    let federation = federation::join(&organisation.federation, collected, sink);
    let parts = assemble::assemble(&organisation, &domains, &apis, served, &mut lost);
    if sink.is_full() {
        return None;
    }
    let (policies, names) = compile(&parts.model, &policy_sources(collected), &lost, served, sink);
    tests_check::check(&cases, &parts, &names, &lost);
    check_modes(&domains, &names, served);
    if let Some(policies) = &policies {
        check_owners(&organisation, &domains, policies, collected, sink);
    }
    let tests: Vec<TestCase> = cases.into_iter().map(|case| case.case).collect();
    let Parts { model, domains, services, workloads, table } = parts;
    Some(Revision {
        id,
        model,
        policies: Arc::new(policies?),
        domains,
        services,
        workloads,
        table,
        tests,
        operator_uids: operator::by_uid(&organisation.operators),
        operators: organisation.operators,
        nodes: organisation.nodes,
        federation,
        owners: organisation.owners.into_iter().map(|owner| owner.value).collect(),
    })
}

/// Compiles the policies where everything else is well, and otherwise checks them against what is left.
fn compile(
    model: &Arc<Model>,
    sources: &Sources,
    lost: &Lost,
    served: Served<'_>,
    sink: &Sink,
) -> (Option<Policies>, PolicyNames) {
    if sink.has_errors() {
        let (names, problems) = policy::check_incomplete(model, sources, &lost.names);
        problems.into_iter().for_each(|problem| sink.push(problem));
        return (None, names);
    }
    let (policies, problems) = match served {
        Served::All => policy::compile(model, sources),
        Served::Only(_) => policy::compile_part(model, sources, &lost.names),
    };
    problems.into_iter().for_each(|problem| sink.push(problem));
    let names = policies.as_ref().map(Policies::names);
    let names = names.unwrap_or_else(|| policy::check_incomplete(model, sources, &lost.names).0);
    (policies, names)
}

/// Holds the policies that `modes` names against those that there are.
fn check_modes(domains: &assemble::Read<'_>, names: &PolicyNames, served: Served<'_>) {
    for (name, content) in domains.iter().filter(|(name, _)| served.has(name)) {
        if let Some((file, raw)) = content {
            raw.modes.check_policies(name, names, file);
        }
    }
}

/// Holds the owners against what they may do.
fn check_owners(
    organisation: &Organisation,
    domains: &assemble::Read<'_>,
    policies: &Policies,
    collected: &Collected,
    sink: &Sink,
) {
    let path = organisation::PATH;
    if let Some(text) = collected.texts.get(path) {
        operator::check_may_approve(&organisation.owners, policies, &File { path, text, sink });
    }
    for (file, raw) in domains.values().flatten() {
        operator::check_may_approve(&raw.owners, policies, file);
        if organisation.owners.is_empty() {
            operator::warn_of_no_organisation(&raw.owners, file);
        }
    }
}

fn read_organisation(collected: &Collected, sink: &Sink) -> Organisation {
    let path = organisation::PATH;
    let Some(text) = collected.texts.get(path) else {
        if !collected.may_be_refused(path, "") {
            let problem = Problem::error("organisation.missing", path, "the trust directory has no `countersign.yaml`");
            sink.push(problem.hint("it starts with `organisation: acme.internal`"));
        }
        return Organisation::default();
    };
    let file = File { path, text, sink };
    yaml::read(&file).map(|root| organisation::read(&root, &file)).unwrap_or_default()
}

/// All domains that there seem to be. `None` for one whose content is lost.
fn read_domains<'a>(collected: &'a Collected, sink: &'a Sink, lost: &mut Lost) -> assemble::Read<'a> {
    let names = domain_names(collected);
    let mut domains: assemble::Read<'a> =
        names.into_iter().map(|name| (name.clone(), read_domain(&name, collected, sink, lost))).collect();
    for (name, content) in &domains {
        lost.note_domain(name, content.as_ref().map(|(_, raw)| raw));
    }
    let other_names = domains.values().flatten().filter_map(|(_, raw)| raw.other_name.clone());
    let elsewhere: Vec<Label> = other_names.chain(lost.note_refused(collected)).collect();
    if domains.is_empty() && elsewhere.is_empty() && collected.is_there(organisation::PATH) && !lost.names.domains {
        let warning = Problem::warning("organisation.no-domains", organisation::PATH, "there is no domain yet");
        sink.push(warning.hint("make a folder in `domains` with a `domain.yaml`"));
    }
    for name in elsewhere {
        lost.note_domain(&name, None);
        domains.entry(name).or_insert(None);
    }
    domains
}

/// The domains that have any file.
fn domain_names(collected: &Collected) -> BTreeSet<Label> {
    let of_place = |place: &Place| match place {
        Place::Domain(name) | Place::Policy(name) | Place::Api(name) | Place::Test(name) => Some(name.clone()),
        Place::Organisation | Place::Guardrail | Place::Admin | Place::Federation => None,
    };
    let of_path =
        |path: &String| path.strip_prefix("domains/")?.split_once('/').and_then(|(n, _)| Label::parse(n).ok());
    let refused = collected.refused.iter().filter_map(of_path);
    collected.places.values().filter_map(of_place).chain(refused).collect()
}

/// `None` where the file is missing or is no YAML at all; that is reported.
fn read_domain<'a>(
    name: &Label,
    collected: &'a Collected,
    sink: &'a Sink,
    lost: &mut Lost,
) -> Option<(File<'a>, RawDomain)> {
    let path = format!("domains/{name}/domain.yaml");
    let Some((path, text)) = collected.texts.get_key_value(&path) else {
        if !collected.may_be_refused(&path, &format!("domains/{name}/")) {
            lost.note_folder(name);
            let message = format!("the domain {} has no `domain.yaml`", quote(name.as_str()));
            sink.push(
                Problem::error("domain.missing", &path, message).hint(format!("it starts with `domain: {name}`")),
            );
        }
        return None;
    };
    let file = File { path, text, sink };
    let root = yaml::read(&file)?;
    if RESERVED.contains(&name.as_str()) {
        let message = format!("the name {} is reserved", quote(name.as_str()));
        file.error("domain.reserved", &root.at, message, Some("give the domain another name".to_owned()));
    }
    Some((file, domain::read(&root, &file, name)))
}

/// The API descriptions that services name, each read once, by path.
pub(crate) type Apis<'a> = BTreeMap<String, (File<'a>, Description)>;

fn read_apis<'a>(
    domains: &assemble::Read<'a>,
    collected: &'a Collected,
    served: Served<'_>,
    sink: &'a Sink,
) -> Apis<'a> {
    let mut apis = Apis::new();
    let domains_served = domains.iter().filter(|(name, _)| served.has(name));
    for (domain, (own, raw)) in domains_served.filter_map(|(name, content)| Some((name, content.as_ref()?))) {
        for written in raw.services.iter().flat_map(|(_, service)| &service.apis) {
            let path = assemble::api_path(domain, &written.value);
            let Some((path, text)) = collected.texts.get_key_value(&path).filter(|_| is_api(&path, collected)) else {
                report_missing_api(&path, written, own, domain, collected);
                continue;
            };
            if !apis.contains_key(path) {
                let file = File { path, text, sink };
                let description = yaml::read(&file).map(|root| openapi::read(&root, &file)).unwrap_or_default();
                apis.insert(path.clone(), (file, description));
            }
        }
    }
    warn_unused_apis(&apis, domains, collected, sink);
    apis
}

fn is_api(path: &str, collected: &Collected) -> bool {
    matches!(collected.places.get(path), Some(Place::Api(_)))
}

fn report_missing_api(path: &str, written: &Spanned<String>, own: &File<'_>, domain: &Label, collected: &Collected) {
    let folder = format!("domains/{domain}/");
    if collected.may_be_refused(path, &folder) {
        return;
    }
    let names = collected.places.iter().filter(|(_, place)| **place == Place::Api(domain.clone()));
    let names: Vec<&str> = names.filter_map(|(path, _)| path.strip_prefix(&folder)).collect();
    let hint = suggest::hint(&written.value, names.iter().copied(), "descriptions");
    let hint = hint.unwrap_or_else(|| format!("put an OpenAPI description into `{folder}apis/`"));
    own.error("api.missing", &written.span, format!("there is no API description `{path}`"), Some(hint));
}

/// Only where the domain could be read and all that it names is there: otherwise nobody knows what is meant.
fn warn_unused_apis(apis: &Apis<'_>, domains: &assemble::Read<'_>, collected: &Collected, sink: &Sink) {
    for (path, place) in &collected.places {
        let Place::Api(domain) = place else { continue };
        let all_there = |raw: &RawDomain| {
            let mut services = raw.services.iter().map(|(_, service)| service);
            let is_there = |api: &Spanned<String>| apis.contains_key(&assemble::api_path(domain, &api.value));
            raw.names_are_whole && services.all(|it| it.routes_are_whole && it.apis.iter().all(is_there))
        };
        let known = domains.get(domain).and_then(Option::as_ref).is_some_and(|(_, raw)| all_there(raw));
        if known && !apis.contains_key(path) {
            let warning = Problem::warning("api.unused", path, "no service names this API description");
            sink.push(warning.hint("add it to `api` of a service, or remove it"));
        }
    }
}

fn read_tests<'a>(collected: &'a Collected, sink: &'a Sink) -> Vec<RawCase<'a>> {
    let mut cases = Vec::new();
    for (path, _) in collected.places.iter().filter(|(_, place)| matches!(place, Place::Test(_))) {
        let Some(text) = collected.texts.get(path) else { continue };
        let file = File { path, text, sink };
        cases.extend(yaml::read(&file).map(|root| tests_file::read(&root, file)).unwrap_or_default());
    }
    cases
}

fn policy_sources(collected: &Collected) -> Sources {
    let mut sources = Sources::default();
    for (path, text) in &collected.texts {
        let file = || SourceFile { path: path.clone(), text: text.as_str().to_owned() };
        match collected.places.get(path) {
            Some(Place::Guardrail) => sources.guardrails.push(file()),
            Some(Place::Admin) => sources.admin = Some(file()),
            Some(Place::Policy(domain)) => sources.domains.entry(domain.clone()).or_default().push(file()),
            Some(Place::Organisation | Place::Domain(_) | Place::Api(_) | Place::Test(_) | Place::Federation)
            | None => {}
        }
    }
    sources
}
