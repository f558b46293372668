"""A double-entry ledger in the same database: the usual way, for comparison."""

from __future__ import annotations

from .. import clients
from ..bench import Bench, Case
from ..results import Row, at_least
from ..tenants import one

_CLIENTS = 8

# A stand-in of our own for ledgers of pgledger's shape: nothing of theirs is copied.
_SCHEMA = """
create table if not exists tallybase_bench.accounts (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  balance numeric not null default 0,
  version bigint not null default 0,
  allow_negative boolean not null,
  updated_at timestamptz not null default now()
);
create table if not exists tallybase_bench.transfers (
  id uuid primary key default gen_random_uuid(),
  from_account_id uuid not null references tallybase_bench.accounts (id),
  to_account_id uuid not null references tallybase_bench.accounts (id),
  amount numeric not null check (amount > 0),
  created_at timestamptz not null default now()
);
create index if not exists transfers_from on tallybase_bench.transfers (from_account_id);
create index if not exists transfers_to on tallybase_bench.transfers (to_account_id);
create table if not exists tallybase_bench.entries (
  id uuid primary key default gen_random_uuid(),
  account_id uuid not null references tallybase_bench.accounts (id),
  transfer_id uuid not null references tallybase_bench.transfers (id),
  amount numeric not null,
  balance_before numeric not null,
  balance_after numeric not null,
  account_version bigint not null,
  created_at timestamptz not null default now()
);
create index if not exists entries_account on tallybase_bench.entries (account_id);
create index if not exists entries_transfer on tallybase_bench.entries (transfer_id);
"""
_TRANSFER = """
create or replace function tallybase_bench.transfer(p_from uuid, p_to uuid, p_amount numeric)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_transfer_id uuid;
begin
  perform 1 from tallybase_bench.accounts as a where a.id in (p_from, p_to) order by a.id for update;
  insert into tallybase_bench.transfers (from_account_id, to_account_id, amount)
  values (p_from, p_to, p_amount) returning id into v_transfer_id;
  perform tallybase_bench.book(v_transfer_id, p_from, -p_amount);
  perform tallybase_bench.book(v_transfer_id, p_to, p_amount);
  return v_transfer_id;
end
$$;
"""
_BOOK = """
create or replace function tallybase_bench.book(p_transfer_id uuid, p_account_id uuid, p_amount numeric)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_account tallybase_bench.accounts;
begin
  update tallybase_bench.accounts as a
  set balance = a.balance + p_amount, version = a.version + 1, updated_at = now()
  where a.id = p_account_id returning a.* into v_account;
  if v_account.balance < 0 and not v_account.allow_negative then
    raise exception 'account % would be overdrawn', v_account.name;
  end if;
  insert into tallybase_bench.entries (
    account_id, transfer_id, amount, balance_before, balance_after, account_version
  ) values (
    p_account_id, p_transfer_id, p_amount, v_account.balance - p_amount, v_account.balance, v_account.version
  );
end
$$;
"""
_ACCOUNT = """
insert into tallybase_bench.accounts (name, balance, allow_negative) values (%s, %s, %s) returning id
"""
_SPEND = "select tallybase_bench.transfer($1::uuid, $2::uuid, 1)"


def _run(bench: Bench) -> list[Row]:
    for statement in (_SCHEMA, _BOOK, _TRANSFER):
        bench.connection.execute(statement)
    customer = str(one(bench.connection, _ACCOUNT, "customer", 10**9, False))
    revenue = str(one(bench.connection, _ACCOUNT, "revenue", 0, True))
    url = bench.project.database_url
    compared = bench.compare(
        "consume_credits against a double-entry ledger, one hot organization",
        _CLIENTS,
        clients.statement(url, _SPEND, customer, revenue),
        clients.spend(url, bench.hot),
    )
    return [compared.row(at_least(4))]


CASE = Case(
    "peer",
    "The spend against a transfer in a double-entry ledger in the same database: two accounts locked "
    "in sorted order, a transfer, two entries with the balance before and after. It is a minimal "
    "stand-in that we wrote in the shape of pgledger, not pgledger itself, and it knows no prices, "
    "keys, limits, grants or receipts.",
    _run,
)
