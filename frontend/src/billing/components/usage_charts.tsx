/** The drawings of `CreditUsageChart`, in a chunk of their own because Recharts is large. Figures for readers stand in its table. */

import type { ReactNode } from "react";
import {
  Bar,
  BarChart,
  CartesianGrid,
  Cell,
  Pie,
  PieChart,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from "recharts";
import { useFormat } from "../context.js";
import { creditsForGeometry, type MicroCredits } from "../credits.js";
import { colourOf } from "./usage_colours.js";
import type { UsageSeries, UsageTable } from "./usage_series.js";

export interface UsageChartProps {
  kind: "bar" | "share";
  usage: UsageTable;
  nameOf: (series: UsageSeries) => string;
  /** Half the height, for a summary. */
  isCompact: boolean;
  /** What a screen reader says in place of the drawing. */
  label: string;
}

const AXIS = { fontSize: 12, fill: "var(--muted-foreground)" } as const;

/** Draws use by day or by share. */
export default function UsageChart({ kind, label, isCompact, ...rest }: UsageChartProps): ReactNode {
  return (
    <div role="img" aria-label={label} className={`w-full min-w-0 ${isCompact ? "h-40" : "h-64"}`}>
      {kind === "bar" ? <Bars {...rest} /> : <Shares {...rest} />}
    </div>
  );
}

type DrawingProps = Pick<UsageChartProps, "usage" | "nameOf">;

function Bars({ usage, nameOf }: DrawingProps): ReactNode {
  const format = useFormat();
  const rows = usage.days.map(({ day, amounts }) => ({
    day,
    ...Object.fromEntries([...amounts].map(([key, amount]) => [key, creditsForGeometry(amount)])),
  }));
  const amounts = new Map(usage.days.map((day) => [day.day, day.amounts]));
  return (
    <ResponsiveContainer width="100%" height="100%">
      <BarChart data={rows} margin={{ top: 8, right: 4, bottom: 0, left: 0 }} accessibilityLayer={false}>
        <CartesianGrid vertical={false} stroke="var(--border)" />
        <XAxis
          dataKey="day"
          tick={AXIS}
          tickLine={false}
          axisLine={{ stroke: "var(--border)" }}
          minTickGap={24}
          tickFormatter={(day: number) => format.utcShortDate(new Date(day))}
        />
        <YAxis
          width={44}
          tick={AXIS}
          tickLine={false}
          axisLine={false}
          tickFormatter={(amount: number) => format.axisCredits(amount)}
        />
        <Tooltip
          cursor={{ fill: "var(--muted)" }}
          isAnimationActive={false}
          content={({ active, label }) =>
            active === true && typeof label === "number" ? (
              <DayTooltip
                title={format.utcDate(new Date(label))}
                series={usage.series}
                amounts={amounts.get(label)}
                nameOf={nameOf}
              />
            ) : null
          }
        />
        {usage.series.map((entry) => (
          <Bar
            key={entry.key}
            dataKey={entry.key}
            stackId="use"
            fill={colourOf(entry.key)}
            maxBarSize={36}
            isAnimationActive={false}
          />
        ))}
      </BarChart>
    </ResponsiveContainer>
  );
}

function Shares({ usage, nameOf }: DrawingProps): ReactNode {
  const rows = usage.series.map((entry) => ({ key: entry.key, value: creditsForGeometry(entry.amount) }));
  return (
    <ResponsiveContainer width="100%" height="100%">
      <PieChart accessibilityLayer={false}>
        <Tooltip
          isAnimationActive={false}
          content={({ active, payload }) => {
            const entry = usage.series.find((candidate) => candidate.key === payload?.[0]?.payload?.key);
            return active === true && entry !== undefined ? (
              <DayTooltip
                title={null}
                series={[entry]}
                amounts={new Map([[entry.key, entry.amount]])}
                nameOf={nameOf}
              />
            ) : null;
          }}
        />
        <Pie
          data={rows}
          dataKey="value"
          nameKey="key"
          innerRadius="58%"
          outerRadius="92%"
          paddingAngle={1}
          startAngle={90}
          endAngle={-270}
          stroke="var(--card)"
          isAnimationActive={false}
          rootTabIndex={-1}
        >
          {rows.map((row) => (
            <Cell key={row.key} fill={colourOf(row.key)} />
          ))}
        </Pie>
      </PieChart>
    </ResponsiveContainer>
  );
}

interface DayTooltipProps {
  title: string | null;
  series: readonly UsageSeries[];
  amounts: ReadonlyMap<string, MicroCredits> | undefined;
  nameOf: (series: UsageSeries) => string;
}

function DayTooltip({ title, series, amounts, nameOf }: DayTooltipProps): ReactNode {
  const format = useFormat();
  const present = series.filter((entry) => (amounts?.get(entry.key) ?? 0n) !== 0n);
  return (
    <div className="rounded-md border bg-card px-3 py-2 text-xs shadow-md">
      {title === null ? null : <p className="mb-1 font-medium">{title}</p>}
      {present.map((entry) => (
        <p key={entry.key} className="flex items-center gap-2 tabular-nums">
          <span
            aria-hidden="true"
            className="size-2.5 rounded-sm"
            style={{ background: colourOf(entry.key) }}
          />
          <span className="text-muted-foreground">{nameOf(entry)}</span>
          <span className="ml-auto font-medium">{format.credits(amounts?.get(entry.key) ?? 0n)}</span>
        </p>
      ))}
    </div>
  );
}
