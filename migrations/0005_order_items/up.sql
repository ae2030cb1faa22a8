CREATE TABLE IF NOT EXISTS order_items (
    order_id BINARY(16) NOT NULL,
    line SMALLINT UNSIGNED NOT NULL,
    product_id BINARY(16) NOT NULL,
    product_name VARCHAR(200) NOT NULL,
    unit_price_minor BIGINT NOT NULL,
    quantity INT UNSIGNED NOT NULL,
    -- How many units there were when the order was rejected for this line.
    short_available INT UNSIGNED NULL,
    PRIMARY KEY (order_id, line),
    UNIQUE KEY order_items_product (order_id, product_id),
    CONSTRAINT order_items_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_items_quantity CHECK (quantity > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
