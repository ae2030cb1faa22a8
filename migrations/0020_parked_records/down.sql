DROP TABLE parked_records
