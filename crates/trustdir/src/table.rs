//! The lookups of the request path: host and path to service, method and path to route. Built once for a revision;
//! a lookup allocates nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use policy::model::Route;
use types::{CanonicalRequest, Host, Label, Method, Reason, template::Segment};

use crate::{host::HostPrefix, revision::Service};

/// Hosts, their prefixes and the services behind them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hosts: HashMap<Host, Entry>,
}

#[derive(Debug)]
struct Entry {
    domain: Label,
    claims: ClaimNode,
}

/// The prefixes of one host as a tree of path segments.
#[derive(Debug, Default)]
struct ClaimNode {
    children: BTreeMap<Box<str>, ClaimNode>,
    service: Option<Arc<Service>>,
}

impl ClaimNode {
    fn insert(&mut self, claim: &HostPrefix, service: &Arc<Service>) {
        let deepest = claim.segments().fold(self, |node, segment| node.children.entry(segment.into()).or_default());
        deepest.service.get_or_insert_with(|| Arc::clone(service));
    }

    /// The service of the longest prefix that covers a path.
    fn find<'a>(&self, path: impl Iterator<Item = &'a str>) -> Option<&Arc<Service>> {
        let mut node = self;
        let mut longest = node.service.as_ref();
        for segment in path {
            let Some(child) = node.children.get(segment) else { break };
            node = child;
            longest = node.service.as_ref().or(longest);
        }
        longest
    }
}

impl Table {
    /// From services that claim no host twice and no host of two domains.
    pub(crate) fn new<'s>(services: impl IntoIterator<Item = &'s Arc<Service>>) -> Self {
        let mut hosts: HashMap<Host, Entry> = HashMap::new();
        for service in services {
            for claim in &service.hosts {
                let new = || Entry { domain: service.model.id.domain().clone(), claims: ClaimNode::default() };
                hosts.entry(claim.host().clone()).or_insert_with(new).claims.insert(claim, service);
            }
        }
        Self { hosts }
    }

    /// The domain that claims a host.
    pub(crate) fn domain(&self, host: &Host) -> Option<&Label> {
        self.hosts.get(host).map(|entry| &entry.domain)
    }

    /// The hosts that are claimed.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(Host::as_str)
    }

    /// The service of a request: the longest prefix that covers its path.
    pub(crate) fn service(&self, request: &CanonicalRequest) -> Result<&Arc<Service>, Reason> {
        let entry = self.hosts.get(request.host()).ok_or(Reason::RouteUnknownHost)?;
        entry.claims.find(request.path().segments()).ok_or(Reason::RouteUnlisted)
    }
}

/// The listed routes of one service as a tree of path segments for each method.
#[derive(Debug, Default)]
pub(crate) struct RouteTree {
    /// In the order of [`Method::ALL`].
    methods: [Option<Box<TreeNode>>; 7],
}

#[derive(Debug, Default)]
struct TreeNode {
    literals: BTreeMap<Box<str>, TreeNode>,
    parameter: Option<Box<TreeNode>>,
    route: Option<Arc<Route>>,
}

impl RouteTree {
    /// From routes of which no two match the same paths. The pseudo-route is not one of them.
    pub(crate) fn new(routes: &[Arc<Route>]) -> Self {
        let mut tree = Self::default();
        for route in routes {
            let Some((method, template)) = route.id.call() else { continue };
            if let Some(root) = tree.methods.get_mut(place(*method)) {
                root.get_or_insert_default().insert(template.segments(), route);
            }
        }
        tree
    }

    /// The route of a method and a path. A literal beats a parameter at the first segment in which they differ.
    pub(crate) fn find<'a>(&self, method: Method, path: impl Iterator<Item = &'a str> + Clone) -> Option<&Arc<Route>> {
        self.methods.get(place(method))?.as_ref()?.find(path)
    }
}

const fn place(method: Method) -> usize {
    match method {
        Method::Get => 0,
        Method::Head => 1,
        Method::Options => 2,
        Method::Post => 3,
        Method::Put => 4,
        Method::Patch => 5,
        Method::Delete => 6,
    }
}

impl TreeNode {
    fn insert(&mut self, segments: &[Segment], route: &Arc<Route>) {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                Segment::Literal(literal) => node.literals.entry(literal.as_str().into()).or_default(),
            };
        }
        node.route.get_or_insert_with(|| Arc::clone(route));
    }

    /// Depth first, literals before the parameter. Every node is visited at most once, and nodes are as many as
    /// segments of templates.
    fn find<'a>(&self, mut path: impl Iterator<Item = &'a str> + Clone) -> Option<&Arc<Route>> {
        let Some(segment) = path.next() else { return self.route.as_ref() };
        if let Some(found) = self.literals.get(segment).and_then(|node| node.find(path.clone())) {
            return Some(found);
        }
        self.parameter.as_ref().filter(|_| !segment.is_empty()).and_then(|node| node.find(path))
    }
}
