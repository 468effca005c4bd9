"""The warehouse: sessions, locks, tables, partitions and COPY in Postgres."""
