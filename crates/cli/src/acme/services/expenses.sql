CREATE TABLE reports (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  colleague TEXT NOT NULL,
  purpose TEXT NOT NULL,
  account TEXT NOT NULL,
  cents INTEGER NOT NULL CHECK (cents > 0),
  filed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
  approved_by TEXT,
  approved_at TEXT
);
INSERT INTO reports (colleague, purpose, account, cents, filed_at, approved_by, approved_at) VALUES
  ('aylin', 'Travel to Hamburg, customer workshop', '4660', 48760, '2026-10-14T16:20:09Z', 'mira', '2026-10-15T08:03:47Z'),
  ('emil', 'Conference ticket', '4660', 59900, '2026-11-03T10:11:12Z', 'chiara', '2026-11-03T13:40:00Z'),
  ('sam', 'Coffee with candidates, October', '4930', 8640, '2026-11-05T17:55:31Z', NULL, NULL),
  ('piotr', 'Two keyboards', '4930', 23800, '2026-11-19T09:30:44Z', NULL, NULL);
