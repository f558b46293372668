/** Limits of departments: reading and setting. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answerOf, filled, numericArgument } from "../client.js";
import { useBilling } from "../context.js";
import { parseCredits } from "../credits.js";
import { queryKey } from "../query_keys.js";

/** Reads the departments' limits with what their open windows have used, by department and window. */
export function useDepartmentLimits() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "ledger", "department_limits"),
    queryFn: async ({ signal }) => {
      const rows = await answerOf(
        schema
          .from("department_credit_limits")
          .select(
            "limit_id, department_id, department_name, amount::text, used::text, limit_window, mode, resets_at",
          )
          .eq("organization_id", organizationId)
          .order("department_name")
          .order("limit_window")
          .abortSignal(signal),
      );
      return rows.map((row) => ({
        limitId: filled(row.limit_id, "limit_id"),
        departmentId: filled(row.department_id, "department_id"),
        departmentName: filled(row.department_name, "department_name"),
        amount: parseCredits(row.amount),
        used: parseCredits(row.used),
        window: filled(row.limit_window, "limit_window"),
        mode: filled(row.mode, "mode"),
        resetsAt: row.resets_at,
      }));
    },
  });
}

/** A limit as `useDepartmentLimits` gives it. */
export type DepartmentLimitRow = NonNullable<ReturnType<typeof useDepartmentLimits>["data"]>[number];

/** A limit to be set. */
export interface NewDepartmentLimit {
  readonly departmentId: string;
  /** Decimal text; 0 blocks the department. */
  readonly amount: string;
  readonly window: string;
  readonly mode: string;
}

/** Sets a department's limit for a window; what was used in the open window stays counted. */
export function useSetDepartmentLimit() {
  const { schema, organizationId } = useBilling();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (wanted: NewDepartmentLimit) =>
      answerOf(
        schema.rpc("set_credit_limit", {
          organization_id: organizationId,
          subject_type: "department",
          subject_id: wanted.departmentId,
          amount: numericArgument(wanted.amount),
          window: wanted.window,
          mode: wanted.mode,
        }),
      ),
    onSuccess: () =>
      queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "ledger", "department_limits") }),
  });
}
