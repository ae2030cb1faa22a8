CREATE TABLE IF NOT EXISTS stock (
    product_id BINARY(16) NOT NULL PRIMARY KEY,
    version INT UNSIGNED NOT NULL,
    on_hand INT UNSIGNED NOT NULL,
    reserved INT UNSIGNED NOT NULL,
    sellable BOOLEAN NOT NULL,
    CONSTRAINT stock_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT stock_reserved CHECK (0 <= reserved AND reserved <= on_hand)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
