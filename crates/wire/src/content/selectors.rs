//! What an agent proved about a process, as control is told it.

use api::wire;
use types::attest::{Container, K8sRule, Runtime, is_container_id, is_pod_uid};
use types::{Selectors, limits};

use super::{
    ContentError, check_count, malformed,
    registrations::{account_message, account_of},
};

/// The longest name of a unit, in bytes.
const UNIT_BYTES: usize = 255; // tidy: UNIT_NAME_MAX of systemd

/// What an agent proved about a process, for control.
pub fn selectors_message(selectors: &Selectors) -> wire::Selectors {
    let container = selectors.container.as_ref();
    wire::Selectors {
        pid: selectors.pid,
        uid: selectors.uid,
        gid: selectors.gid,
        path: selectors.path.clone().unwrap_or_default(),
        path_in_data: selectors.path_in_data.clone().unwrap_or_default(),
        sha256: selectors.sha256.map(|digest| digest.to_vec()).unwrap_or_default(),
        groups: selectors.groups.clone(),
        unit: selectors.unit.clone().unwrap_or_default(),
        runtime: container.map(|container| container.runtime.as_str().to_owned()).unwrap_or_default(),
        container: container.map(|container| container.id.clone()).unwrap_or_default(),
        pod: selectors.pod.clone().unwrap_or_default(),
        service_account: selectors.service_account.as_ref().map(account_message),
    }
}

/// Reads what an agent proved. What this release does not know is not there, so that it matches no rule.
///
/// # Errors
/// What cannot be the selectors of a process.
pub fn read_selectors(message: &wire::Selectors) -> Result<Selectors, ContentError> {
    check_count(message.groups.len(), limits::SELECTOR_GROUPS)?;
    let most = limits::PATH_BYTES.default_usize();
    let mut groups = message.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    Ok(Selectors {
        pid: message.pid,
        uid: message.uid,
        gid: message.gid,
        groups,
        path: text(&message.path, "path of the process", |text| text.len() <= most)?,
        path_in_data: text(&message.path_in_data, "path of the process", |text| text.len() <= most)?,
        sha256: digest(&message.sha256)?,
        unit: text(&message.unit, "unit", |text| text.len() <= UNIT_BYTES && !text.contains(char::is_control))?,
        container: container(message)?,
        pod: text(&message.pod, "pod", is_pod_uid)?,
        service_account: message
            .service_account
            .clone()
            .map(|account| K8sRule::new(account_of(account)))
            .transpose()
            .map_err(|error| malformed(&error.to_string()))?
            .map(|rule| rule.account().clone()),
    })
}

fn text(text: &str, what: &str, is_good: impl FnOnce(&str) -> bool) -> Result<Option<String>, ContentError> {
    match text {
        "" => Ok(None),
        text if is_good(text) => Ok(Some(text.to_owned())),
        _ => Err(malformed(&format!("the {what} cannot be what it says"))),
    }
}

fn digest(bytes: &[u8]) -> Result<Option<[u8; 32]>, ContentError> {
    match bytes {
        [] => Ok(None),
        bytes => {
            bytes.try_into().map(Some).map_err(|_| malformed("the digest of the executable does not have 32 bytes"))
        }
    }
}

/// A container that something runs which this release does not know is no container here.
fn container(message: &wire::Selectors) -> Result<Option<Container>, ContentError> {
    let id = text(&message.container, "container", is_container_id)?;
    if id.is_none() && !message.runtime.is_empty() {
        return Err(malformed("a runtime was named without its container"));
    }
    Ok(id.zip(Runtime::parse(&message.runtime)).map(|(id, runtime)| Container { runtime, id }))
}
