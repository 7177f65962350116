-- Moments are microseconds since 1970, minutes are minutes since 1970.

-- the texts of all trust directories that ever were current, each once
CREATE TABLE texts (
  digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  text TEXT NOT NULL
) STRICT;

CREATE TABLE revisions (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 64)
) STRICT, WITHOUT ROWID;

CREATE TABLE revision_files (
  revision TEXT NOT NULL REFERENCES revisions (id),
  path TEXT NOT NULL,
  digest BLOB NOT NULL REFERENCES texts (digest),
  PRIMARY KEY (revision, path)
) STRICT, WITHOUT ROWID;

-- the last one names the revision that is current
CREATE TABLE publications (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  revision TEXT NOT NULL REFERENCES revisions (id),
  kind TEXT NOT NULL CHECK (kind IN ('first', 'publish', 'rollback')),
  at INTEGER NOT NULL,
  operator TEXT NOT NULL,
  why TEXT NOT NULL,
  changes TEXT NOT NULL
) STRICT;

-- one row; the epoch never goes back
CREATE TABLE signals (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO signals VALUES (1, 0);
CREATE TRIGGER epoch_never_goes_back BEFORE UPDATE ON signals WHEN NEW.epoch <= OLD.epoch
BEGIN SELECT RAISE(ABORT, 'the epoch may not go back'); END;

CREATE TABLE revocations (
  subject TEXT NOT NULL PRIMARY KEY,
  reason TEXT NOT NULL,
  operator TEXT NOT NULL,
  at INTEGER NOT NULL,
  until INTEGER,
  epoch INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- secrets of links and sessions are kept as their SHA-256
CREATE TABLE links (
  hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
  operator TEXT NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
  operator TEXT NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- how far each lane of the decision log is counted
CREATE TABLE lanes (
  start INTEGER NOT NULL,
  lane TEXT NOT NULL,
  next INTEGER NOT NULL,
  PRIMARY KEY (start, lane)
) STRICT, WITHOUT ROWID;

-- what is counted
CREATE TABLE kinds (
  id INTEGER PRIMARY KEY,
  caller TEXT NOT NULL,
  service TEXT NOT NULL,
  method TEXT NOT NULL,
  template TEXT NOT NULL,
  answer TEXT NOT NULL CHECK (answer IN ('allow', 'would-deny', 'deny')),
  check_name TEXT NOT NULL,
  reason TEXT NOT NULL,
  UNIQUE (caller, service, method, template, answer, check_name, reason)
) STRICT;

CREATE TABLE counts (
  minute INTEGER NOT NULL,
  kind INTEGER NOT NULL REFERENCES kinds (id),
  count INTEGER NOT NULL,
  PRIMARY KEY (minute, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE minutes (
  minute INTEGER PRIMARY KEY,
  allow INTEGER NOT NULL,
  would_deny INTEGER NOT NULL,
  deny INTEGER NOT NULL
) STRICT;

-- who still calls without TLS
CREATE TABLE plaintext_callers (
  listener TEXT NOT NULL,
  source TEXT NOT NULL,
  seen INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (listener, source)
) STRICT, WITHOUT ROWID;

-- certificates that were issued or seen, until they are over
CREATE TABLE certificates (
  serial TEXT NOT NULL PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_by_id ON certificates (spiffe_id);
