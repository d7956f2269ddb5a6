-- The application's role: it reads and writes, but owns nothing. To ledger and audit log it can only add, and it cannot
-- switch off the triggers that say so. Run it as the owner of the tables, after each migration; then let the role log in
-- (`ALTER ROLE dashboard_app LOGIN PASSWORD …`) and give the application a DATABASE_URL with it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dashboard_app') THEN
        CREATE ROLE dashboard_app;
    END IF;
END
$$;
ALTER ROLE dashboard_app NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

GRANT USAGE ON SCHEMA public TO dashboard_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO dashboard_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO dashboard_app;
REVOKE UPDATE, DELETE ON bounty_entries, audit_entries FROM dashboard_app;
-- `/readyz` writes this one row, unchanged, to see that the database takes writes.
REVOKE INSERT, DELETE ON alembic_version FROM dashboard_app;

-- Tables that a later migration adds, until this is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dashboard_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO dashboard_app;
