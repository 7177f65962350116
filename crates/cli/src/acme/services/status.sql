CREATE TABLE incidents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  component TEXT NOT NULL,
  title TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'watching', 'resolved')),
  opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE TABLE updates (
  incident INTEGER NOT NULL REFERENCES incidents (id),
  state TEXT NOT NULL,
  text TEXT NOT NULL,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
INSERT INTO incidents (component, title, state, opened_at) VALUES
  ('intranet', 'Search is slow', 'resolved', '2026-10-27T14:01:00Z'),
  ('payroll', 'Payslips show last month only', 'resolved', '2026-11-18T11:05:00Z'),
  ('directory', 'Photos do not load', 'watching', '2026-11-23T09:20:00Z');
INSERT INTO updates (incident, state, text, at) VALUES
  (1, 'open', 'The new index is being built.', '2026-10-27T14:01:00Z'),
  (1, 'resolved', 'The index is built.', '2026-10-27T15:30:00Z'),
  (2, 'open', 'Looking into it.', '2026-11-18T11:05:00Z'),
  (2, 'resolved', 'Fixed by 1.9.4.', '2026-11-18T12:10:00Z'),
  (3, 'watching', 'The photo store was restarted.', '2026-11-23T09:41:00Z');
