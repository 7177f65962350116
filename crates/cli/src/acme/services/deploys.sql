CREATE TABLE deploys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  component TEXT NOT NULL,
  version TEXT NOT NULL,
  environment TEXT NOT NULL CHECK (environment IN ('staging', 'production')),
  rolls_back INTEGER UNIQUE REFERENCES deploys (id),
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE INDEX deploys_by_place ON deploys (environment, component);
INSERT INTO deploys (component, version, environment, at) VALUES
  ('ledger', '2.3.9', 'production', '2026-10-19T08:31:05Z'),
  ('intranet', '14.0.2', 'production', '2026-10-27T13:04:44Z'),
  ('ledger', '2.4.0', 'staging', '2026-11-16T09:15:20Z'),
  ('ledger', '2.4.0', 'production', '2026-11-17T08:30:51Z'),
  ('payroll', '1.9.4', 'production', '2026-11-18T10:22:37Z'),
  ('intranet', '14.1.0', 'staging', '2026-11-19T14:40:02Z'),
  ('intranet', '14.1.0', 'production', '2026-11-23T09:02:18Z');
