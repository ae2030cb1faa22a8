CREATE TABLE IF NOT EXISTS processed_events (
    consumer VARCHAR(32) NOT NULL,
    event_id BINARY(16) NOT NULL,
    processed_at DATETIME(3) NOT NULL,
    PRIMARY KEY (consumer, event_id),
    KEY processed_events_age (processed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
