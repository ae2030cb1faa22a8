CREATE TABLE IF NOT EXISTS stock_movements (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    product_id BINARY(16) NOT NULL,
    order_id BINARY(16) NULL,
    kind VARCHAR(16) NOT NULL,
    quantity BIGINT NOT NULL,
    created_at DATETIME(3) NOT NULL,
    KEY stock_movements_product (product_id, kind),
    -- An order's units of one product are reserved once, released once, shipped once.
    UNIQUE KEY stock_movements_once (order_id, product_id, kind),
    CONSTRAINT stock_movements_stock FOREIGN KEY (product_id) REFERENCES stock (product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
