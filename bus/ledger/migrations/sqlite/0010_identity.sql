-- Which ledger this is, for the broker whose queues belong to it (bus.channels.amqp.topology); a backup keeps it.
INSERT INTO meta VALUES ('identity', random() & 0x7fffffffffffffff);
