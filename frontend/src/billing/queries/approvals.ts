/** Spends that a limit has stopped: reading what waits, and deciding. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answerOf, numericArgument } from "../client.js";
import { useBilling } from "../context.js";
import { queryKey } from "../query_keys.js";

const COLUMNS =
  "id, limit_id, status, required::text, additional::text, agent_type, action, user_id, agent_key_id, run_id, resolved_at, created_at, limit:credit_limits(subject_type, subject_id, amount::text, limit_window)";

const MOST_WAITING = 100;

/** Reads what waits for a decision, oldest first. Members see their own requests alone. */
export function usePendingApprovals() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "approvals", "pending"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("credit_approvals")
          .select(COLUMNS)
          .eq("organization_id", organizationId)
          .eq("status", "pending")
          .order("created_at")
          .order("id")
          .limit(MOST_WAITING)
          .abortSignal(signal),
      ),
  });
}

/** An approval as `usePendingApprovals` gives it; a member may not see its limit. */
export type ApprovalRow = NonNullable<ReturnType<typeof usePendingApprovals>["data"]>[number];

/**
 * Reads what was decided last.
 *
 * @param limit - At most how many.
 */
export function useDecidedApprovals(limit: number) {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "approvals", "decided", limit),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("credit_approvals")
          .select(COLUMNS)
          .eq("organization_id", organizationId)
          .neq("status", "pending")
          .order("resolved_at", { ascending: false })
          .order("id")
          .limit(limit)
          .abortSignal(signal),
      ),
  });
}

/** What somebody decided. */
export interface ApprovalDecision {
  readonly id: string;
  readonly approve: boolean;
  /** Decimal text: credits by which the limit is wider for its window; null: this one spend passes. */
  readonly additional: string | null;
}

/** Decides on a spend; the agent sends it again by itself or is told to. */
export function useResolveApproval() {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: ({ id, approve, additional }: ApprovalDecision) =>
      answerOf(
        schema.rpc("resolve_approval", {
          id,
          approve,
          ...(additional === null ? {} : { additional: numericArgument(additional) }),
        }),
      ),
    onSettled: () =>
      Promise.all(
        (["approvals", "ledger"] as const).map((topic) =>
          queryClient.invalidateQueries({ queryKey: queryKey(organizationId, topic) }),
        ),
      ),
  });
}
