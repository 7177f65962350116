CREATE TABLE colleagues (
  handle TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  team TEXT NOT NULL,
  phone TEXT NOT NULL,
  desk TEXT NOT NULL,
  about TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO colleagues VALUES
  ('mira', 'Mira Okafor', 'Finance', '101', '2.04', 'Ask me about budgets before you need one.'),
  ('jonas', 'Jonas Weber', 'Finance', '119', '2.05', 'Receipts by the fifth, please.'),
  ('aylin', 'Aylin Demir', 'Platform', '147', '3.11', 'Deploys, certificates, strong tea.'),
  ('piotr', 'Piotr Nowak', 'Platform', '152', '3.12', 'On call every third week.'),
  ('lena', 'Lena Hoffmann', 'People', '160', '1.02', ''),
  ('sam', 'Sam Adeyemi', 'People', '173', '1.03', 'Know somebody good? Tell me.'),
  ('chiara', 'Chiara Rossi', 'Tools', '184', '3.07', 'Intranet and directory.'),
  ('emil', 'Emil Larsen', 'Tools', '190', '3.08', 'Chatbots that know when to be quiet.');
