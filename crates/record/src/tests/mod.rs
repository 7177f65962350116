//! Tests of the log from the inside, where files can be broken byte by byte.

mod codec;
mod doc;
mod kill;
mod opening;
mod reading;
mod shipping;
mod support;
mod writing;
