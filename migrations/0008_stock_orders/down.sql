DROP TABLE stock_orders
