-- Which ledger this is, for the broker whose queues belong to it (bus.channels.amqp.topology); a backup keeps it.
INSERT INTO meta VALUES ('identity', ('x' || left(replace(gen_random_uuid()::text, '-', ''), 15))::bit(60)::bigint);
