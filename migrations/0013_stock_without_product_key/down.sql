ALTER TABLE stock ADD CONSTRAINT stock_product FOREIGN KEY (product_id) REFERENCES products (id);
