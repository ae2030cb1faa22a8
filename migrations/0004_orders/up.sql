CREATE TABLE IF NOT EXISTS orders (
    id BINARY(16) NOT NULL PRIMARY KEY,
    version INT UNSIGNED NOT NULL,
    status VARCHAR(16) NOT NULL,
    customer_id BINARY(16) NOT NULL,
    customer_name VARCHAR(200) NOT NULL,
    total_minor BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    -- By this server's clock, set while CONFIRMED: when the payment time began.
    awaiting_payment_since DATETIME(3) NULL,
    created_at DATETIME(3) NOT NULL,
    updated_at DATETIME(3) NOT NULL,
    deleted_at DATETIME(3) NULL,
    KEY orders_customer (customer_id, status),
    KEY orders_awaiting_payment (awaiting_payment_since),
    CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
