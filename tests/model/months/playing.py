"""Plays stories in the database: every call at its instant, and the jobs as often as is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from ..database import Row
from .stories import MONTH, START, story

#: The department of every organization.
DEPARTMENT = "Marketing"

_ACT = """
create function pg_temp.act(p_organization_id uuid, p_call text, a jsonb)
returns void language plpgsql as $act$
declare
  v_department_id constant uuid := (
    select d.id from billing.departments as d where d.organization_id = p_organization_id);
  v_hold_id constant uuid := (
    select h.id from billing.credit_holds as h
    where h.organization_id = p_organization_id and h.idempotency_key = a ->> 'hold');
  v_now constant timestamptz := (
    select o.test_clock from billing.organizations as o where o.organization_id = p_organization_id);
begin
  case p_call
    when 'subscribe' then
      perform billing.start_free_subscription(
        p_organization_id, plan_key => a ->> 'plan', timezone => a ->> 'timezone');
    when 'cancel' then
      perform billing.cancel_free_subscription(p_organization_id, (a ->> 'at_period_end')::boolean);
    when 'grant' then
      perform billing.grant_credits(
        p_organization_id, (a ->> 'amount')::numeric, 'promotion', a ->> 'key',
        effective_at => v_now + make_interval(days => (a ->> 'after')::integer),
        expires_at => v_now + make_interval(days => (a ->> 'after')::integer + (a ->> 'days')::integer));
    when 'limit' then
      perform billing.set_credit_limit(
        a ->> 'subject',
        case a ->> 'subject' when 'organization' then p_organization_id else v_department_id end::text,
        (a ->> 'amount')::numeric, a ->> 'window', a ->> 'mode', 'America/New_York',
        organization_id => p_organization_id);
    when 'spend' then
      perform billing.consume_credits(
        'TestAgent', 'test', amount => (a ->> 'amount')::numeric, organization_id => p_organization_id,
        department_id => case when (a ->> 'in_department')::boolean then v_department_id end,
        idempotency_key => a ->> 'key');
    when 'refund' then
      perform billing.refund_consumption(t.id, reason => a ->> 'reason', idempotency_key => a ->> 'key')
      from billing.credit_transactions as t
      where t.organization_id = p_organization_id and t.idempotency_key = a ->> 'of';
    when 'transfer' then
      perform billing.transfer_credits(null, v_department_id, (a ->> 'amount')::numeric, a ->> 'key');
    when 'hold' then
      perform billing.hold_credits(
        'TestAgent', 'test', amount => (a ->> 'amount')::numeric, organization_id => p_organization_id,
        expires_in => make_interval(secs => (a ->> 'hours')::numeric * 3600), idempotency_key => a ->> 'key');
    when 'extend' then
      perform billing.extend_hold(
        v_hold_id, (a ->> 'additional')::numeric, (a ->> 'metered')::numeric,
        make_interval(secs => (a ->> 'hours')::numeric * 3600));
    when 'capture' then
      perform billing.capture_hold(v_hold_id, (a ->> 'amount')::numeric, null, a ->> 'key');
    when 'release' then
      perform billing.release_hold(v_hold_id);
  end case;
exception when others then
  if sqlstate !~ '^PT(402|404|409)$' then -- a refusal is part of the story
    raise;
  end if;
  update months_refusals set count = count + 1;
end
$act$
"""

# Between two calls the jobs run at each tick (every p_every from the start). With p_skip_idle only at ticks
# up to which something has fallen due in some organization: the others find nothing to do.
_PLAY = """
create procedure pg_temp.play(p_start timestamptz, p_end timestamptz, p_every interval, p_skip_idle boolean)
language plpgsql as $play$
declare
  v_event record;
  v_tick timestamptz := p_start;
  v_due timestamptz;
  v_runs bigint := 0;
begin
  for v_event in
    select e.number, e.organization_id, e.at, e.call, e.arguments from months_events as e
    union all
    select 9223372036854775807, null, p_end, null, null
    order by at, number
  loop
    while p_every is not null loop
      v_due := v_tick + p_every;
      if p_skip_idle then
        select min(d.due_at) into v_due from months_due as d;
        if isfinite(v_due) then
          v_due := p_start
            + ceil(extract(epoch from v_due - p_start) / extract(epoch from p_every))::bigint * p_every;
        end if;
      end if;
      exit when v_due > v_event.at;
      v_tick := v_due;
      update billing.organizations as o set test_clock = v_tick
      from months_due as d where d.organization_id = o.organization_id;
      perform billing.run_due_jobs();
      v_runs := v_runs + 1;
      update months_due as d set due_at = billing_private.next_turn_at(d.organization_id)
      where d.due_at <= v_tick;
      commit;
    end loop;
    exit when v_event.organization_id is null;
    update billing.organizations as o set test_clock = v_event.at
    where o.organization_id = v_event.organization_id;
    perform pg_temp.act(v_event.organization_id, v_event.call, v_event.arguments);
    update months_due as d set due_at = billing_private.next_turn_at(d.organization_id)
    where d.organization_id = v_event.organization_id;
    if p_every is not null then
      commit; -- else nobody's job may see a clock before the end
    end if;
  end loop;
  update billing.organizations as o set test_clock = p_end
  from months_due as d where d.organization_id = o.organization_id;
  perform billing.run_due_jobs();
  update months_runs set count = v_runs + 1;
end
$play$
"""


@dataclass(frozen=True)
class Played:
    """What was played.

    Attributes:
        organization_ids: by the number of their story.
        runs: of the jobs.
        refusals: calls that were refused.
    """

    organization_ids: list[UUID]
    runs: int
    refusals: int


def play(
    connection: psycopg.Connection[Row],
    owner: UUID,
    plan_key: str,
    *,
    organizations: int,
    months: int,
    seed: int,
    every: timedelta | None,
    skip_idle: bool,
) -> Played:
    """Make organizations and play a story in each, all in lock-step.

    Args:
        connection: as `postgres`, in autocommit.
        owner: of all organizations.
        plan_key: the free plan that they are on.
        organizations: how many.
        months: how long.
        seed: of the stories.
        every: how often the jobs run; None: once, at the end.
        skip_idle: run them only when something has fallen due somewhere.
    """
    ids = [_make_organization(connection, owner, START) for _ in range(organizations)]
    connection.execute("drop table if exists months_events, months_due, months_refusals, months_runs")
    connection.execute(
        "create temp table months_events"
        " (number bigint, organization_id uuid, at timestamptz, call text, arguments jsonb)"
    )
    connection.execute("create temp table months_refusals as select 0 as count")
    connection.execute("create temp table months_runs as select 0::bigint as count")
    connection.execute(
        "create temp table months_due as"
        " select unnest(%s::uuid[]) as organization_id, 'infinity'::timestamptz as due_at",
        (ids,),
    )
    connection.execute("create unique index on months_due (organization_id)")
    with connection.cursor().copy(
        "copy months_events (number, organization_id, at, call, arguments) from stdin"
    ) as copy:
        number = 0
        for index, organization_id in enumerate(ids):
            for event in story(index, months, seed):
                number += 1
                arguments = json.dumps({**event.arguments, "plan": plan_key})
                copy.write_row((number, organization_id, event.at, event.call, arguments))
    connection.execute("drop function if exists pg_temp.act")
    connection.execute("drop procedure if exists pg_temp.play")
    connection.execute(_ACT)
    connection.execute(_PLAY)
    end: datetime = START + months * MONTH
    connection.execute("call pg_temp.play(%s, %s, %s, %s)", (START, end, every, skip_idle))
    return Played(ids, _count(connection, "months_runs"), _count(connection, "months_refusals"))


def _make_organization(connection: psycopg.Connection[Row], owner: UUID, start: datetime) -> UUID:
    made = connection.execute(
        "select organization_id from billing.create_organization('Months', %s)", (owner,)
    ).fetchone()
    assert made
    organization_id: UUID = made["organization_id"]
    connection.execute("select billing.create_department(%s, %s)", (organization_id, DEPARTMENT))
    connection.execute("select billing.advance_test_clock(%s, %s)", (organization_id, start))
    return organization_id


def _count(connection: psycopg.Connection[Row], table: str) -> int:
    row = connection.execute(f"select count from {table}".encode()).fetchone()
    assert row
    return int(row["count"])
