"""module-sdk's store in SQL databases: SQLite, PostgreSQL, MariaDB and MySQL."""
