/** A titled section of a page. */

import { type ReactNode, useId } from "react";

export interface CardProps {
  title: string;
  /** What stands at the right of the title. */
  actions?: ReactNode | undefined;
  /** A line under the title. */
  note?: ReactNode | undefined;
  className?: string;
  children: ReactNode;
}

/** A bordered section labelled by its heading. */
export function Card({ title, actions, note, className = "", children }: CardProps): ReactNode {
  const titleId = useId();
  return (
    <section aria-labelledby={titleId} className={`min-w-0 rounded-lg border bg-card ${className}`}>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 px-4 pt-4 sm:px-5">
        <h2 id={titleId} className="text-sm font-semibold">
          {title}
        </h2>
        {actions === undefined ? null : <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {note === undefined ? null : <p className="px-4 pt-1 text-sm text-muted-foreground sm:px-5">{note}</p>}
      <div className="px-4 pt-3 pb-4 sm:px-5">{children}</div>
    </section>
  );
}
