-- Identities: the bundles of other trust domains.

-- the last bundle that was fetched of each federated trust domain, and from where: SHA-256 over what the trust directory says
-- of its source
CREATE TABLE federated (
  trust_domain TEXT NOT NULL PRIMARY KEY,
  source BLOB NOT NULL CHECK (length(source) = 32),
  document TEXT NOT NULL,
  -- decimal digits: the standard has 64 bits without a sign
  sequence TEXT,
  fetched INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
