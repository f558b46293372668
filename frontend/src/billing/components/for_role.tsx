/** Shows a section's content to roles that may see it, and says so to the others. */

import type { ReactNode } from "react";
import { useMessages } from "../context.js";
import { type Rights, useRights } from "../queries/membership.js";
import { EmptyState } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";

export interface ForRoleProps {
  /** Which right the content takes. */
  may: (rights: Rights) => boolean;
  /** Who may, for those who may not. */
  note: string;
  /** Rendered, and so asking the server, only with the right. */
  children: (rights: Rights) => ReactNode;
}

/** The database refuses in any case; this spares people empty tables that look like "nothing there". */
export function ForRole({ may, note, children }: ForRoleProps): ReactNode {
  const { states } = useMessages();
  return (
    <QueryState
      query={useRights()}
      skeletonLines={3}
      isEmpty={(rights) => !may(rights)}
      empty={<EmptyState title={states.noPermissionTitle} note={note} />}
    >
      {children}
    </QueryState>
  );
}
