-- The roles apart: peers that joined, what they may, what waits for approval, the logs of several enforcers.

-- who approved what became current, in that order
ALTER TABLE publications ADD COLUMN approvals TEXT NOT NULL DEFAULT '[]';

-- publications that wait for the owners of what they touch; one that became current or was taken back is not here
CREATE TABLE proposals (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  revision TEXT NOT NULL REFERENCES revisions (id),
  base TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('publish', 'rollback')),
  at INTEGER NOT NULL,
  operator TEXT NOT NULL,
  why TEXT NOT NULL,
  changes TEXT NOT NULL,
  needs TEXT NOT NULL
) STRICT;

CREATE TABLE approvals (
  proposal INTEGER NOT NULL REFERENCES proposals (number) ON DELETE CASCADE,
  operator TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (proposal, operator)
) STRICT, WITHOUT ROWID;

-- proxies and agents that may join, once each; of a token only its SHA-256 is kept
CREATE TABLE join_tokens (
  hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
  role TEXT NOT NULL CHECK (role IN ('proxy', 'agent')),
  name TEXT NOT NULL,
  node_group TEXT,
  domains TEXT,
  made_by TEXT NOT NULL,
  until INTEGER NOT NULL,
  -- SHA-256 of the key that used it up
  key BLOB CHECK (length(key) = 32)
) STRICT, WITHOUT ROWID;

-- who joined, and what was last heard of them
CREATE TABLE peers (
  role TEXT NOT NULL CHECK (role IN ('proxy', 'agent')),
  name TEXT NOT NULL,
  key BLOB NOT NULL CHECK (length(key) = 32),
  node_group TEXT,
  domains TEXT,
  joined INTEGER NOT NULL,
  version TEXT NOT NULL,
  heard INTEGER,
  publication INTEGER,
  revision TEXT NOT NULL,
  revision_since INTEGER,
  epoch INTEGER,
  PRIMARY KEY (role, name)
) STRICT, WITHOUT ROWID;

-- numbers that were told to peers, which never go back; for a publication one that the fleet ran and this store did not know
CREATE TABLE floors (
  kind TEXT NOT NULL PRIMARY KEY CHECK (kind IN ('publication', 'bundles', 'registrations')),
  number INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER floor_never_goes_back BEFORE UPDATE ON floors WHEN NEW.number <= OLD.number
BEGIN SELECT RAISE(ABORT, 'a floor may not go back'); END;

-- what was taken over from peers after this store was restored from an older copy
CREATE TABLE adopted (
  at INTEGER NOT NULL,
  peer TEXT NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (at, peer, what)
) STRICT, WITHOUT ROWID;

-- the digest of the list of revocations at each late epoch: one that a peer holds and that is not in it comes from a history
-- that this store lost
CREATE TABLE epochs (
  epoch INTEGER PRIMARY KEY,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- how far each lane of each decision log is counted; the enforcer is empty for this node's own log
CREATE TABLE lanes_2 (
  enforcer TEXT NOT NULL,
  start INTEGER NOT NULL,
  lane TEXT NOT NULL,
  next INTEGER NOT NULL,
  PRIMARY KEY (enforcer, start, lane)
) STRICT, WITHOUT ROWID;
INSERT INTO lanes_2 SELECT '', start, lane, next FROM lanes;
DROP TABLE lanes;
ALTER TABLE lanes_2 RENAME TO lanes;

-- what counting found missing or damaged in the logs of others
CREATE TABLE log_gaps (
  enforcer TEXT NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (enforcer, what)
) STRICT, WITHOUT ROWID;
