-- One file may pay the same reference twice: both instructions are kept, so that an answer to one of them is ambiguous
-- instead of being taken for an answer to the first. The old table allowed one row for each reference of a file.
CREATE TABLE instruction_all (
  id INTEGER PRIMARY KEY, partner TEXT NOT NULL, message_id TEXT NOT NULL, payment_information_id TEXT NOT NULL,
  end_to_end_id TEXT NOT NULL, amount TEXT NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
  number INTEGER NOT NULL, correlation TEXT NOT NULL, route TEXT NOT NULL, registered INTEGER NOT NULL,
  answer_by INTEGER NOT NULL, changed INTEGER NOT NULL
) STRICT;
INSERT INTO instruction_all SELECT id, partner, message_id, payment_information_id, end_to_end_id, amount, currency,
  status, reason, number, correlation, route, registered, answer_by, changed FROM instruction;
DROP TABLE instruction;
ALTER TABLE instruction_all RENAME TO instruction;
CREATE INDEX instruction_message ON instruction (message_id, payment_information_id, end_to_end_id);
CREATE INDEX instruction_end_to_end ON instruction (end_to_end_id);
CREATE INDEX instruction_payment_information ON instruction (payment_information_id);
CREATE INDEX instruction_number ON instruction (number);
CREATE INDEX instruction_waiting ON instruction (answer_by) WHERE status = '' AND answer_by > 0;
