/** The figures behind the usage chart: a legend with totals, and a table by day. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { creditsForGeometry } from "../credits.js";
import { Cell, type Column, Table } from "../ui/table.js";
import { colourOf } from "./usage_colours.js";
import type { UsageSeries, UsageTable } from "./usage_series.js";

interface UsageFiguresProps {
  usage: UsageTable;
  nameOf: (series: UsageSeries) => string;
}

/** Every series with its colour, amount and share. */
export function UsageLegend({ usage, nameOf }: UsageFiguresProps): ReactNode {
  const format = useFormat();
  const total = creditsForGeometry(usage.total);
  return (
    <ul className="flex flex-wrap gap-x-8 gap-y-1.5 text-sm">
      {usage.series.map((series) => (
        <li key={series.key} className="flex min-w-0 items-center gap-2">
          <span
            aria-hidden="true"
            className="size-3 shrink-0 rounded-sm"
            style={{ background: colourOf(series.key) }}
          />
          <span className="truncate" title={nameOf(series)}>
            {nameOf(series)}
          </span>
          <span className="font-medium tabular-nums">{format.credits(series.amount)}</span>
          <span className="text-xs text-muted-foreground tabular-nums">
            {format.percent(total === 0 ? 0 : creditsForGeometry(series.amount) / total)}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Days with use, newest first, a row for each group. */
export function UsageRows({ usage, nameOf }: UsageFiguresProps): ReactNode {
  const { usage: texts } = useMessages();
  const format = useFormat();
  const columns: Column[] = [
    { key: "day", label: texts.day },
    { key: "group", label: texts.group },
    { key: "amount", label: texts.amount, isNumeric: true },
  ];
  const days = usage.days.filter((entry) => entry.amounts.size > 0).toReversed();
  return (
    <Table caption={texts.tableCaption} columns={columns}>
      {days.flatMap((entry) =>
        usage.series
          .filter((series) => entry.amounts.has(series.key))
          .map((series) => (
            <tr key={`${entry.day} ${series.key}`}>
              <Cell className="whitespace-nowrap">{format.utcDate(new Date(entry.day))}</Cell>
              <Cell isRowHeader className="text-left [overflow-wrap:anywhere]">
                {nameOf(series)}
              </Cell>
              <Cell isNumeric>{format.credits(entry.amounts.get(series.key) ?? 0n)}</Cell>
            </tr>
          )),
      )}
    </Table>
  );
}
