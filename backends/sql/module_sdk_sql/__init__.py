"""The backend of module-sdk for SQL databases: SQLite, PostgreSQL, MariaDB and MySQL."""
