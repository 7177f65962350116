CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  actor TEXT NOT NULL,
  act TEXT NOT NULL,
  object TEXT NOT NULL,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
INSERT INTO events (actor, act, object, at) VALUES
  ('finance/ledger', 'period closed', '2026-10', '2026-11-02T15:40:51Z'),
  ('internal-tools/expenses', 'report approved', 'report 2', '2026-11-03T13:40:01Z'),
  ('finance/invoices', 'invoice paid', 'R2038', '2026-11-05T09:00:13Z'),
  ('finance/invoices', 'invoice approved', 'R2040', '2026-11-10T07:58:14Z'),
  ('hr/payroll', 'salary changed', 'p-1006', '2026-07-01T10:31:19Z'),
  ('finance/invoices', 'invoice paid', 'R2039', '2026-11-18T09:00:21Z'),
  ('hr/people', 'person left', 'p-1009', '2026-09-30T16:00:00Z');
-- The trail only grows, whatever a handler tries.
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
