CREATE TABLE IF NOT EXISTS payments (
    reference VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    order_id BINARY(16) NOT NULL,
    method VARCHAR(100) NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    state VARCHAR(16) NOT NULL,
    recorded_at DATETIME(3) NOT NULL,
    recorded_version INT UNSIGNED NOT NULL,
    refund_due_version INT UNSIGNED NULL,
    -- At most one payment per order that is not to be given back.
    recorded_order_id BINARY(16) AS (IF(state = 'RECORDED', order_id, NULL)) VIRTUAL,
    KEY payments_order (order_id),
    UNIQUE KEY payments_recorded_once (recorded_order_id),
    CONSTRAINT payments_order FOREIGN KEY (order_id) REFERENCES orders (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
