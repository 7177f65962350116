//! The roles of a process, and which keys of `node.yaml` each of them uses.

use crate::{decode::Fields, problem::File, suggest, yaml::Node};

/// The role of a process: the command that it is started by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// `countersign up`: everything in one process.
    Up,
    /// `countersign control`.
    Control,
    /// `countersign proxy`.
    Proxy,
    /// `countersign agent`.
    Agent,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Control, Self::Proxy, Self::Agent];

    /// The command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Control => "control",
            Self::Proxy => "proxy",
            Self::Agent => "agent",
        }
    }

    /// Whether it joins a control elsewhere, under its name.
    pub(super) const fn joins(self) -> bool {
        matches!(self, Self::Proxy | Self::Agent)
    }
}

/// A key that not every role uses.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// An example for the roles that cannot do without.
    required: Option<&'static str>,
    roles: &'static [Kind],
}

const CONTROL: &str = "control: { url: https://control.acme.internal:8440, root_sha256: 9f86… }";

/// All of them; `name` and `data` are for every role.
pub(super) const KEYS: &[Key] = &[
    Key { name: "control", required: Some(CONTROL), roles: &[Kind::Proxy, Kind::Agent] },
    Key { name: "listeners", required: None, roles: &[Kind::Up, Kind::Control, Kind::Proxy] },
    Key { name: "admin", required: None, roles: &[Kind::Up, Kind::Control] },
    Key { name: "socket", required: None, roles: &[Kind::Agent] },
    Key { name: "keys", required: None, roles: &[Kind::Up, Kind::Control] },
    Key { name: "k8s", required: None, roles: &[Kind::Up, Kind::Agent] },
    Key { name: "decision_log", required: None, roles: &[Kind::Up, Kind::Control, Kind::Proxy] },
    Key { name: "intake", required: None, roles: &[Kind::Up, Kind::Control] },
];

impl Key {
    /// The value, where this role uses the key. For a role that does not, it is reported.
    pub(super) fn of<'n>(&self, fields: &mut Fields<'n, '_>, kind: Kind, file: &File<'_>) -> Option<&'n Node> {
        if self.roles.contains(&kind) {
            return match self.required {
                Some(example) => fields.required(self.name, example),
                None => fields.optional(self.name),
            };
        }
        let span = fields.refuse(self.name)?;
        refuse(&format!("`{}` is not for `{}`", self.name, kind.as_str()), &span, self.roles, file);
        None
    }
}

/// Reports something that another role uses.
pub(super) fn refuse(message: &str, span: &core::ops::Range<usize>, roles: &[Kind], file: &File<'_>) {
    let users: Vec<&str> = roles.iter().map(|kind| kind.as_str()).collect();
    let hint = format!("it is for {}; leave it out here", suggest::list(&users));
    file.error("node.role", span, message.to_owned(), Some(hint));
}
