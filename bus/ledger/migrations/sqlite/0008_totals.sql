-- What the newest commits add to the running totals stands in the newest row of the history, which they change anyway
-- (bus.ledger.tail); it goes to the rows of its place when that row is full, or is forgotten.
ALTER TABLE tally RENAME TO tally_row;
ALTER TABLE history ADD COLUMN totals TEXT NOT NULL DEFAULT '[]';
CREATE VIEW tally (place, outcome, currency, count, amount, last) AS
  SELECT place, outcome, currency, sum(count), sum_texts(amount), max(last) FROM (
    SELECT place, outcome, currency, count, amount, last FROM tally_row
    UNION ALL SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each((SELECT totals FROM history WHERE id = (SELECT max(id) FROM history)))
  ) GROUP BY place, outcome, currency;
CREATE TRIGGER history_totals BEFORE DELETE ON history WHEN OLD.totals <> '[]' BEGIN
  INSERT INTO tally_row SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each(OLD.totals) WHERE true
    ON CONFLICT DO UPDATE SET count = count + excluded.count, amount = add_texts(amount, excluded.amount), last = excluded.last;
END;
