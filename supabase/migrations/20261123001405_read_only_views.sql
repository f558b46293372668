-- Views that cannot be written answer a write like tables that may not be written: 42501, which PostgREST makes 401 or 403. Without a trigger
-- Postgres refuses before it looks at rights, with 55000, and that is a server error to PostgREST. Nobody has the right to write, so the trigger
-- never runs; if somebody is ever given it, it refuses.
create trigger credit_balances_read_only instead of insert or update or delete on billing.credit_balances
for each row execute function billing_private.refuse_ledger_change();
create trigger credit_grants_read_only instead of insert or update or delete on billing.credit_grants
for each row execute function billing_private.refuse_ledger_change();
create trigger credit_usage_read_only instead of insert or update or delete on billing.credit_usage
for each row execute function billing_private.refuse_ledger_change();
create trigger department_credit_limits_read_only instead of insert or update or delete on billing.department_credit_limits
for each row execute function billing_private.refuse_ledger_change();
