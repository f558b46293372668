/** What the signed-in person is in the organization, and what that allows. The database decides; this only spares people dead ends. */

import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { answerOf } from "../client.js";
import { useBilling } from "../context.js";
import { queryKey } from "../query_keys.js";

/** Rights of a role, as the policies and functions of the database grant them. */
export interface Rights {
  readonly role: string | null;
  readonly canSeeMoney: boolean;
  readonly canBuy: boolean;
  readonly canSetLimits: boolean;
  readonly canSeeKeys: boolean;
  readonly canManageKeys: boolean;
  readonly canApprove: boolean;
}

/**
 * Tells what a role may do.
 *
 * @param role - owner, admin, billing, member, or null for nobody.
 */
export function rightsOf(role: string | null): Rights {
  const isAdmin = role === "owner" || role === "admin";
  const seesMoney = isAdmin || role === "billing";
  return {
    role,
    canSeeMoney: seesMoney,
    canBuy: seesMoney,
    canSetLimits: seesMoney,
    canSeeKeys: seesMoney,
    canManageKeys: isAdmin,
    canApprove: isAdmin,
  };
}

/** The person's rights in the organization. */
export function useRights(): UseQueryResult<Rights> {
  const { schema, organizationId, userId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "tenancy", "rights", userId),
    queryFn: async ({ signal }) => {
      const row = await answerOf(
        schema
          .from("organization_members")
          .select("role")
          .eq("organization_id", organizationId)
          .eq("user_id", userId)
          .abortSignal(signal)
          .maybeSingle(),
      );
      return rightsOf(row?.role ?? null);
    },
    staleTime: 60_000,
  });
}

/** The organization's members whom the person may see. */
export function useMembers() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "tenancy", "members"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("organization_members")
          .select("user_id, role, department_id, created_at")
          .eq("organization_id", organizationId)
          .order("created_at")
          .order("user_id")
          .abortSignal(signal),
      ),
    staleTime: 60_000,
  });
}

/** The organization's departments, by name. */
export function useDepartments() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "tenancy", "departments"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("departments")
          .select("id, name")
          .eq("organization_id", organizationId)
          .order("name")
          .abortSignal(signal),
      ),
    staleTime: 60_000,
  });
}
