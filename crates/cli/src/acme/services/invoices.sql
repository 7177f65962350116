CREATE TABLE invoices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  supplier TEXT NOT NULL,
  cents INTEGER NOT NULL CHECK (cents > 0),
  text TEXT NOT NULL,
  received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
  approved_at TEXT,
  paid_at TEXT CHECK (paid_at IS NULL OR approved_at IS NOT NULL)
);
INSERT INTO invoices (id, supplier, cents, text, received_at, approved_at, paid_at) VALUES
  (2036, 'Lindenstrasse Immobilien', 640000, 'Rent October', '2026-10-01T06:00:12Z', '2026-10-01T09:12:00Z', '2026-10-05T09:00:00Z'),
  (2037, 'Kernfabrik', 318420, 'Hosting September', '2026-10-05T18:33:41Z', '2026-10-06T08:20:31Z', '2026-10-13T09:00:40Z'),
  (2038, 'Lindenstrasse Immobilien', 640000, 'Rent November', '2026-11-01T06:00:09Z', '2026-11-02T08:41:10Z', '2026-11-05T09:00:13Z'),
  (2039, 'Kernfabrik', 322110, 'Hosting October', '2026-11-11T18:30:02Z', '2026-11-12T10:09:57Z', '2026-11-18T09:00:21Z'),
  (2040, 'Papier Maurer', 21985, 'Paper and toner', '2026-11-09T10:02:55Z', '2026-11-10T07:58:14Z', NULL),
  (2041, 'Stadtwerke', 84310, 'Electricity, third quarter', '2026-11-16T05:12:38Z', NULL, NULL),
  (2042, 'Reisebuero Falk', 129900, 'Train tickets, October', '2026-11-20T14:47:03Z', NULL, NULL);
