/** Agent keys: listing, creating (the key is shown once) and revoking. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answerOf, filled, numericArgument } from "../client.js";
import { useBilling } from "../context.js";
import { queryKey } from "../query_keys.js";

/** Reads the organization's agent keys, newest first. Their secrets are not stored anywhere. */
export function useAgentKeys() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "tenancy", "agent_keys"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("agent_keys")
          .select(
            "key_id, name, department_id, agent_types, spend_limit::text, spend_window, expires_at, revoked_at, last_used_at, created_at",
          )
          .eq("organization_id", organizationId)
          .order("created_at", { ascending: false })
          .order("key_id")
          .abortSignal(signal),
      ),
  });
}

/** An agent key as `useAgentKeys` gives it. */
export type AgentKeyRow = NonNullable<ReturnType<typeof useAgentKeys>["data"]>[number];

/** What a new key may do. */
export interface NewAgentKey {
  readonly name: string;
  /** Which department it charges; null for the whole organization. */
  readonly departmentId: string | null;
  /** Cap a window as decimal text; null for none. */
  readonly spendLimit: string | null;
  readonly spendWindow: string;
}

/** Creates an agent key. The mutation's data is the key itself, to be shown once and forgotten. */
export function useCreateAgentKey() {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: async (wanted: NewAgentKey): Promise<string> => {
      const created = await answerOf(
        schema
          .rpc("create_agent_key", {
            organization_id: organizationId,
            name: wanted.name,
            spend_window: wanted.spendWindow,
            ...(wanted.departmentId === null ? {} : { department_id: wanted.departmentId }),
            ...(wanted.spendLimit === null ? {} : { spend_limit: numericArgument(wanted.spendLimit) }),
          })
          .select("key"),
      );
      return filled(created.key, "key");
    },
    gcTime: 0,
    onSuccess: () =>
      queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "tenancy", "agent_keys") }),
  });
}

/** Revokes an agent key by its id. */
export function useRevokeAgentKey() {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (keyId: string) => answerOf(schema.rpc("revoke_agent_key", { key_id: keyId })),
    onSuccess: () =>
      queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "tenancy", "agent_keys") }),
  });
}
