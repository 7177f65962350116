CREATE TABLE people (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  team TEXT NOT NULL,
  role TEXT NOT NULL,
  since TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d', 'now')),
  until TEXT,
  address TEXT,
  emergency_contact TEXT
);
INSERT INTO people VALUES
  (1001, 'Mira Okafor', 'mira@acme.internal', 'Finance', 'Head of finance', '2019-03-01', NULL, 'Gartenweg 4, Potsdam', 'Tunde Okafor, 0331 555 0101'),
  (1002, 'Jonas Weber', 'jonas@acme.internal', 'Finance', 'Accountant', '2021-09-15', NULL, 'Kastanienallee 71, Berlin', 'Ilse Weber, 030 555 0119'),
  (1003, 'Aylin Demir', 'aylin@acme.internal', 'Platform', 'Platform engineer', '2020-06-01', NULL, 'Uferstrasse 9, Berlin', 'Can Demir, 030 555 0147'),
  (1004, 'Piotr Nowak', 'piotr@acme.internal', 'Platform', 'Site reliability engineer', '2022-01-10', NULL, 'Am Friedrichshain 22, Berlin', 'Ewa Nowak, 030 555 0152'),
  (1005, 'Lena Hoffmann', 'lena@acme.internal', 'People', 'Head of people', '2018-11-01', NULL, 'Lindenhof 3, Berlin', 'Paul Hoffmann, 030 555 0160'),
  (1006, 'Sam Adeyemi', 'sam@acme.internal', 'People', 'Recruiter', '2023-04-17', NULL, 'Sonnenallee 180, Berlin', 'Grace Adeyemi, 030 555 0173'),
  (1007, 'Chiara Rossi', 'chiara@acme.internal', 'Tools', 'Developer', '2021-02-01', NULL, 'Torstrasse 55, Berlin', 'Marco Rossi, 030 555 0184'),
  (1008, 'Emil Larsen', 'emil@acme.internal', 'Tools', 'Developer', '2024-08-01', NULL, 'Bergmannstrasse 90, Berlin', 'Nina Larsen, 030 555 0190'),
  (1009, 'Grete Brandt', 'grete@acme.internal', 'Sales', 'Account manager', '2017-05-02', '2026-09-30', 'Rosenweg 12, Teltow', 'Otto Brandt, 03328 555 018');
