CREATE TABLE IF NOT EXISTS outbox (
    seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id BINARY(16) NOT NULL,
    aggregate_type VARCHAR(16) NOT NULL,
    aggregate_id BINARY(16) NOT NULL,
    version INT UNSIGNED NOT NULL,
    event_type VARCHAR(64) NOT NULL,
    content_type VARCHAR(64) NOT NULL,
    payload MEDIUMBLOB NOT NULL,
    traceparent VARCHAR(55) NULL,
    created_at DATETIME(3) NOT NULL,
    processed_at DATETIME(3) NULL,
    UNIQUE KEY outbox_event (event_id),
    UNIQUE KEY outbox_version (aggregate_type, aggregate_id, version),
    KEY outbox_unsent (processed_at, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
