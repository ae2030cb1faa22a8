CREATE TABLE IF NOT EXISTS order_transitions (
    order_id BINARY(16) NOT NULL,
    version INT UNSIGNED NOT NULL,
    from_status VARCHAR(16) NULL,
    to_status VARCHAR(16) NOT NULL,
    reason VARCHAR(500) NULL,
    actor VARCHAR(16) NOT NULL,
    at DATETIME(3) NOT NULL,
    PRIMARY KEY (order_id, version),
    CONSTRAINT order_transitions_order FOREIGN KEY (order_id) REFERENCES orders (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
