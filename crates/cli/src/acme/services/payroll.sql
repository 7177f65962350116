CREATE TABLE salaries (
  person TEXT PRIMARY KEY,
  monthly_cents INTEGER NOT NULL CHECK (monthly_cents > 0),
  grade TEXT NOT NULL,
  changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) WITHOUT ROWID;
INSERT INTO salaries VALUES
  ('p-1001', 785000, 'L5', '2026-01-15T09:00:00Z'), ('p-1002', 452000, 'L2', '2026-01-15T09:00:00Z'),
  ('p-1003', 610000, 'L4', '2026-04-01T08:12:40Z'), ('p-1004', 585000, 'L3', '2026-01-15T09:00:00Z'),
  ('p-1005', 742000, 'L5', '2026-01-15T09:00:00Z'), ('p-1006', 415500, 'L2', '2026-07-01T10:31:19Z'),
  ('p-1007', 545000, 'L3', '2026-01-15T09:00:00Z'), ('p-1008', 497000, 'L3', '2026-01-15T09:00:00Z');

CREATE TABLE runs (
  month TEXT PRIMARY KEY,
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) WITHOUT ROWID;
CREATE TABLE payslips (
  month TEXT NOT NULL REFERENCES runs (month),
  person TEXT NOT NULL,
  gross_cents INTEGER NOT NULL,
  tax_cents INTEGER NOT NULL,
  net_cents INTEGER NOT NULL,
  PRIMARY KEY (month, person)
) WITHOUT ROWID;
INSERT INTO runs VALUES ('2026-09', '2026-09-28T08:00:00Z'), ('2026-10', '2026-10-28T08:00:00Z');
INSERT INTO payslips SELECT month, person, monthly_cents, monthly_cents * 38 / 100, monthly_cents - monthly_cents * 38 / 100
  FROM runs, salaries;
