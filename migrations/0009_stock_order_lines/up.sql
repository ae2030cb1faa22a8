CREATE TABLE IF NOT EXISTS stock_order_lines (
    order_id BINARY(16) NOT NULL,
    line SMALLINT UNSIGNED NOT NULL,
    product_id BINARY(16) NOT NULL,
    quantity INT UNSIGNED NOT NULL,
    -- For a rejected order's line that was short: how many units there were. NULL for a line that was held.
    short_available INT UNSIGNED NULL,
    PRIMARY KEY (order_id, line),
    KEY stock_order_lines_product (product_id),
    CONSTRAINT stock_order_lines_order FOREIGN KEY (order_id) REFERENCES stock_orders (order_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
