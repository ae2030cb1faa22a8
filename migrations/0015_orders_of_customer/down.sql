ALTER TABLE orders DROP INDEX orders_of_customer
