/** `DepartmentLimits`: what each department may spend in a window, what it has spent, and setting it. */

import { type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { creditsForGeometry } from "../credits.js";
import { labelOf } from "../labels.js";
import { type DepartmentLimitRow, useDepartmentLimits } from "../queries/limits.js";
import { useDepartments, useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Badge, EmptyState } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";
import { Cell, type Column, ControlBelow, Table } from "../ui/table.js";
import { SetDepartmentLimit } from "./set_department_limit.js";

/** From here on the meter is amber, and from there on red. */
const HIGH_SHARE = 0.8;
const FULL_SHARE = 0.999_999;
/** A limit of 0 is drawn as a full meter. */
const LEAST_METER = 0.000001;

/** The limits of the organization's departments, as far as the person may see them. */
export function DepartmentLimits({ className = "" }: { className?: string }): ReactNode {
  const { limits: texts } = useMessages();
  const rights = useRights();
  const departments = useDepartments();
  const [editing, setEditing] = useState<DepartmentLimitRow | "new" | null>(null);
  const canSet = (rights.data?.canSetLimits ?? false) && (departments.data?.length ?? 0) > 0;
  return (
    <Card
      title={texts.title}
      note={texts.intro}
      className={className}
      actions={canSet ? <Button onClick={() => setEditing("new")}>{texts.set}</Button> : undefined}
    >
      <LimitList onEdit={canSet ? setEditing : undefined} hasDepartments={departments.data?.length !== 0} />
      {editing === null || departments.data === undefined ? null : (
        <SetDepartmentLimit
          departments={departments.data}
          present={editing === "new" ? null : editing}
          onClose={() => setEditing(null)}
        />
      )}
    </Card>
  );
}

interface LimitListProps {
  onEdit: ((limit: DepartmentLimitRow) => void) | undefined;
  hasDepartments: boolean;
}

function LimitList({ onEdit, hasDepartments }: LimitListProps): ReactNode {
  const { limits: texts } = useMessages();
  const limits = useDepartmentLimits();
  const columns: Column[] = [
    { key: "department", label: texts.department },
    { key: "used", label: texts.used },
    { key: "resets", label: texts.resets, isSecondary: true },
    { key: "mode", label: texts.mode, isSecondary: true },
    ...(onEdit === undefined
      ? []
      : [{ key: "actions", label: texts.actions, isLabelHidden: true, isSecondary: true }]),
  ];
  return (
    <QueryState
      query={limits}
      skeletonLines={3}
      isEmpty={(rows) => rows.length === 0}
      empty={
        <EmptyState
          title={hasDepartments ? texts.empty : texts.noDepartments}
          note={hasDepartments ? texts.emptyNote : ""}
        />
      }
    >
      {(rows) => (
        <Table caption={texts.caption} columns={columns}>
          {rows.map((row) => (
            <LimitEntry key={row.limitId} limit={row} onEdit={onEdit} />
          ))}
        </Table>
      )}
    </QueryState>
  );
}

function LimitEntry({
  limit,
  onEdit,
}: {
  limit: DepartmentLimitRow;
  onEdit: LimitListProps["onEdit"];
}): ReactNode {
  const { limits: texts } = useMessages();
  const format = useFormat();
  const change =
    onEdit === undefined ? null : (
      <Button
        variant="quiet"
        className="px-2"
        aria-label={texts.editLabel(limit.departmentName)}
        onClick={() => onEdit(limit)}
      >
        {texts.edit}
      </Button>
    );
  return (
    <tr>
      <Cell isRowHeader className="text-left">
        <span className="font-medium">{limit.departmentName}</span>
        <span className="block text-xs text-muted-foreground">{labelOf(texts.windows, limit.window)}</span>
        {change === null ? null : <ControlBelow>{change}</ControlBelow>}
      </Cell>
      <Cell className="min-w-28 tabular-nums">
        {limit.amount === 0n ? (
          <Badge tone="danger">{texts.blocked}</Badge>
        ) : (
          texts.usedOf(format.credits(limit.used), format.credits(limit.amount))
        )}
        <LimitMeter limit={limit} />
      </Cell>
      <Cell isSecondary className="whitespace-nowrap">
        {limit.resetsAt === null ? texts.neverResets : format.dateTime(limit.resetsAt)}
      </Cell>
      <Cell isSecondary>{labelOf(texts.modes, limit.mode)}</Cell>
      {change === null ? null : (
        <Cell isNumeric isControl isSecondary>
          {change}
        </Cell>
      )}
    </tr>
  );
}

function LimitMeter({ limit }: { limit: DepartmentLimitRow }): ReactNode {
  const { limits: texts } = useMessages();
  const max = Math.max(creditsForGeometry(limit.amount), LEAST_METER);
  return (
    <meter
      className="mt-1.5 block max-w-60"
      min={0}
      max={max}
      low={max * HIGH_SHARE}
      high={max * FULL_SHARE}
      optimum={0}
      value={limit.amount === 0n ? max : creditsForGeometry(limit.used)}
      aria-label={texts.meterLabel(limit.departmentName)}
    />
  );
}
