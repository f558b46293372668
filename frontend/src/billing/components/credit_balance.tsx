/** `CreditBalance`: what can be spent now, what is held, what expires next and how long it lasts. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type CreditBalanceData, useCreditBalance } from "../queries/balance.js";
import { type UsageForecast, useRestriction, useUsageForecast } from "../queries/outlook.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { type BalanceState, balanceState, daysBetween } from "./balance_state.js";

const TONES: Readonly<Record<BalanceState, Tone>> = {
  restricted: "danger",
  debt: "danger",
  held: "warning",
  zero: "danger",
  low: "warning",
  healthy: "success",
};

export interface CreditBalanceProps {
  /** Shows a button that leads to buying; left out for people who cannot. */
  onTopUp?: (() => void) | undefined;
  className?: string;
}

/** The organization's credits, live. */
export function CreditBalance({ onTopUp, className = "" }: CreditBalanceProps): ReactNode {
  const messages = useMessages();
  const balance = useCreditBalance();
  const forecast = useUsageForecast();
  const restriction = useRestriction();
  const state = balance.data === undefined ? null : balanceState(balance.data, daysLeft(forecast.data));
  return (
    <Card
      title={messages.balance.title}
      className={className}
      actions={state === null ? undefined : <StateBadge state={state} />}
    >
      <QueryState query={balance} skeletonLines={4}>
        {(data) => (
          <>
            <Figure data={data} onTopUp={onTopUp} />
            <StateNote
              state={state ?? "healthy"}
              reason={data.restrictedReason}
              from={restriction.data?.restricted_from ?? null}
            />
            <ComingRestriction isRestricted={data.restrictedReason !== null} />
            <Facts data={data} forecast={forecast.data} />
          </>
        )}
      </QueryState>
    </Card>
  );
}

function daysLeft(forecast: UsageForecast | undefined): number | null {
  if (forecast === undefined || forecast.runsOutAt === null) return null;
  return daysBetween(forecast.asOf, forecast.runsOutAt);
}

function StateBadge({ state }: { state: BalanceState }): ReactNode {
  const { balance } = useMessages();
  const labels: Readonly<Record<BalanceState, string>> = {
    restricted: balance.restricted,
    debt: balance.inDebt,
    held: balance.allHeld,
    zero: balance.zero,
    low: balance.low,
    healthy: balance.healthy,
  };
  return (
    <span role="status">
      <Badge tone={TONES[state]}>{labels[state]}</Badge>
    </span>
  );
}

function Figure({
  data,
  onTopUp,
}: {
  data: CreditBalanceData;
  onTopUp: (() => void) | undefined;
}): ReactNode {
  const messages = useMessages();
  const format = useFormat();
  return (
    <div className="flex flex-wrap items-end justify-between gap-3">
      <div>
        <p className="flex flex-wrap items-baseline gap-x-2">
          <span
            data-testid="available-credits"
            className="text-4xl leading-tight font-semibold tracking-tight break-all tabular-nums"
          >
            {format.credits(data.available)}
          </span>
          <span className="text-sm text-muted-foreground">
            {messages.balance.unit} {messages.balance.available}
          </span>
        </p>
        <p className="mt-1 text-xs text-muted-foreground">{messages.balance.asOf(format.time(data.asOf))}</p>
      </div>
      {onTopUp === undefined ? null : (
        <Button variant="primary" onClick={onTopUp}>
          {messages.balance.topUp}
        </Button>
      )}
    </div>
  );
}

interface StateNoteProps {
  state: BalanceState;
  reason: string | null;
  from: string | null;
}

function StateNote({ state, reason, from }: StateNoteProps): ReactNode {
  const { balance, outlook, restricted } = useMessages();
  const format = useFormat();
  const since = from === null ? "" : ` ${outlook.restrictedSince(format.dateTime(from))}`;
  const notes: Partial<Record<BalanceState, string>> = {
    restricted: labelOf(restricted, reason !== null && reason in restricted ? reason : "unknown") + since,
    debt: balance.debtNote,
    held: balance.allHeldNote,
    low: balance.lowNote,
  };
  const note = notes[state];
  if (note === undefined) return null;
  return (
    <div className="mt-3">
      <Notice tone={TONES[state]}>{note}</Notice>
    </div>
  );
}

/** A restriction that is decided and does not hold yet: the days of grace after a failed payment. */
function ComingRestriction({ isRestricted }: { isRestricted: boolean }): ReactNode {
  const { outlook } = useMessages();
  const format = useFormat();
  const { data } = useRestriction();
  if (isRestricted || data?.restricted_from == null) return null;
  return (
    <div className="mt-3">
      <Notice tone="warning" title={outlook.restrictedFromTitle}>
        {outlook.restrictedFrom(format.dateTime(data.restricted_from))}
      </Notice>
    </div>
  );
}

function Facts({
  data,
  forecast,
}: {
  data: CreditBalanceData;
  forecast: UsageForecast | undefined;
}): ReactNode {
  const { balance } = useMessages();
  const format = useFormat();
  const [expiring] = data.expiring;
  const [pending] = data.pending;
  return (
    <dl className="mt-4 grid grid-cols-1 gap-x-6 gap-y-3 border-t pt-4 text-sm min-[26rem]:grid-cols-2 lg:grid-cols-4">
      <Fact label={balance.balance} value={format.credits(data.balance)} />
      <Fact label={balance.held} value={format.credits(data.held)} />
      <Fact
        label={balance.expiring}
        value={
          expiring === undefined
            ? balance.expiringNone
            : balance.expiringDetail(format.credits(expiring.amount), format.date(expiring.at))
        }
      />
      {forecast === undefined ? null : <RunsOut forecast={forecast} />}
      {data.debt > 0n ? <Fact label={balance.debt} value={format.credits(data.debt)} /> : null}
      {pending === undefined ? null : (
        <Fact
          label={balance.pending}
          value={balance.pendingDetail(format.credits(pending.amount), format.date(pending.at))}
        />
      )}
    </dl>
  );
}

function RunsOut({ forecast }: { forecast: UsageForecast }): ReactNode {
  const { outlook } = useMessages();
  const format = useFormat();
  const { runsOutAt, earliest, latest, spendPerDay } = forecast;
  if (forecast.daysObserved === 0 || spendPerDay === null) {
    return <Fact label={outlook.runsOut} value={outlook.noPace} />;
  }
  const interval =
    earliest === null
      ? null
      : latest === null
        ? outlook.intervalOpen(format.date(earliest))
        : outlook.interval(format.date(earliest), format.date(latest));
  return (
    <Fact label={outlook.runsOut} value={runsOutAt === null ? outlook.beyond : format.date(runsOutAt)}>
      {interval === null ? null : <span className="block">{interval}</span>}
      <span className="block">
        {outlook.confidence(format.percent(forecast.confidence), format.credits(spendPerDay))}
      </span>
    </Fact>
  );
}

function Fact({ label, value, children }: { label: string; value: string; children?: ReactNode }): ReactNode {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-muted-foreground">{label}</dt>
      <dd className="mt-0.5 font-medium tabular-nums">
        {value}
        {children === undefined ? null : (
          <span className="mt-0.5 block text-xs font-normal text-muted-foreground">{children}</span>
        )}
      </dd>
    </div>
  );
}
