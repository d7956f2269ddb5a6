-- The application's role: it reads and writes, but owns nothing. It can only append to ledger and audit log, and cannot
-- disable the triggers that enforce this. Run this file as the owner of the tables after each migration. Then allow the
-- role to log in (`ALTER ROLE dashboard_app LOGIN PASSWORD …`) and use it in the application's DATABASE_URL.
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
-- `/readyz` updates this one row, without a change, to check that the database accepts writes.
REVOKE INSERT, DELETE ON alembic_version FROM dashboard_app;

-- Rights to tables of a later migration, until this file is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dashboard_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO dashboard_app;
