/** `CreditUsageChart`: credits used by day or by share, with the rows behind the drawing and a CSV of them. */

import { lazy, type ReactNode, Suspense, useMemo, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { creditsToText } from "../credits.js";
import { downloadCsv, toCsv } from "../csv.js";
import type { Messages } from "../messages.js";
import { useRights } from "../queries/membership.js";
import {
  lastDays,
  periodBefore,
  type UsageGroup,
  type UsagePeriod,
  useUsage,
  useUsageBreakdown,
} from "../queries/usage.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { EmptyState, Skeleton } from "../ui/feedback.js";
import { Segmented, SelectField } from "../ui/fields.js";
import { QueryState } from "../ui/query_state.js";
import { useGroupName } from "./group_names.js";
import { useToday } from "./today.js";
import { UsageLegend, UsageRows } from "./usage_rows.js";
import { arrangeUsage, relativeChange, type UsageSeries, type UsageTable } from "./usage_series.js";

const UsageChart = lazy(() => import("./usage_charts.js"));

const RANGES = [7, 30, 90] as const;
const TOP_GROUPS = 5;
type Range = (typeof RANGES)[number];
type View = "bar" | "share" | "rows";
/** The figures of the period before are one total; a single group is enough to ask for. */
const ONE_GROUP = 1;

export interface CreditUsageChartProps {
  /** Leaves out the choices and shows the last 30 days by agent. */
  isCompact?: boolean;
  actions?: ReactNode;
  className?: string;
}

/** The organization's use of credits, as far as the person may see it. */
export function CreditUsageChart({
  isCompact = false,
  actions,
  className = "",
}: CreditUsageChartProps): ReactNode {
  const messages = useMessages();
  const rights = useRights();
  const [range, setRange] = useState<Range>(30);
  const [groupBy, setGroupBy] = useState<UsageGroup>("agent_type");
  const [view, setView] = useState<View>("bar");
  const isOwnOnly = rights.data !== undefined && !rights.data.canSeeMoney;
  const controls = <Controls {...{ range, setRange, groupBy, setGroupBy, view, setView }} />;
  return (
    <Card
      title={isCompact ? messages.dashboard.usageSummary : messages.usage.title}
      className={className}
      note={isOwnOnly ? messages.usage.ownOnly : undefined}
      actions={isCompact ? actions : controls}
    >
      <Usage range={range} groupBy={groupBy} view={view} isCompact={isCompact} />
    </Card>
  );
}

interface ControlsProps {
  range: Range;
  setRange: (range: Range) => void;
  groupBy: UsageGroup;
  setGroupBy: (group: UsageGroup) => void;
  view: View;
  setView: (view: View) => void;
}

function Controls({ range, setRange, groupBy, setGroupBy, view, setView }: ControlsProps): ReactNode {
  const { usage } = useMessages();
  return (
    <>
      <SelectField
        label={usage.range}
        isLabelHidden
        value={String(range)}
        options={RANGES.map((days) => ({ value: String(days), label: usage.ranges[days] }))}
        onValueChange={(value) => setRange(RANGES.find((days) => String(days) === value) ?? 30)}
      />
      <SelectField
        label={usage.groupBy}
        isLabelHidden
        value={groupBy}
        options={groupOptions(usage.groups)}
        onValueChange={(value) => setGroupBy(value as UsageGroup)}
      />
      <Segmented
        label={usage.view}
        value={view}
        options={[
          { value: "bar", label: usage.views.bar },
          { value: "share", label: usage.views.share },
          { value: "rows", label: usage.views.rows },
        ]}
        onValueChange={(value) => setView(value as View)}
      />
    </>
  );
}

function groupOptions(groups: Messages["usage"]["groups"]): { value: string; label: string }[] {
  return Object.entries(groups).map(([value, label]) => ({ value, label }));
}

interface UsageProps {
  range: Range;
  groupBy: UsageGroup;
  view: View;
  isCompact: boolean;
}

function Usage({ range, groupBy, view, isCompact }: UsageProps): ReactNode {
  const { usage: texts } = useMessages();
  const today = useToday();
  const period = useMemo(() => lastDays(range, today), [range, today]);
  const cells = useUsage(period, groupBy);
  const shares = useUsageBreakdown(period, groupBy, TOP_GROUPS);
  const table = useMemo(
    () =>
      cells.data === undefined || shares.data === undefined
        ? undefined
        : arrangeUsage(period, cells.data, shares.data),
    [period, cells.data, shares.data],
  );
  const query = {
    data: table,
    error: cells.error ?? shares.error,
    dataUpdatedAt: Math.min(cells.dataUpdatedAt, shares.dataUpdatedAt),
    isFetching: cells.isFetching || shares.isFetching,
    refetch: () => Promise.all([cells.refetch(), shares.refetch()]),
  };
  return (
    <QueryState
      query={query}
      skeletonLines={isCompact ? 4 : 7}
      isEmpty={(data) => data.count === 0}
      empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
    >
      {(data) => (
        <Figures usage={data} {...{ period, range, groupBy, view, isCompact }} readAt={query.dataUpdatedAt} />
      )}
    </QueryState>
  );
}

interface FiguresProps extends UsageProps {
  usage: UsageTable;
  period: UsagePeriod;
  readAt: number;
}

function Figures({ usage, period, range, groupBy, view, isCompact, readAt }: FiguresProps): ReactNode {
  const messages = useMessages();
  const format = useFormat();
  const groupName = useGroupName();
  const nameOf = (series: UsageSeries) =>
    series.isOther ? messages.usage.other : groupName(groupBy, series.group);
  const total = format.credits(usage.total);
  const label = view === "share" ? messages.usage.shareLabel : messages.usage.chartLabel;
  return (
    <div className="space-y-4">
      <Totals usage={usage} period={period} />
      {view === "rows" ? (
        <UsageRows usage={usage} nameOf={nameOf} />
      ) : (
        <Suspense fallback={<Skeleton lines={isCompact ? 4 : 7} label={messages.states.loading} />}>
          <UsageChart
            kind={view}
            isCompact={isCompact}
            usage={usage}
            nameOf={nameOf}
            label={label(total, messages.usage.ranges[range])}
          />
        </Suspense>
      )}
      {view === "rows" ? null : <UsageLegend usage={usage} nameOf={nameOf} />}
      <div className="flex flex-wrap items-center justify-between gap-2">
        <p className="text-xs text-muted-foreground">
          {messages.balance.asOf(format.time(new Date(readAt)))}
        </p>
        {isCompact ? null : (
          <Button onClick={() => downloadUsage(messages, period, usage, nameOf)}>
            {messages.usage.download}
          </Button>
        )}
      </div>
    </div>
  );
}

function Totals({ usage, period }: { usage: UsageTable; period: UsagePeriod }): ReactNode {
  const { usage: texts } = useMessages();
  const format = useFormat();
  const before = useUsageBreakdown(
    useMemo(() => periodBefore(period), [period]),
    "agent_type",
    ONE_GROUP,
  );
  const totalBefore = before.data?.reduce((sum, share) => sum + share.amount, 0n);
  const change = totalBefore === undefined ? null : relativeChange(usage.total, totalBefore);
  return (
    <dl className="flex flex-wrap gap-x-8 gap-y-2 text-sm">
      <Total label={texts.total} value={format.credits(usage.total)} />
      <Total label={texts.actions} value={format.count(usage.count)} />
      <Total
        label={texts.change}
        value={change === null ? texts.changeNone : `${change > 0 ? "+" : ""}${format.percent(change)}`}
      />
    </dl>
  );
}

function Total({ label, value }: { label: string; value: string }): ReactNode {
  return (
    <div>
      <dt className="text-xs text-muted-foreground">{label}</dt>
      <dd className="font-semibold tabular-nums">{value}</dd>
    </div>
  );
}

function downloadUsage(
  messages: Messages,
  period: UsagePeriod,
  usage: UsageTable,
  nameOf: (series: UsageSeries) => string,
): void {
  const { day, group, amount, fileName } = messages.usage;
  const rows = usage.days.flatMap((entry) =>
    usage.series
      .filter((series) => entry.amounts.has(series.key))
      .map((series) => [
        isoDay(entry.day),
        nameOf(series),
        creditsToText(entry.amounts.get(series.key) ?? 0n),
      ]),
  );
  const lastDay = usage.days.at(-1)?.day ?? period.from.getTime();
  downloadCsv(
    fileName(isoDay(period.from.getTime()), isoDay(lastDay)),
    toCsv([[day, group, amount], ...rows]),
  );
}

function isoDay(day: number): string {
  return new Date(day).toISOString().slice(0, 10);
}
