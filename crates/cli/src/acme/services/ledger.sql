CREATE TABLE accounts (number TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO accounts VALUES
  ('0800', 'Equity'), ('1200', 'Bank'), ('1400', 'Receivables'), ('1600', 'Payables'), ('4120', 'Salaries'), ('4210', 'Rent'),
  ('4660', 'Travel'), ('4910', 'Postage'), ('4930', 'Office supplies'), ('4970', 'Cloud and hosting'), ('8400', 'Revenue');

CREATE TABLE periods (month TEXT PRIMARY KEY, closed_at TEXT) WITHOUT ROWID;
INSERT INTO periods VALUES ('2026-09', '2026-10-02T10:14:09Z'), ('2026-10', '2026-11-02T15:40:51Z'), ('2026-11', NULL);

CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  period TEXT NOT NULL REFERENCES periods (month),
  debit TEXT NOT NULL REFERENCES accounts (number),
  credit TEXT NOT NULL REFERENCES accounts (number),
  cents INTEGER NOT NULL CHECK (cents > 0),
  text TEXT NOT NULL,
  reverses INTEGER UNIQUE REFERENCES entries (id),
  booked_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE INDEX entries_by_debit ON entries (debit);
CREATE INDEX entries_by_credit ON entries (credit);
INSERT INTO entries (period, debit, credit, cents, text, booked_at) VALUES
  ('2026-09', '1200', '0800', 25000000, 'Balance brought forward', '2026-09-01T00:00:00Z'),
  ('2026-09', '1400', '8400', 1890000, 'Invoice 2026-0871 to Nordwind Logistik', '2026-09-03T08:12:44Z'),
  ('2026-09', '4210', '1600', 640000, 'Rent September, Lindenstrasse 12', '2026-09-01T07:30:02Z'),
  ('2026-09', '1600', '1200', 640000, 'Rent September paid', '2026-09-04T09:01:17Z'),
  ('2026-09', '1200', '1400', 1890000, 'Nordwind Logistik pays 2026-0871', '2026-09-22T13:45:30Z'),
  ('2026-09', '4120', '1200', 4371500, 'Payroll run 2026-09', '2026-09-28T10:00:00Z'),
  ('2026-10', '1400', '8400', 2145000, 'Invoice 2026-0902 to Hansen und Soehne', '2026-10-05T08:40:12Z'),
  ('2026-10', '4970', '1600', 318420, 'Hosting September, Kernfabrik', '2026-10-06T11:22:53Z'),
  ('2026-10', '1600', '1200', 318420, 'Hosting September paid', '2026-10-13T09:00:40Z'),
  ('2026-10', '4660', '1600', 48760, 'Travel to Hamburg, expense report 1', '2026-10-15T14:18:05Z'),
  ('2026-10', '1200', '1400', 2145000, 'Hansen und Soehne pay 2026-0902', '2026-10-27T12:05:59Z'),
  ('2026-10', '4120', '1200', 4371500, 'Payroll run 2026-10', '2026-10-28T10:00:00Z'),
  ('2026-11', '4210', '1600', 640000, 'Rent November, Lindenstrasse 12', '2026-11-02T07:30:01Z'),
  ('2026-11', '4930', '1600', 21985, 'Paper and toner', '2026-11-09T10:33:27Z'),
  ('2026-11', '1600', '1200', 640000, 'Rent November paid', '2026-11-05T09:00:13Z'),
  ('2026-11', '1400', '8400', 1275000, 'Invoice 2026-0940 to Nordwind Logistik', '2026-11-11T08:51:36Z'),
  ('2026-11', '4970', '1600', 322110, 'Hosting October, Kernfabrik', '2026-11-12T11:20:08Z'),
  ('2026-11', '1600', '1200', 322110, 'Hosting October paid', '2026-11-18T09:00:21Z');
