-- Saving a level locked its product row for this key, against the order in which rows are locked. Products are never
-- removed, and a level is made in the transaction of its product.
ALTER TABLE stock DROP FOREIGN KEY stock_product;
