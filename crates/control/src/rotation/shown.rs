//! Rotations as operators see them.

use api::admin::{Keys, Rotation, RotationPhase};
use api::keys::KeyState;

use super::next::{Next, is_acknowledged, next, retires_at};
use super::{Tried, View};
use crate::service::Control;

/// A rotation, and why its next step failed.
pub(crate) struct Standing {
    pub rotation: Rotation,
    /// `None` where it did not.
    pub trouble: Option<String>,
}

impl Control {
    /// See [`api::admin::Admin::rotations`]: first the roots, then the JWT keys, by domain.
    pub(crate) fn rotations_now(&self) -> Vec<Rotation> {
        self.rotations_standing().into_iter().map(|standing| standing.rotation).collect()
    }

    /// The same, with what the driver knows.
    pub(crate) fn rotations_standing(&self) -> Vec<Standing> {
        let mut states = self.parts.roles.key_states();
        states.sort_by(|a, b| (a.keys, &a.domain).cmp(&(b.keys, &b.domain)));
        let mut view = self.rotation_view();
        let memory = self.rotating.turn();
        view.taken_since = memory.taken_since(&view);
        states.iter().map(|state| shown(state, &view, memory.tried.get(&(state.domain.clone(), state.keys)))).collect()
    }
}

fn shown(state: &KeyState, view: &View, tried: Option<&Tried>) -> Standing {
    let sight = view.sight();
    let mut waiting_for = match next(state, &sight) {
        Next::Wait(reasons) => reasons,
        Next::Rest if state.held => vec!["an operator: it was taken back a step".to_owned()],
        Next::Rest | Next::Step(_) => Vec::new(),
    };
    let tried = tried.filter(|tried| tried.from == (state.phase, state.since) && !state.held);
    let trouble = tried.map(|tried| tried.trouble.clone());
    waiting_for.extend(trouble.clone());
    let is_waiting = matches!(state.phase, RotationPhase::Published | RotationPhase::Acknowledged);
    let acknowledged = is_acknowledged(state, &sight);
    let rotation = Rotation {
        domain: state.domain.to_string(),
        keys: state.keys,
        phase: if acknowledged { RotationPhase::Acknowledged } else { state.phase },
        since: state.since,
        held: state.held,
        current: state.current.clone(),
        other: state.other.clone(),
        key: state.key,
        waiting_for,
        given_up: if is_waiting { view.awaited.given_up.clone() } else { Vec::new() },
        retires_at: retires_at(state, view.longest_life),
        not_after: state.not_after.filter(|_| state.keys == Keys::X509),
        reach: None,
    };
    Standing { rotation, trouble }
}
