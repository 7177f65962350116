//! The wire between control and its peers: what both ends share, and the end of a proxy or an agent.
