/** `CreditBalance`: what can be spent now, what is held, what expires next and how long it lasts. */

import { type ReactNode, useMemo } from "react";
import { useFormat, useMessages } from "../context.js";
import { type CreditBalanceData, useCreditBalance } from "../queries/balance.js";
import { useRights } from "../queries/membership.js";
import { lastDays, useUsage } from "../queries/usage.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, Notice, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { type BalanceState, balanceState, runwayDays } from "./balance_state.js";
import { useToday } from "./today.js";

const PACE_DAYS = 7;
const YEAR_DAYS = 365;
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
  const runway = useRunway(balance.data);
  const state = balance.data === undefined ? null : balanceState(balance.data, runway ?? null);
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
            <StateNote state={state ?? "healthy"} reason={data.restrictedReason} />
            <Facts data={data} runway={runway} />
          </>
        )}
      </QueryState>
    </Card>
  );
}

/**
 * Days that the available credits last at the pace of the last seven days; null when nothing was used. Undefined while unknown, and for
 * people who see a part of the use only: their part would promise the whole organization a longer life.
 */
function useRunway(balance: CreditBalanceData | undefined): number | null | undefined {
  const rights = useRights();
  const today = useToday();
  const period = useMemo(() => lastDays(PACE_DAYS, today), [today]);
  const usage = useUsage(period, null);
  if (balance === undefined || usage.data === undefined || rights.data?.canSeeMoney !== true)
    return undefined;
  const used = usage.data.reduce((sum, cell) => sum + cell.amount, 0n);
  return runwayDays(balance.available, used, PACE_DAYS);
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

function StateNote({ state, reason }: { state: BalanceState; reason: string | null }): ReactNode {
  const { balance, restricted } = useMessages();
  const reasons: Readonly<Record<string, string>> = restricted;
  const notes: Partial<Record<BalanceState, string>> = {
    restricted: reasons[reason ?? ""] ?? restricted.unknown,
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

function Facts({ data, runway }: { data: CreditBalanceData; runway: number | null | undefined }): ReactNode {
  const { balance } = useMessages();
  const format = useFormat();
  const runwayText = useRunwayText(runway ?? null);
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
      {runway === undefined ? null : <Fact label={balance.runway} value={runwayText} />}
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

function Fact({ label, value }: { label: string; value: string }): ReactNode {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-muted-foreground">{label}</dt>
      <dd className="mt-0.5 font-medium tabular-nums">{value}</dd>
    </div>
  );
}

function useRunwayText(runway: number | null): string {
  const { balance } = useMessages();
  if (runway === null) return balance.runwayUnknown;
  if (runway > YEAR_DAYS) return balance.runwayOver;
  return runway < 1 ? balance.runwayUnderOne : balance.runwayDays(balance.runwayUnit(Math.floor(runway)));
}
