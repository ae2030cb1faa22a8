-- Whether an order is a customer's own, without reading another's row. Safe to repeat: MySQL knows no IF NOT EXISTS here.
SET @made = (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'orders_of_customer');
SET @statement = IF(@made, 'DO 0', 'ALTER TABLE orders ADD INDEX orders_of_customer (customer_id, id)');
PREPARE making FROM @statement;
EXECUTE making;
DEALLOCATE PREPARE making;
