//! The binary as its users meet it: transcripts of commands, and a whole running system.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod running;
#[cfg(test)]
mod start;
#[cfg(test)]
mod transcripts;
