//! The binary as its users meet it: transcripts of commands, and a whole running system.

#[cfg(test)]
mod apart;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod running;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod start;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod verify;
