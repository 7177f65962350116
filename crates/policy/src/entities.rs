//! The entities that policies are evaluated against, and the prebuilt identifiers of everything a request can name.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema};
use types::{Label, Method, RouteId, WorkloadId};

use crate::model::{Domain, Model, Role, Route, Service};
use crate::names::NOBODY;

/// Identifiers by what they identify, so that no request builds one.
pub(crate) struct Uids {
    pub(crate) workloads: HashMap<WorkloadId, EntityUid>,
    pub(crate) routes: HashMap<RouteId, EntityUid>,
    pub(crate) nobody: EntityUid,
    pub(crate) organisation: EntityUid,
    actions: Vec<(Method, EntityUid)>,
}

impl Uids {
    /// The action of a method.
    pub(crate) fn action(&self, method: Method) -> Option<&EntityUid> {
        self.actions.iter().find(|(known, _)| *known == method).map(|(_, uid)| uid)
    }
}

/// The entity types, parsed once.
struct Types {
    domain: EntityTypeName,
    service: EntityTypeName,
    route: EntityTypeName,
    workload: EntityTypeName,
}

impl Types {
    fn new() -> Result<Self, String> {
        Ok(Self {
            domain: type_name("Domain")?,
            service: type_name("Service")?,
            route: type_name("Route")?,
            workload: type_name("Workload")?,
        })
    }
}

fn type_name(name: &str) -> Result<EntityTypeName, String> {
    name.parse().map_err(|error| format!("entity type {name}: {error}"))
}

fn uid(entity_type: &EntityTypeName, id: &impl ToString) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type.clone(), EntityId::new(id.to_string()))
}

/// An entity of a named type.
///
/// # Errors
/// Where `entity_type` is not a Cedar name.
pub(crate) fn uid_of(entity_type: &str, id: &str) -> Result<EntityUid, String> {
    Ok(uid(&type_name(entity_type)?, &id))
}

/// Builds entities and identifiers for a whole organisation. The hierarchy of all domains is one: a call's principal may
/// come from any of them. What separates domains is that each has its own policies.
///
/// # Errors
/// Cedar's words where an entity does not fit the schema, which would be a fault of ours.
pub(crate) fn build(model: &Model, schema: &Schema) -> Result<(Entities, Uids), String> {
    let types = Types::new()?;
    let mut entities = Vec::new();
    let mut uids = Uids {
        workloads: HashMap::new(),
        routes: HashMap::new(),
        nobody: uid_of("Unidentified", NOBODY)?,
        organisation: uid_of("Organisation", model.organisation.as_str())?,
        actions: Vec::new(),
    };
    for method in Method::ALL {
        uids.actions.push((method, uid_of("Action", method.as_str())?));
    }
    entities.push(Entity::new_no_attrs(uids.nobody.clone(), HashSet::new()));
    for domain in model.domains.values() {
        entities.push(Entity::new_no_attrs(uid(&types.domain, &domain.name), HashSet::new()));
        add_workloads(domain, &types, &mut entities, &mut uids);
        for service in domain.services.values() {
            add_service(domain, service, &types, &mut entities, &mut uids)?;
        }
    }
    let entities = Entities::from_entities(entities, Some(schema)).map_err(|error| format!("entities: {error}"))?;
    // The schema of calls knows no operators; policies of calls cannot name them.
    let entities = entities.add_entities(operators(model)?, None).map_err(|error| format!("operators: {error}"))?;
    Ok((entities, uids))
}

/// The operators, each in the roles it has.
fn operators(model: &Model) -> Result<Vec<Entity>, String> {
    let (operator, role) = (type_name("Operator")?, type_name("Role")?);
    let of_role = |name: &Role| uid(&role, &name.as_str());
    let of_operator = |(name, roles): (&Label, &BTreeSet<Role>)| {
        Entity::new_no_attrs(uid(&operator, name), roles.iter().map(of_role).collect())
    };
    let roles = Role::ALL.iter().map(|name| Entity::new_no_attrs(of_role(name), HashSet::new()));
    Ok(roles.chain(model.operators.iter().map(of_operator)).collect())
}

fn add_workloads(domain: &Domain, types: &Types, entities: &mut Vec<Entity>, uids: &mut Uids) {
    for name in &domain.workloads {
        let id = WorkloadId::new(domain.name.clone(), name.clone());
        let me = uid(&types.workload, &id);
        let mut parents = HashSet::from([uid(&types.domain, &domain.name)]);
        if domain.services.contains_key(name) {
            parents.insert(uid(&types.service, &id));
        }
        entities.push(Entity::new_no_attrs(me.clone(), parents));
        uids.workloads.insert(id, me);
    }
}

fn add_service(
    domain: &Domain,
    service: &Service,
    types: &Types,
    entities: &mut Vec<Entity>,
    uids: &mut Uids,
) -> Result<(), String> {
    let me = uid(&types.service, &service.id);
    let attributes = HashMap::from([("sensitivity".to_owned(), long(service.sensitivity.level()))]);
    let parents = HashSet::from([uid(&types.domain, &domain.name)]);
    entities.push(Entity::new(me.clone(), attributes, parents).map_err(|error| format!("{}: {error}", service.id))?);
    for route in service.judged_routes() {
        let id = uid(&types.route, &route.id);
        let entity = Entity::new(id.clone(), route_attributes(route), HashSet::from([me.clone()]));
        entities.push(entity.map_err(|error| format!("{}: {error}", route.id))?);
        uids.routes.insert(route.id.clone(), id);
    }
    Ok(())
}

fn route_attributes(route: &Route) -> HashMap<String, RestrictedExpression> {
    let (method, template) = route.id.call().map_or(("*", "*"), |(method, path)| (method.as_str(), path.as_str()));
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    HashMap::from([
        ("method".to_owned(), text(method)),
        ("template".to_owned(), text(template)),
        ("effect".to_owned(), text(route.effect.as_str())),
        ("sensitivity".to_owned(), long(route.sensitivity.level())),
    ])
}

fn long(level: u8) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::from(level))
}
