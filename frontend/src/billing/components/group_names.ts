/** Names for what use is grouped by: departments, members and keys are stored by id. */

import { useCallback } from "react";
import { useBilling, useMessages } from "../context.js";
import { useAgentKeys } from "../queries/keys.js";
import { useDepartments } from "../queries/membership.js";
import type { UsageGroup } from "../queries/usage.js";

const SHORT_ID = 8;

/** Gives the function that names a group's key for a reader; ids that the person may not resolve are shortened. */
export function useGroupName(): (groupBy: UsageGroup, key: string | null) => string {
  const { userId } = useBilling();
  const { usage, ledger } = useMessages();
  const departments = useDepartments();
  const keys = useAgentKeys();
  return useCallback(
    (groupBy, key) => {
      if (key === null) return usage.unnamed;
      switch (groupBy) {
        case "department":
          return departments.data?.find((row) => row.id === key)?.name ?? key.slice(0, SHORT_ID);
        case "agent_key":
          return (
            keys.data?.find((row) => row.key_id === key)?.name ?? usage.unknownKey(key.slice(0, SHORT_ID))
          );
        case "member":
          return key === userId ? ledger.you : usage.unknownMember(key.slice(0, SHORT_ID));
        default:
          return key;
      }
    },
    [departments.data, keys.data, userId, usage, ledger],
  );
}
