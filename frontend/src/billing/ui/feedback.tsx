/** Badges, notices, skeletons and empty states. */

import type { ReactNode } from "react";

export type Tone = "neutral" | "success" | "warning" | "danger";

const TONES: Readonly<Record<Tone, string>> = {
  neutral: "bg-muted text-foreground",
  success: "bg-success-soft text-success",
  warning: "bg-warning-soft text-warning",
  danger: "bg-danger-soft text-danger",
};

/** A short state in words; colour only underlines it. */
export function Badge({ tone = "neutral", children }: { tone?: Tone; children: ReactNode }): ReactNode {
  return (
    <span
      className={`inline-flex items-center rounded-full px-2.5 py-0.5 text-xs font-medium whitespace-nowrap ${TONES[tone]}`}
    >
      {children}
    </span>
  );
}

export interface NoticeProps {
  tone: Tone;
  title?: string;
  /** Read out at once; for what has just gone wrong. */
  isAlert?: boolean;
  actions?: ReactNode;
  children?: ReactNode;
}

/** A message about the section or page it stands in. */
export function Notice({ tone, title, isAlert = false, actions, children }: NoticeProps): ReactNode {
  return (
    <div role={isAlert ? "alert" : "status"} className={`rounded-md px-4 py-3 text-sm ${TONES[tone]}`}>
      {title === undefined ? null : <p className="font-semibold">{title}</p>}
      {children === undefined ? null : <div className="text-pretty">{children}</div>}
      {actions === undefined ? null : <div className="mt-2 flex flex-wrap gap-2">{actions}</div>}
    </div>
  );
}

/** Grey bars in place of what is being read. */
export function Skeleton({ lines, label }: { lines: number; label: string }): ReactNode {
  return (
    <div role="status">
      <span className="sr-only">{label}</span>
      <div aria-hidden="true" className="space-y-3 motion-safe:animate-pulse py-1">
        {Array.from({ length: lines }, (_, line) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the bars are all alike and never move
          <div key={line} className={`h-4 rounded bg-muted ${line % 3 === 2 ? "w-2/3" : "w-full"}`} />
        ))}
      </div>
    </div>
  );
}

/** What a section says when there is nothing to list. */
export function EmptyState({
  title,
  note,
  actions,
}: {
  title: string;
  note?: string;
  actions?: ReactNode;
}): ReactNode {
  return (
    <div className="rounded-md border border-dashed px-4 py-6 text-center text-sm">
      <p className="font-medium">{title}</p>
      {note === undefined ? null : <p className="mx-auto mt-1 max-w-prose text-muted-foreground">{note}</p>}
      {actions === undefined ? null : <div className="mt-3 flex justify-center gap-2">{actions}</div>}
    </div>
  );
}
