/** Shows a section's content to those who run the platform, and says so to the others. */

import type { ReactNode } from "react";
import { useMessages } from "../context.js";
import { usePlatformAdmin } from "../queries/operations.js";
import { EmptyState } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";

/** The database refuses in any case; the content is rendered, and so asks it, only for a platform admin. */
export function ForOperators({ children }: { children: () => ReactNode }): ReactNode {
  const { states } = useMessages();
  return (
    <QueryState
      query={usePlatformAdmin()}
      skeletonLines={3}
      isEmpty={(isAdmin) => !isAdmin}
      empty={<EmptyState title={states.noPermissionTitle} note={states.noPermissionPlatform} />}
    >
      {children}
    </QueryState>
  );
}
