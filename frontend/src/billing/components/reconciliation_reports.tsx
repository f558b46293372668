/** `ReconciliationReports`: where Stripe and our books differ, for those who run the platform. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { type ReconciliationRow, useReconciliationReports } from "../queries/operations.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, Table } from "../ui/table.js";
import { ForOperators } from "./for_operators.js";
import { differencesOf, factsOf } from "./json_facts.js";

const TONES: Readonly<Record<string, Tone>> = { missing: "danger", different: "warning" };

/** The reconciler's report: the differences that stand. */
export function ReconciliationReports({ className = "" }: { className?: string }): ReactNode {
  const { reconciliation: texts } = useMessages();
  return (
    <Card title={texts.title} note={texts.intro} className={className}>
      <ForOperators>{() => <ReportList />}</ForOperators>
    </Card>
  );
}

function ReportList(): ReactNode {
  const { reconciliation: texts } = useMessages();
  const columns: Column[] = [
    { key: "object", label: texts.object },
    { key: "found", label: texts.found },
    { key: "organization", label: texts.organization, isSecondary: true },
    { key: "seen", label: texts.seen, isSecondary: true },
  ];
  return (
    <QueryState
      query={useReconciliationReports()}
      skeletonLines={4}
      isEmpty={(rows) => rows.length === 0}
      empty={<EmptyState title={texts.empty} note={texts.emptyNote} />}
    >
      {(rows) => (
        <Table caption={texts.caption} columns={columns}>
          {rows.map((row) => (
            <ReportEntry key={`${row.organization_id} ${row.kind} ${row.stripe_object_id}`} row={row} />
          ))}
        </Table>
      )}
    </QueryState>
  );
}

function ReportEntry({ row }: { row: ReconciliationRow }): ReactNode {
  const { reconciliation: texts } = useMessages();
  const format = useFormat();
  const since = texts.since(format.dateTime(row.first_seen_at));
  const lastSeen = texts.lastSeen(format.dateTime(row.last_seen_at));
  return (
    <tr>
      <Cell isRowHeader className="min-w-28 text-left [overflow-wrap:anywhere]">
        <span className="font-medium">{labelOf(texts.kinds, row.kind)}</span>
        <span className="block font-mono text-xs text-muted-foreground">{row.stripe_object_id}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{row.organization_id}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{since}</span>
        <span className="block text-xs text-muted-foreground sm:hidden">{lastSeen}</span>
      </Cell>
      <Cell className="[overflow-wrap:anywhere]">
        <Badge tone={TONES[row.problem] ?? "neutral"}>{labelOf(texts.problems, row.problem)}</Badge>
        <ul className="mt-1">
          {factsFound(row, texts).map((fact) => (
            <li key={fact} className="text-xs text-muted-foreground">
              {fact}
            </li>
          ))}
        </ul>
      </Cell>
      <Cell isSecondary className="min-w-28 font-mono text-xs [overflow-wrap:anywhere]">
        {row.organization_id}
      </Cell>
      <Cell isSecondary>
        <span className="block">{since}</span>
        <span className="block">{lastSeen}</span>
      </Cell>
    </tr>
  );
}

interface FactTexts {
  fact: (name: string, value: string) => string;
  difference: (name: string, ours: string, stripes: string) => string;
  nothing: string;
}

/** What differs; of an object that we have not, all that Stripe says. */
function factsFound(row: ReconciliationRow, texts: FactTexts): readonly string[] {
  if (row.ours === null) return factsOf(row.stripes).map(([name, value]) => texts.fact(name, value));
  return differencesOf(row.ours, row.stripes).map(({ name, ours, stripes }) =>
    texts.difference(name, ours ?? texts.nothing, stripes ?? texts.nothing),
  );
}
