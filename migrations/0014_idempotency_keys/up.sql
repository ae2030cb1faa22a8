CREATE TABLE IF NOT EXISTS idempotency_keys (
    idempotency_key BINARY(16) NOT NULL,
    principal VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    request_hash BINARY(32) NOT NULL,
    -- Null only within the transaction that claims the key.
    outcome MEDIUMBLOB NULL,
    created_at DATETIME(3) NOT NULL,
    PRIMARY KEY (idempotency_key, principal),
    KEY idempotency_keys_age (created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
