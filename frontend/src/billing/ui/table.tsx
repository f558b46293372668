/** Tables: plain HTML, with columns that step aside on narrow screens. */

import type { ReactNode } from "react";

export interface Column {
  readonly key: string;
  readonly label: string;
  /** Figures stand at the right. */
  readonly isNumeric?: boolean;
  /** Left out on narrow screens; its content must then stand elsewhere in the row. */
  readonly isSecondary?: boolean;
  /** The label is for screen readers alone. */
  readonly isLabelHidden?: boolean;
}

function cellClass({
  isNumeric = false,
  isSecondary = false,
}: Pick<Column, "isNumeric" | "isSecondary">): string {
  return `${isNumeric ? "w-px text-right tabular-nums sm:w-auto" : "text-left"} ${isSecondary ? "hidden sm:table-cell" : ""}`;
}

/** A captioned table; the caption is for screen readers, since a heading stands above. */
export function Table({
  caption,
  columns,
  children,
}: {
  caption: string;
  columns: readonly Column[];
  children: ReactNode;
}): ReactNode {
  return (
    <table className="w-full border-collapse text-sm">
      <caption className="sr-only">{caption}</caption>
      <thead>
        <tr className="border-b text-xs text-muted-foreground">
          {columns.map((column) => (
            <th
              key={column.key}
              scope="col"
              className={`py-2 pr-3 font-medium last:pr-0 ${cellClass(column)}`}
            >
              {column.isLabelHidden ? <span className="sr-only">{column.label}</span> : column.label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody className="divide-y">{children}</tbody>
    </table>
  );
}

/** A row's button on narrow screens, where its column has stepped aside: below the row's name. */
export function ControlBelow({ children }: { children: ReactNode }): ReactNode {
  return <span className="-ml-2 block sm:hidden">{children}</span>;
}

/** A cell of a column that was given to `Table`. */
export function Cell({
  isNumeric = false,
  isSecondary = false,
  isRowHeader = false,
  isControl = false,
  className = "",
  children,
}: Pick<Column, "isNumeric" | "isSecondary"> & {
  isRowHeader?: boolean;
  /** Holds a button, whose own height keeps the row's lines in step. */
  isControl?: boolean;
  className?: string;
  children: ReactNode;
}): ReactNode {
  const classes = `${isControl ? "py-0.5" : "py-2.5"} pr-3 align-top last:pr-0 ${cellClass({ isNumeric, isSecondary })} ${className}`;
  return isRowHeader ? (
    <th scope="row" className={`font-normal ${classes}`}>
      {children}
    </th>
  ) : (
    <td className={classes}>{children}</td>
  );
}
